package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// unwrapKWP is RFC 5649 once more, from its text and for well-formed input.
func unwrapKWP(t *testing.T, key, wrapped []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(wrapped)
	if len(out) == 16 {
		block.Decrypt(out, out)
	} else {
		n := len(out)/8 - 1
		var b [16]byte
		for j := 5; j >= 0; j-- {
			for i := n; i >= 1; i-- {
				copy(b[:8], out[:8])
				binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^uint64(n*j+i))
				copy(b[8:], out[8*i:])
				block.Decrypt(b[:], b[:])
				copy(out[:8], b[:8])
				copy(out[8*i:8*i+8], b[8:])
			}
		}
	}
	if binary.BigEndian.Uint32(out) != 0xa65959a6 {
		t.Fatal("not wrapped by RFC 5649")
	}
	return out[8 : 8+binary.BigEndian.Uint32(out[4:])]
}

// TestUnwrapKWP checks the code above with the first example of RFC 5649,
// section 6.
func TestUnwrapKWP(t *testing.T) {
	got := unwrapKWP(t, fromHex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"),
		fromHex(t, "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"))
	if !bytes.Equal(got, fromHex(t, "c37b7e6492584340bed12207808941155068f738")) {
		t.Errorf("%x", got)
	}
}

func TestECDHAESKeyWrap(t *testing.T) {
	target := []byte("a key of any length, or PKCS #8")
	for _, x := range []struct {
		m     ck.MechanismType
		name  string
		curve ecdh.Curve
		bits  uint64
		kdf   ck.KDF
	}{
		{ck.CKM_ECDH_AES_KEY_WRAP, "secp256r1", ecdh.P256(), 256, ck.CKD_NULL},
		{ck.CKM_ECDH_AES_KEY_WRAP, "secp521r1", ecdh.P521(), 192, ck.CKD_SHA256_KDF},
		{ck.CKM_ECDH_AES_KEY_WRAP, "curve25519", ecdh.X25519(), 128, ck.CKD_SHA256_KDF},
		{ck.CKM_ECDH_COF_AES_KEY_WRAP, "secp384r1", ecdh.P384(), 256, ck.CKD_SHA256_KDF},
		{ck.CKM_ECDH_COF_AES_KEY_WRAP, "secp521r1", ecdh.P521(), 128, ck.CKD_NULL},
		{ck.CKM_ECDH_X_AES_KEY_WRAP, "curve25519", ecdh.X25519(), 256, ck.CKD_NULL},
		{ck.CKM_ECDH_AES_KEY_WRAP, "sect283r1", nil, 256, ck.CKD_SHA256_KDF},
		{ck.CKM_ECDH_COF_AES_KEY_WRAP, "sect163k1", nil, 128, ck.CKD_NULL},
		{ck.CKM_ECDH_X_AES_KEY_WRAP, "curve448", nil, 256, ck.CKD_SHA256_KDF},
	} {
		pub, priv := ecPair(t, x.name)
		m := Find(x.m)
		p := &ECDHAESKeyWrapParams{AESKeyBits: x.bits, KDF: x.kdf}
		if x.kdf != ck.CKD_NULL {
			p.SharedData = []byte("shared")
		}
		op, err := m.Wrap(pub, p)
		wrapped, err := single(op, err, target)
		if err != nil {
			t.Fatal(x.name, err)
		}
		if n, exact := op.FinishLen(len(target)); n != len(wrapped) || !exact {
			t.Errorf("%s: %d bytes announced, %d made", x.name, n, len(wrapped))
		}
		op, err = m.Unwrap(priv, p)
		if got, err := single(op, err, wrapped); err != nil || !bytes.Equal(got, target) {
			t.Errorf("%v, %s: %x, %v", x.m, x.name, got, err)
		}
		for _, at := range []int{len(wrapped) - 1, len(wrapped) - 9} {
			op, err = m.Unwrap(priv, p)
			_, err = single(op, err, flip(wrapped, at))
			wantRV(t, "changed", err, ck.CKR_WRAPPED_KEY_INVALID)
		}
		for _, bad := range [][]byte{nil, wrapped[:20], wrapped[:len(wrapped)-1]} {
			op, err = m.Unwrap(priv, p)
			_, err = single(op, err, bad)
			wantRV(t, "length", err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
		}
		if x.curve == nil {
			continue
		}
		public, rest := wrapped[:len(wrapped)-40], wrapped[len(wrapped)-40:]
		if x.m == ck.CKM_ECDH_COF_AES_KEY_WRAP {
			var inner []byte
			if more, err := asn1.Unmarshal(public, &inner); err != nil || len(more) > 0 {
				t.Fatalf("%s: no OCTET STRING: %v", x.name, err)
			}
			public = inner
		}
		if got := unwrapKWP(t, agreedKey(t, x.curve, priv, public, p), rest); !bytes.Equal(got, target) {
			t.Errorf("%s: other code finds %x", x.name, got)
		}
	}
}

// agreedKey is the AES key by the standard library and, with a key derivation
// function, ANSI X9.63 with SHA-256 for one block.
func agreedKey(t *testing.T, c ecdh.Curve, priv *Key, public []byte, p *ECDHAESKeyWrapParams) []byte {
	t.Helper()
	own, err := c.NewPrivateKey(priv.Value())
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	z, err := own.ECDH(other)
	if err != nil {
		t.Fatal(err)
	}
	if p.KDF == ck.CKD_SHA256_KDF {
		sum := sha256.Sum256(append(append(z, 0, 0, 0, 1), p.SharedData...))
		z = sum[:]
	}
	return z[:p.AESKeyBits/8]
}

func TestECDHAESKeyWrapRefusals(t *testing.T) {
	pub, priv := ecPair(t, "secp256r1")
	m := Find(ck.CKM_ECDH_AES_KEY_WRAP)
	for what, x := range map[string]struct {
		p    any
		want ck.RV
	}{
		"no parameter":           {nil, ck.CKR_MECHANISM_PARAM_INVALID},
		"an AES key of 64 bits":  {&ECDHAESKeyWrapParams{AESKeyBits: 64, KDF: ck.CKD_NULL}, ck.CKR_MECHANISM_PARAM_INVALID},
		"an unknown function":    {&ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: 0x7777}, ck.CKR_MECHANISM_PARAM_INVALID},
		"shared data of no use":  {&ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: ck.CKD_NULL, SharedData: []byte{1}}, ck.CKR_MECHANISM_PARAM_INVALID},
		"a size that overflows":  {&ECDHAESKeyWrapParams{AESKeyBits: 1<<63 + 128, KDF: ck.CKD_NULL}, ck.CKR_MECHANISM_PARAM_INVALID},
		"what wraps nothing yet": {&ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: ck.CKD_SHA256_KDF}, ck.CKR_OK},
	} {
		wantRV(t, what, errOf(m.Wrap(pub, x.p)), x.want)
		wantRV(t, what, errOf(m.Unwrap(priv, x.p)), x.want)
	}
	p := &ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: ck.CKD_NULL}
	op, err := m.Wrap(pub, p)
	_, err = single(op, err, nil)
	wantRV(t, "nothing to wrap", err, ck.CKR_KEY_SIZE_RANGE)
	op, err = m.Unwrap(priv, p)
	_, err = single(op, err, make([]byte, 65+24))
	wantRV(t, "no point", err, ck.CKR_WRAPPED_KEY_INVALID)
	short, _ := ecPair(t, "secp160r1")
	wantRV(t, "a short secret", errOf(m.Wrap(short, &ECDHAESKeyWrapParams{AESKeyBits: 256, KDF: ck.CKD_NULL})), ck.CKR_WRAPPING_KEY_SIZE_RANGE)
}
