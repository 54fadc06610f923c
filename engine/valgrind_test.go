//go:build valgrind && linux && amd64

package engine

// Constant time under valgrind: see docs/SECURITY.md. test/ct runs these tests;
// by themselves, without valgrind, they fail.

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/drbg"
	"github.com/perilune/perilune/engine/internal/vaes"
)

// leaks reports whether memcheck finds something in f.
func leaks(t *testing.T, f func()) bool {
	t.Helper()
	if !ct.Valgrind() {
		t.Fatal("this test needs valgrind: run test/ct")
	}
	before := ct.Errors()
	f()
	return ct.Errors() > before
}

// constantTime checks that memcheck finds nothing in f.
func constantTime(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if leaks(t, func() { f(t) }) {
			t.Error("depends on secrets in a way that timing can show: see valgrind's report")
		}
	})
}

// hide marks the secrets of the keys.
func (s *sampleKeys) hide() {
	for _, k := range []*Key{s.secret, s.private, s.peerPrivate} {
		for _, t := range s.set {
			if k != nil {
				ct.Secret(k.Bytes(t))
			}
		}
		for _, o := range s.open {
			if k != nil {
				ct.Public(k.Value()[o[0]:o[1]])
			}
		}
	}
}

// shortRows are the rows for every day: one for each primitive, for each padding
// and for each comparison, and some that must be found to leak.
var shortRows = []ck.MechanismType{
	ck.CKM_RSA_PKCS, ck.CKM_RSA_PKCS_OAEP, ck.CKM_SHA256_RSA_PKCS_PSS, ck.CKM_RSA_AES_KEY_WRAP, ck.CKM_KEY_WRAP_SET_OAEP,
	ck.CKM_DSA_SHA256, ck.CKM_KCDSA_SHA256, ck.CKM_DH_PKCS_DERIVE, ck.CKM_X9_42_MQV_DERIVE,
	ck.CKM_ECDSA_SHA256, ck.CKM_ECDH1_DERIVE, ck.CKM_ECMQV_DERIVE, ck.CKM_ECIES, ck.CKM_EC_KEY_PAIR_GEN,
	ck.CKM_AES_CBC_PAD, ck.CKM_AES_CBC_PAD_IPSEC, ck.CKM_AES_GCM, ck.CKM_AES_CCM, ck.CKM_AES_CTR, ck.CKM_AES_CMAC, ck.CKM_AES_XTS,
	ck.CKM_AES_KEY_WRAP, ck.CKM_AES_KEY_WRAP_KWP, ck.CKM_AES_KEY_WRAP_PKCS7,
	ck.CKM_ARIA_CBC_PAD, ck.CKM_ARIA_GCM, ck.CKM_SEED_CBC_PAD, ck.CKM_CAMELLIA_CBC_PAD, ck.CKM_SM4_CBC_PAD, ck.CKM_SM4_GCM,
	ck.CKM_CHACHA20_POLY1305, ck.CKM_SHA256_HMAC, ck.CKM_SHA3_256_HMAC, ck.CKM_HKDF_DERIVE, ck.CKM_TLS12_KEY_AND_MAC_DERIVE,
	ck.CKM_ML_KEM, ck.CKM_HASH_ML_DSA_SHA256, ck.CKM_AES_KEY_GEN,
	ck.CKM_DES3_CBC_PAD, ck.CKM_CAST128_CBC, ck.CKM_RC2_CBC, ck.CKM_MD2_HMAC,
}

// TestMechanisms runs every use of every row with secret keys, and with secret
// plaintexts and keys to wrap; with ciphertexts and signatures that are wrong
// too. Nothing may show. PERILUNE_SOAK=1 takes all rows, on all curves of the
// samples.
func TestMechanisms(t *testing.T) { hiddenTrials(t, func(m *Mechanism) bool { return m.Leaks == "" }) }

// TestLeakingMechanisms is of the rows that say in Leaks what shows: it must.
func TestLeakingMechanisms(t *testing.T) {
	hiddenTrials(t, func(m *Mechanism) bool { return m.Leaks != "" })
}

func hiddenTrials(t *testing.T, which func(m *Mechanism) bool) {
	all := os.Getenv("PERILUNE_SOAK") == "1"
	for _, m := range Mechanisms() {
		if m.alias || !which(m) || !all && !slices.Contains(shortRows, m.Type) {
			continue
		}
		t.Run(m.Type.String(), func(t *testing.T) {
			for _, u := range uses {
				if u.has(m) && !slowUse(m, u) && !strings.Contains(m.Leaks, "time of a generation") {
					t.Run(u.name, func(t *testing.T) { hiddenTrial(t, m, u, all) })
				}
			}
		})
	}
}

// curvesOfOurs are those that the short form tests: one of each kind of our
// arithmetic.
var curvesOfOurs = []string{"secp256r1", "secp384r1", "brainpoolP256r1", "secp256k1", "sect163k1"}

func hiddenTrial(t *testing.T, m *Mechanism, u use, all bool) {
	_ = findTrial(t, m, u, func(x *trial, in, made []byte) bool {
		short := !all && m.Type != ck.CKM_EC_KEY_PAIR_GEN
		if short && x.keys.private != nil && x.keys.private.Type == ck.CKK_EC && !slices.Contains(curvesOfOurs, x.keys.name) {
			return true
		}
		t.Run(x.keys.name, func(t *testing.T) {
			x.t = t
			x.hidden(u, in, made)
		})
		return all || x.keys.private != nil
	})
}

// hidden runs u with secrets, and then with something that is wrong.
func (x *trial) hidden(u use, in, made []byte) {
	x.keys.hide()
	// What leaks may leak messages only, such as MD2 before a signature.
	if x.m.Leaks != "" || u.name == "encrypt" || strings.HasPrefix(u.name, "wrap") || u.name == "message-encrypt" {
		ct.Secret(in)
	}
	p := cloneParam(x.p)
	var err error
	found := leaks(x.t, func() { _, err = u.run(x, in, bytes.Clone(made)) })
	if err != nil {
		x.t.Error(err)
	}
	if found && x.m.Leaks == "" {
		x.t.Error("depends on secrets in a way that timing can show: see valgrind's report")
	}
	// Some rows leak with some parameters only, and say with which.
	if !found && x.m.Leaks != "" && !strings.Contains(x.m.Leaks, "with ") && len(x.m.Keys) > 0 {
		x.t.Errorf("found nothing, but the row says: %s", x.m.Leaks)
	}
	if u.before == "" || x.m.Leaks != "" {
		return
	}
	for _, at := range []int{0, len(made) - 1} {
		x.p = cloneParam(p)
		bad := bytes.Clone(made)
		bad[at] ^= 1
		if leaks(x.t, func() { _, _ = u.run(x, in, bad) }) {
			x.t.Errorf("with byte %d wrong, depends on secrets in a way that timing can show: see valgrind's report", at)
		}
	}
}

// TestGenerator runs the generator of random numbers on secret entropy.
func TestGenerator(t *testing.T) {
	constantTime(t, "CTR_DRBG", func(t *testing.T) {
		entropy := pattern(drbg.EntropyLen + drbg.NonceLen)
		ct.Secret(entropy)
		d := drbg.New(entropy[:drbg.EntropyLen], entropy[drbg.EntropyLen:], nil)
		d.Reseed(entropy[:drbg.EntropyLen], nil)
		for _, n := range []int{1, 32, 1000} {
			d.Generate(make([]byte, n), entropy)
		}
	})
}

var lookedUp = [256]byte{1, 2, 3}

// TestVectors runs what is done by the vectors of the processor with their kernels in
// Go, on secret keys and messages.
func TestVectors(t *testing.T) {
	constantTime(t, "AES-GCM", func(t *testing.T) {
		for _, n := range []int{5, 300} {
			key, plain := pattern(32), pattern(n)
			ct.Secret(key)
			ct.Secret(plain)
			k := vaes.NewKey(key)
			for _, ivLen := range []int{12, 16} {
				sealed, out := make([]byte, n+16), make([]byte, n)
				k.Seal(sealed, pattern(ivLen), plain, pattern(20))
				if !k.Open(out, pattern(ivLen), sealed[:n], sealed[n:], pattern(20)) {
					t.Error("not opened")
				}
				sealed[n] ^= 1
				if k.Open(out, pattern(ivLen), sealed[:n], sealed[n:], pattern(20)) {
					t.Error("a forgery is opened")
				}
			}
			k.NewStream(new([16]byte)).XORKeyStream(plain, plain)
		}
	})
}

// TestLeaks is of what memcheck must find. It is not run with the others.
func TestLeaks(t *testing.T) {
	secret := func() []byte {
		b := []byte("a secret of some length")
		ct.Secret(b)
		return b
	}
	var sink byte
	for name, f := range map[string]func(){
		"look-up": func() { sink += lookedUp[secret()[3]] },
		"branch": func() {
			if secret()[2] > 17 {
				println("larger")
			}
		},
		"early exit": func() {
			a, b := secret(), secret()
			for i := range a {
				if a[i] != b[i] {
					println("differs")
				}
			}
		},
		"length": func() { _ = make([]byte, secret()[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			if !leaks(t, f) {
				t.Error("not found")
			}
		})
	}
	if leaks(t, func() {
		b := secret()
		sink ^= b[0] & b[1]
		ct.Public(b)
		if b[2] > 17 && ct.Reveal(sink) == 0 {
			println("zero")
		}
	}) {
		t.Error("found something where there is nothing")
	}
	lookedUp[0] = ct.Reveal(sink)
}
