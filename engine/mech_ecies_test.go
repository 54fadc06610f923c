package engine

import (
	"bytes"
	"errors"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func TestECIESAnswers(t *testing.T) {
	for _, a := range eciesAnswers {
		if err := a.test(); err != nil {
			t.Errorf("%s: %v", a.plain, err)
		}
	}
}

// eciesKey is a new private key.
func eciesKey(t *testing.T, curve string) *Key {
	t.Helper()
	c := testCurve(curve)
	value, _, err := c.generate()
	if err != nil {
		t.Fatal(err)
	}
	return c.testKey(answer{"value": value})
}

// eciesParams is a choice that all the others begin from.
func eciesParams() *ECIESParams {
	return &ECIESParams{
		DHPrimitive: ck.CKDHP_STANDARD, KDF: ck.CKD_SHA256_KDF, SharedData1: []byte("one"),
		EncScheme: ck.CKES_AES_CBC_PAD, EncKeyBits: 256,
		MACScheme: ck.CKMS_HMAC_SHA256, MACKeyBits: 256, MACBits: 256, SharedData2: []byte("two"),
	}
}

func eciesRun(f func(*Key, any) (Op, error), k *Key, p *ECIESParams, in []byte) ([]byte, error) {
	op, err := f(k, p)
	return runOp(op, err, in)
}

// Every choice of parameters gives what it takes.
func TestECIESCombinations(t *testing.T) {
	k := eciesKey(t, "secp256r1")
	message := bytes.Repeat([]byte("0123456789abcdef"), 3)
	for _, dh := range []uint64{ck.CKDHP_STANDARD, ck.CKDHP_ECDH1_COFACTOR} {
		for enc := uint64(ck.CKES_XOR); enc <= ck.CKES_AES_CBC; enc++ {
			for mac := uint64(ck.CKMS_HMAC_SHA1); mac <= ck.CKMS_RIPEMD160; mac++ {
				h := findHash(eciesHashes[mac])
				if h == nil {
					continue // RIPEMD-160 is a mechanism of another file
				}
				p := eciesParams()
				p.DHPrimitive, p.EncScheme, p.MACScheme, p.MACBits = dh, enc, mac, uint64(8*h.size)
				if enc == ck.CKES_DES3_CBC || enc == ck.CKES_DES3_CBC_PAD {
					p.EncKeyBits = 192
				}
				sealed, err := eciesRun(eciesEncrypt, k, p, message)
				if err != nil {
					t.Fatal(dh, enc, mac, err)
				}
				if want := 65 + eciesEncryptedLen(enc, len(message)) + h.size; len(sealed) != want {
					t.Errorf("%d %d %d: %d bytes, want %d", dh, enc, mac, len(sealed), want)
				}
				if got, err := eciesRun(eciesDecrypt, k, p, sealed); err != nil || !bytes.Equal(got, message) {
					t.Errorf("%d %d %d: %x %v", dh, enc, mac, got, err)
				}
			}
		}
	}
}

func eciesEncryptedLen(enc uint64, n int) int {
	switch enc {
	case ck.CKES_AES_CBC_PAD:
		return n + 16
	case ck.CKES_DES3_CBC_PAD:
		return n + 8
	}
	return n
}

func TestECIESCurves(t *testing.T) {
	for _, name := range []string{"secp224r1", "secp521r1", "secp256k1", "brainpoolP512t1", "sect163k1", "sect283r1", "c2pnb272w1", "curve25519"} {
		private := eciesKey(t, name)
		public := ecPublicHalf(t, private)
		for _, dh := range []uint64{ck.CKDHP_STANDARD, ck.CKDHP_ECDH1_COFACTOR} {
			for _, n := range []int{0, 1, 15, 16, 100} {
				p := eciesParams()
				p.DHPrimitive = dh
				message := pattern(n)
				sealed, err := eciesRun(eciesEncrypt, public, p, message)
				if err != nil {
					t.Fatal(name, err)
				}
				if got, err := eciesRun(eciesDecrypt, private, p, sealed); err != nil || !bytes.Equal(got, message) {
					t.Errorf("%s %d: %x %v", name, n, got, err)
				}
			}
		}
	}
}

func TestECIESParts(t *testing.T) {
	k := eciesKey(t, "secp256r1")
	p := eciesParams()
	message := pattern(1000)
	for _, f := range []func(*Key, any) (Op, error){eciesEncrypt, eciesDecrypt} {
		op, err := f(k, p)
		if err != nil {
			t.Fatal(err)
		}
		var in []byte
		if in = message; op.(*eciesOp).key != nil {
			if in, err = eciesRun(eciesEncrypt, k, p, message); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := op.Update(nil, in[:400]); err != nil {
			t.Fatal(err)
		}
		out, err := runOp(op, nil, in[400:])
		if err != nil {
			t.Fatal(err)
		}
		if op.(*eciesOp).key == nil {
			if out, err = eciesRun(eciesDecrypt, k, p, out); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out, message) {
			t.Errorf("%x", out)
		}
	}
	op, err := eciesEncrypt(k, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Update(nil, make([]byte, eciesMaxParts+1)); !errors.Is(err, ck.CKR_DATA_LEN_RANGE) {
		t.Error(err)
	}
}

func TestECIESBadParameters(t *testing.T) {
	k := eciesKey(t, "secp256r1")
	for name, change := range map[string]func(p *ECIESParams){
		"primitive 0":           func(p *ECIESParams) { p.DHPrimitive = 0 },
		"modified primitive":    func(p *ECIESParams) { p.DHPrimitive = ck.CKDHP_MODIFIED },
		"primitive 4":           func(p *ECIESParams) { p.DHPrimitive = 4 },
		"no derivation":         func(p *ECIESParams) { p.KDF = ck.CKD_NULL },
		"unknown derivation":    func(p *ECIESParams) { p.KDF = 1 << 40 },
		"encryption 0":          func(p *ECIESParams) { p.EncScheme = 0 },
		"encryption 6":          func(p *ECIESParams) { p.EncScheme = 6 },
		"key of 0 bits":         func(p *ECIESParams) { p.EncKeyBits = 0 },
		"key of 100 bits":       func(p *ECIESParams) { p.EncKeyBits = 100 },
		"DES key of 64 bits":    func(p *ECIESParams) { p.EncScheme, p.EncKeyBits = ck.CKES_DES3_CBC, 64 },
		"huge key":              func(p *ECIESParams) { p.EncKeyBits = 1 << 63 },
		"authentication 0":      func(p *ECIESParams) { p.MACScheme = 0 },
		"authentication 13":     func(p *ECIESParams) { p.MACScheme = 13 },
		"no authentication key": func(p *ECIESParams) { p.MACKeyBits = 0 },
		"key of 257 bits":       func(p *ECIESParams) { p.MACKeyBits = 257 },
		"huge authentication":   func(p *ECIESParams) { p.MACKeyBits = 1 << 63 },
		"no code":               func(p *ECIESParams) { p.MACBits = 0 },
		"code of 12 bits":       func(p *ECIESParams) { p.MACBits = 12 },
		"code too long":         func(p *ECIESParams) { p.MACBits = 264 },
	} {
		p := eciesParams()
		change(p)
		for _, f := range []func(*Key, any) (Op, error){eciesEncrypt, eciesDecrypt} {
			if _, err := f(k, p); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, p := range []any{nil, (*ECIESParams)(nil), []byte{1}} {
		if _, err := eciesEncrypt(k, p); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestECIESBadCiphertexts(t *testing.T) {
	k := eciesKey(t, "secp256r1")
	p := eciesParams()
	sealed, err := eciesRun(eciesEncrypt, k, p, []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 33, 64, 65, 80, 81, len(sealed) - 1} {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 0x10
		if got, err := eciesRun(eciesDecrypt, k, p, damaged); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_INVALID) {
			t.Errorf("damaged at %d: %x %v", i, got, err)
		}
	}
	for _, n := range []int{0, 1, 64, 65, 97, len(sealed) - 1} {
		if got, err := eciesRun(eciesDecrypt, k, p, sealed[:n]); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE) {
			t.Errorf("%d bytes: %x %v", n, got, err)
		}
	}
	for name, change := range map[string]func(p *ECIESParams){
		"shared data 1": func(p *ECIESParams) { p.SharedData1 = nil },
		"shared data 2": func(p *ECIESParams) { p.SharedData2 = nil },
		"derivation":    func(p *ECIESParams) { p.KDF = ck.CKD_SHA384_KDF },
		"key length":    func(p *ECIESParams) { p.EncKeyBits = 128 },
		"hash":          func(p *ECIESParams) { p.MACScheme = ck.CKMS_SHA256 },
	} {
		other := eciesParams()
		change(other)
		if got, err := eciesRun(eciesDecrypt, k, other, sealed); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_INVALID) {
			t.Errorf("other %s: %x %v", name, got, err)
		}
	}
	if got, err := eciesRun(eciesDecrypt, eciesKey(t, "secp256r1"), p, sealed); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_INVALID) {
		t.Errorf("other key: %x %v", got, err)
	}
	p.EncScheme = ck.CKES_AES_CBC
	if _, err := eciesRun(eciesEncrypt, k, p, []byte("message")); !errors.Is(err, ck.CKR_DATA_LEN_RANGE) {
		t.Errorf("no whole block: %v", err)
	}
}

// The point of order 2 would give away the last bit of the private value.
func TestECIESSmallSubgroup(t *testing.T) {
	c := testCurve("sect163k1")
	k := eciesKey(t, "sect163k1")
	two, err := c.decodePoint(append([]byte{2}, make([]byte, c.size)...))
	if err != nil {
		t.Fatal(err)
	}
	public := c.testVerifyKey(answer{"point": two})
	for _, dh := range []uint64{ck.CKDHP_STANDARD, ck.CKDHP_ECDH1_COFACTOR} {
		p := eciesParams()
		p.DHPrimitive = dh
		sealed, err := eciesRun(eciesEncrypt, k, p, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		copy(sealed, two)
		if got, err := eciesRun(eciesDecrypt, k, p, sealed); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_INVALID) {
			t.Errorf("%x %v", got, err)
		}
		if got, err := eciesRun(eciesEncrypt, public, p, nil); !errors.Is(err, ck.CKR_KEY_TYPE_INCONSISTENT) {
			t.Errorf("%x %v", got, err)
		}
	}
}
