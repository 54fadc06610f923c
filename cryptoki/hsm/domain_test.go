package hsm

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// The group of RFC 5114, section 2.1.
const (
	testPrime = "\xb1\x0b\x8f\x96\xa0\x80\xe0\x1d\xde\x92\xde\x5e\xae\x5d\x54\xec\x52\xc9\x9f\xbc\xfb\x06\xa3\xc6\x9a\x6a\x9d\xca\x52\xd2\x3b\x61" +
		"\x60\x73\xe2\x86\x75\xa2\x3d\x18\x98\x38\xef\x1e\x2e\xe6\x52\xc0\x13\xec\xb4\xae\xa9\x06\x11\x23\x24\x97\x5c\x3c\xd4\x9b\x83\xbf" +
		"\xac\xcb\xdd\x7d\x90\xc4\xbd\x70\x98\x48\x8e\x9c\x21\x9a\x73\x72\x4e\xff\xd6\xfa\xe5\x64\x47\x38\xfa\xa3\x1a\x4f\xf5\x5b\xcc\xc0" +
		"\xa1\x51\xaf\x5f\x0d\xc8\xb4\xbd\x45\xbf\x37\xdf\x36\x5c\x1a\x65\xe6\x8c\xfd\xa7\x6d\x4d\xa7\x08\xdf\x1f\xb2\xbc\x2e\x4a\x43\x71"
	testBase = "\xa4\xd1\xcb\xd5\xc3\xfd\x34\x12\x67\x65\xa4\x42\xef\xb9\x99\x05\xf8\x10\x4d\xd2\x58\xac\x50\x7f\xd6\x40\x6c\xff\x14\x26\x6d\x31" +
		"\x26\x6f\xea\x1e\x5c\x41\x56\x4b\x77\x7e\x69\x0f\x55\x04\xf2\x13\x16\x02\x17\xb4\xb0\x1b\x88\x6a\x5e\x91\x54\x7f\x9e\x27\x49\xf4" +
		"\xd7\xfb\xd7\xd3\xb9\xa9\x2e\xe1\x90\x9d\x0d\x22\x63\xf8\x0a\x76\xa6\xa2\x4c\x08\x7a\x09\x1f\x53\x1d\xbf\x0a\x01\x69\xb6\xa2\x8a" +
		"\xd6\x62\xa4\xd1\x8e\x73\xaf\xa3\x2d\x77\x9d\x59\x18\xd0\x8b\xc8\x85\x8f\x4d\xce\xf9\x7c\x2a\x24\x85\x5e\x6e\xeb\x22\xb3\xb2\xe5"
	testOrder = "\xf5\x18\xaa\x87\x81\xa8\xdf\x27\x8a\xba\x4e\x7d\x64\xb7\xcb\x9d\x49\x46\x23\x53"
)

var testGroup = tmpl(ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder)

// C_GenerateKey makes domain parameters, which serve C_GenerateKeyPair.
func TestGenerateDomainParameters(t *testing.T) {
	b := newBench(t)
	gen := func(m *ck.Mechanism, pairs ...any) *p11.GenerateKey {
		return &p11.GenerateKey{Session: b.s, Mechanism: m, Template: tmpl(pairs...)}
	}
	o := ok(b, gen(mech(ck.CKM_DH_PKCS_PARAMETER_GEN), ck.CKA_PRIME_BITS, 2048, ck.CKA_TOKEN, true)).Object
	for _, a := range tmpl(ck.CKA_CLASS, ck.CKO_DOMAIN_PARAMETERS, ck.CKA_KEY_TYPE, ck.CKK_DH, ck.CKA_PRIME_BITS, 2048,
		ck.CKA_PRIVATE, false, ck.CKA_LOCAL, true, ck.CKA_BASE, "\x02") {
		check(t, b.h, b.s, o, a.Type, a.Value)
	}
	pair := ok(b, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(ck.CKM_DH_PKCS_KEY_PAIR_GEN),
		Public:  tmpl(ck.CKA_PRIME, b.attr(o, ck.CKA_PRIME), ck.CKA_BASE, b.attr(o, ck.CKA_BASE)),
		Private: tmpl(ck.CKA_VALUE_BITS, 320)})
	check(t, b.h, b.s, pair.Private, ck.CKA_VALUE_BITS, ck.PutULong(uint64(320)))

	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, gen(mech(ck.CKM_DH_PKCS_PARAMETER_GEN)))
	fails(b, ck.CKR_KEY_SIZE_RANGE, gen(mech(ck.CKM_DH_PKCS_PARAMETER_GEN), ck.CKA_PRIME_BITS, 511))
	fails(b, ck.CKR_KEY_SIZE_RANGE, gen(mech(ck.CKM_DH_PKCS_PARAMETER_GEN), ck.CKA_PRIME_BITS, 2049))
	fails(b, ck.CKR_KEY_SIZE_RANGE, gen(mech(ck.CKM_DSA_PARAMETER_GEN), ck.CKA_PRIME_BITS, 1000))
	fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, gen(mech(ck.CKM_DSA_PARAMETER_GEN), ck.CKA_PRIME_BITS, 1024, ck.CKA_PRIME, testPrime))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, gen(mech(ck.CKM_DSA_PARAMETER_GEN), ck.CKA_PRIME_BITS, 1024, ck.CKA_CLASS, ck.CKO_SECRET_KEY))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, gen(mech(ck.CKM_X9_42_DH_PARAMETER_GEN), ck.CKA_PRIME_BITS, 1024))
}

// CKM_DSA_PROBABILISTIC_PARAMETER_GEN makes the primes, and CKM_DSA_FIPS_G_GEN
// of its seed the base.
func TestGenerateDSAParametersInSteps(t *testing.T) {
	b := newBench(t)
	p := &engine.DSAParameterGenParams{Hash: ck.CKM_SHA256, Seed: make([]byte, 20), Index: 1}
	primes := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_DSA_PROBABILISTIC_PARAMETER_GEN, p), Template: tmpl(ck.CKA_PRIME_BITS, 1024)}).Object
	if bytes.Equal(p.Seed, make([]byte, 20)) {
		t.Error("no seed came back")
	}
	base := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_DSA_FIPS_G_GEN, p),
		Template: tmpl(ck.CKA_PRIME, b.attr(primes, ck.CKA_PRIME), ck.CKA_SUBPRIME, b.attr(primes, ck.CKA_SUBPRIME))}).Object
	check(t, b.h, b.s, base, ck.CKA_SUBPRIME_BITS, ck.PutULong(uint64(160)))
	ok(b, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(ck.CKM_DSA_KEY_PAIR_GEN), Public: tmpl(
		ck.CKA_PRIME, b.attr(primes, ck.CKA_PRIME), ck.CKA_SUBPRIME, b.attr(primes, ck.CKA_SUBPRIME), ck.CKA_BASE, b.attr(base, ck.CKA_BASE))})
}

// Created domain parameters and keys are checked.
func TestCreateDomainParameters(t *testing.T) {
	b := newBench(t)
	create := func(class ck.ObjectClass, kt ck.KeyType, pairs ...any) *p11.CreateObject {
		return &p11.CreateObject{Session: b.s, Template: append(tmpl(ck.CKA_CLASS, class, ck.CKA_KEY_TYPE, kt), tmpl(pairs...)...)}
	}
	for _, kt := range []ck.KeyType{ck.CKK_DSA, ck.CKK_X9_42_DH, ck.CKK_KCDSA} {
		ok(b, create(ck.CKO_DOMAIN_PARAMETERS, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder))
		fails(b, ck.CKR_TEMPLATE_INCOMPLETE, create(ck.CKO_DOMAIN_PARAMETERS, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase))
		fails(b, ck.CKR_DOMAIN_PARAMS_INVALID, create(ck.CKO_DOMAIN_PARAMETERS, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, "\x02", ck.CKA_SUBPRIME, testOrder))
		fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, create(ck.CKO_PUBLIC_KEY, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder, ck.CKA_VALUE, "\x02"))
		fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, create(ck.CKO_PRIVATE_KEY, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder, ck.CKA_VALUE, testOrder))
		key := ok(b, create(ck.CKO_PRIVATE_KEY, kt, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder, ck.CKA_VALUE, "\x05")).Object
		if len(b.attr(key, ck.CKA_PUBLIC_KEY_INFO)) < 300 {
			t.Errorf("%v: no CKA_PUBLIC_KEY_INFO", kt)
		}
	}
}

// Keys of all the types sign, agree, are wrapped and unwrapped.
func TestDiscreteLogKeys(t *testing.T) {
	b := newBench(t)
	aes := b.aes()
	for kt, m := range map[ck.KeyType][2]ck.MechanismType{
		ck.CKK_DSA:   {ck.CKM_DSA_KEY_PAIR_GEN, ck.CKM_DSA_SHA256},
		ck.CKK_KCDSA: {ck.CKM_KCDSA_KEY_PAIR_GEN, ck.CKM_KCDSA_SHA256},
	} {
		pair := ok(b, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(m[0]), Public: testGroup, Private: extractable})
		private := rewrapped(b, aes, pair.Private, kt)
		sig := b.whole(p11.OpSign, mech(m[1]), private, []byte("message"))
		if rv := b.verify(mech(m[1]), pair.Public, []byte("message"), sig); rv != ck.CKR_OK {
			t.Errorf("%v: %v", kt, rv)
		}
	}
	for kt, m := range map[ck.KeyType][2]ck.MechanismType{
		ck.CKK_DH:       {ck.CKM_DH_PKCS_KEY_PAIR_GEN, ck.CKM_DH_PKCS_DERIVE},
		ck.CKK_X9_42_DH: {ck.CKM_X9_42_DH_KEY_PAIR_GEN, ck.CKM_X9_42_DH_DERIVE},
	} {
		group := testGroup
		if kt == ck.CKK_DH {
			group = testGroup[:2]
		}
		var secrets [2][]byte
		var pairs [2]p11.KeyPair
		for i := range pairs {
			pairs[i] = ok(b, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(m[0]), Public: group, Private: append(yes(ck.CKA_DERIVE), extractable...)})
		}
		for i := range pairs {
			other := b.attr(pairs[1-i].Public, ck.CKA_VALUE)
			param := any(other)
			if kt == ck.CKK_X9_42_DH {
				param = &engine.X942DH1Params{KDF: ck.CKD_NULL, PublicData: other}
			}
			private := rewrapped(b, aes, pairs[i].Private, kt)
			key := ok(b, &p11.DeriveKey{Session: b.s, Mechanism: mech(m[1], param), BaseKey: private, Template: extractable}).Object
			secrets[i] = b.attr(key, ck.CKA_VALUE)
		}
		if len(secrets[0]) != 128 || !bytes.Equal(secrets[0], secrets[1]) {
			t.Errorf("%v: %x and %x", kt, secrets[0], secrets[1])
		}
	}
}

// rewrapped is a private key after wrapping and unwrapping.
func rewrapped(b *bench, aes, key ck.ObjectHandle, kt ck.KeyType) ck.ObjectHandle {
	b.t.Helper()
	m := mech(ck.CKM_AES_KEY_WRAP_PAD)
	buf := make([]byte, 2048)
	n := ok(b, &p11.WrapKey{Session: b.s, Mechanism: m, WrappingKey: aes, Key: key, Out: p11.Output{Buf: buf}}).N
	return ok(b, &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: aes, Wrapped: buf[:n],
		Template: append(newKey(ck.CKO_PRIVATE_KEY, kt), yes(ck.CKA_DERIVE, ck.CKA_SIGN)...)}).Object
}
