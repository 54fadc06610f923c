package p11test

import (
	"bytes"
	"crypto/sha256"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func testGenerateKeys(h *host) {
	h.token()
	gen := mech(ck.CKM_AES_KEY_GEN, nil)
	length := ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))
	o := must(h, &p11.GenerateKey{Session: h.s, Mechanism: gen, Template: []ck.Attribute{length, ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}}).Object
	other := must(h, &p11.GenerateKey{Session: h.s, Mechanism: gen, Template: []ck.Attribute{length, ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}}).Object
	if a, b := h.get(o, ck.CKA_VALUE), h.get(other, ck.CKA_VALUE); len(a) != 32 || bytes.Equal(a, b) {
		h.Errorf("keys %x and %x", a, b)
	}
	if !h.getBool(o, ck.CKA_LOCAL) {
		h.Error("a generated key is not local")
	}
	refused(h, &p11.GenerateKey{Session: h.s, Mechanism: gen}, ck.CKR_TEMPLATE_INCOMPLETE)
	refused(h, &p11.GenerateKey{Session: h.s, Mechanism: mech(ck.CKM_AES_ECB, nil), Template: []ck.Attribute{length}}, ck.CKR_MECHANISM_INVALID)
	refused(h, &p11.GenerateKey{Session: h.s, Template: []ck.Attribute{length}}, ck.CKR_ARGUMENTS_BAD)
	refused(h, &p11.GenerateKey{Session: h.s, Mechanism: gen, Template: []ck.Attribute{length, ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA)}}, ck.CKR_TEMPLATE_INCONSISTENT)

	// A pair: both or none.
	params := ck.NewBytes(ck.CKA_EC_PARAMS, p256)
	p := must(h, &p11.GenerateKeyPair{Session: h.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN, nil),
		Public: []ck.Attribute{params, text(ck.CKA_LABEL, "pair")}, Private: []ck.Attribute{text(ck.CKA_LABEL, "pair")}})
	if !bytes.Equal(h.get(p.Public, ck.CKA_PUBLIC_KEY_INFO), h.get(p.Private, ck.CKA_PUBLIC_KEY_INFO)) {
		h.Error("the halves do not belong together")
	}
	before := len(h.find(h.s))
	refused(h, &p11.GenerateKeyPair{Session: h.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN, nil), Public: []ck.Attribute{params}, Private: []ck.Attribute{text(ck.CKA_UNIQUE_ID, "x")}}, ck.CKR_ATTRIBUTE_READ_ONLY)
	if after := len(h.find(h.s)); after != before {
		h.Errorf("a refused request left %d objects", after-before)
	}
}

func testWrap(h *host) {
	h.token()
	k := h.aes()
	kw := mech(ck.CKM_AES_KEY_WRAP, nil)
	target := h.create(key(ck.CKK_AES, sequence(24))...)
	wrap := func(k, o ck.ObjectHandle) ([]byte, error) {
		buf := make([]byte, 600)
		r, err := ask(h, &p11.WrapKey{Session: h.s, Mechanism: kw, WrappingKey: k, Key: o, Out: p11.Output{Buf: buf}})
		return buf[:min(r.N, len(buf))], err
	}
	wrapped, err := wrap(k, target)
	if err != nil || len(wrapped) != 32 {
		h.Fatalf("%d bytes (%v)", len(wrapped), err)
	}
	unwrap := func(w []byte, a ...ck.Attribute) (ck.ObjectHandle, error) {
		r, err := ask(h, &p11.UnwrapKey{Session: h.s, Mechanism: kw, UnwrappingKey: k, Wrapped: w, Template: a})
		return r.Object, err
	}
	base := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}
	o, err := unwrap(wrapped, base...)
	h.wants("UnwrapKey", err, ck.CKR_OK)
	if !bytes.Equal(h.get(o, ck.CKA_VALUE), sequence(24)) || h.getBool(o, ck.CKA_LOCAL) {
		h.Error("unwrapped to another key")
	}
	bad := bytes.Clone(wrapped)
	bad[3] ^= 1
	_, err = unwrap(bad, base...)
	h.wants("a changed key", err, ck.CKR_WRAPPED_KEY_INVALID)
	_, err = unwrap(wrapped[1:], base...)
	h.wants("a key cut short", err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
	_, err = unwrap(wrapped)
	h.wants("no template", err, ck.CKR_TEMPLATE_INCOMPLETE)

	fixed := h.create(key(ck.CKK_AES, sequence(16))[:3]...)
	_, err = wrap(k, fixed)
	h.wants("an unextractable key", err, ck.CKR_KEY_UNEXTRACTABLE)
	_, err = wrap(h.create(useless(ck.CKK_AES, sequence(16))...), target)
	h.wants("a key that does not wrap", err, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
	_, err = wrap(987654321, target)
	h.wants("no wrapping key", err, ck.CKR_WRAPPING_KEY_HANDLE_INVALID)
	_, err = wrap(k, 987654321)
	h.wants("no key", err, ck.CKR_KEY_HANDLE_INVALID)
	trusted := h.create(key(ck.CKK_AES, sequence(16), ck.NewBool(ck.CKA_WRAP_WITH_TRUSTED, true))...)
	_, err = wrap(k, trusted)
	h.wants("for trusted keys only", err, ck.CKR_KEY_NOT_WRAPPABLE)

	// A private key, and back.
	ec := must(h, &p11.GenerateKeyPair{Session: h.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN, nil),
		Public: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, p256), ck.NewBool(ck.CKA_VERIFY, true)}, Private: []ck.Attribute{ck.NewBool(ck.CKA_EXTRACTABLE, true)}})
	cbc := mech(ck.CKM_AES_CBC_PAD, sequence(16))
	buf := make([]byte, 600)
	n := must(h, &p11.WrapKey{Session: h.s, Mechanism: cbc, WrappingKey: k, Key: ec.Private, Out: p11.Output{Buf: buf}}).N
	back := must(h, &p11.UnwrapKey{Session: h.s, Mechanism: cbc, UnwrappingKey: k, Wrapped: buf[:n], Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC), ck.NewBool(ck.CKA_SIGN, true)}}).Object
	m := mech(ck.CKM_ECDSA_SHA256, nil)
	h.wants("the pair after unwrapping", h.verify(m, ec.Public, sequence(9), h.single(p11.OpSign, m, back, sequence(9)), 0), ck.CKR_OK)
}

func testDerive(h *host) {
	h.token()
	base := h.create(key(ck.CKK_GENERIC_SECRET, sequence(20))...)
	sha := mech(ck.CKM_SHA256_KEY_DERIVATION, nil)
	open := []ck.Attribute{ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}
	o := must(h, &p11.DeriveKey{Session: h.s, Mechanism: sha, BaseKey: base, Template: open}).Object
	if want := sha256.Sum256(sequence(20)); !bytes.Equal(h.get(o, ck.CKA_VALUE), want[:]) {
		h.Errorf("derived %x", h.get(o, ck.CKA_VALUE))
	}
	other := h.create(key(ck.CKK_GENERIC_SECRET, []byte("more"))...)
	o = must(h, &p11.DeriveKey{Session: h.s, Mechanism: mech(ck.CKM_CONCATENATE_BASE_AND_KEY, other), BaseKey: base, Template: open}).Object
	if !bytes.Equal(h.get(o, ck.CKA_VALUE), append(sequence(20), "more"...)) {
		h.Errorf("concatenated %x", h.get(o, ck.CKA_VALUE))
	}
	refused(h, &p11.DeriveKey{Session: h.s, Mechanism: mech(ck.CKM_CONCATENATE_BASE_AND_KEY, ck.ObjectHandle(987654321)), BaseKey: base}, ck.CKR_KEY_HANDLE_INVALID)
	refused(h, &p11.DeriveKey{Session: h.s, Mechanism: sha, BaseKey: 987654321}, ck.CKR_KEY_HANDLE_INVALID)
	no := h.create(useless(ck.CKK_GENERIC_SECRET, sequence(20))...)
	refused(h, &p11.DeriveKey{Session: h.s, Mechanism: sha, BaseKey: no}, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
	// Longer than the hash is more than it gives.
	refused(h, &p11.DeriveKey{Session: h.s, Mechanism: sha, BaseKey: base, Template: append(open, ck.NewULong(ck.CKA_VALUE_LEN, uint64(33)))},
		ck.CKR_TEMPLATE_INCONSISTENT, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_KEY_SIZE_RANGE)
}
