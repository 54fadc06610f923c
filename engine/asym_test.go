package engine

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Helpers of the tests of mechanisms with key pairs.

// completed runs Complete as the HSM does with keys from outside.
func completed(t testing.TB, k *Key) *Key {
	t.Helper()
	if err := complete(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func complete(k *Key) error {
	more, err := FindKeyType(k.Type).Complete(k)
	if err != nil {
		return err
	}
	for _, a := range more {
		k.Attrs = slices.DeleteFunc(k.Attrs, func(b ck.Attribute) bool { return a.Type == b.Type })
		k.Attrs = append(k.Attrs, a)
	}
	return nil
}

// pair generates a key pair with mechanism m.
func pair(t testing.TB, m ck.MechanismType, public ...ck.Attribute) (pub, priv *Key) {
	t.Helper()
	row := Find(m)
	a, b, err := row.GeneratePair(nil, public, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{Class: ck.CKO_PUBLIC_KEY, Type: row.Makes, Attrs: a},
		&Key{Class: ck.CKO_PRIVATE_KEY, Type: row.Makes, Attrs: b}
}

// published is the RSA key pair of the self-tests, of 2048 bits.
func published(t testing.TB) (pub, priv *Key) {
	t.Helper()
	k, err := testRSAKey()
	if err != nil {
		t.Fatal(err)
	}
	return publicOf(k), &Key{Class: k.Class, Type: k.Type, Attrs: k.Attrs}
}

func publicOf(k *Key) *Key {
	pub := &Key{Class: ck.CKO_PUBLIC_KEY, Type: k.Type}
	for _, t := range []ck.AttributeType{ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT, ck.CKA_EC_PARAMS, ck.CKA_EC_POINT} {
		if v := k.Bytes(t); v != nil {
			pub.Attrs = append(pub.Attrs, ck.NewBytes(t, v))
		}
	}
	return pub
}

// rsaPair returns a key pair of so many bits, made once.
var rsaPair = func() func(t testing.TB, bits uint64) (pub, priv *Key) {
	var mu sync.Mutex
	made := map[uint64][2]*Key{}
	return func(t testing.TB, bits uint64) (pub, priv *Key) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if _, ok := made[bits]; !ok {
			pub, priv := pair(t, ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.NewULong(ck.CKA_MODULUS_BITS, bits))
			made[bits] = [2]*Key{pub, priv}
		}
		return made[bits][0], made[bits][1]
	}
}()

// single runs op in one part, with the output over the input, as a caller may.
func single(op Op, err error, src []byte) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	size, exact := op.FinishLen(len(src))
	buf := make([]byte, max(size, len(src)))
	copy(buf, src)
	n, err := op.Finish(buf[:size], buf[:len(src)])
	if err != nil {
		return nil, err
	}
	if n > size || exact && n != size {
		return nil, errors.New("FinishLen told another length")
	}
	return buf[:n], nil
}

func sign(k *Key, m ck.MechanismType, p any, message []byte) ([]byte, error) {
	op, err := Find(m).Sign(k, p)
	return single(op, err, message)
}

func verify(k *Key, m ck.MechanismType, p any, message, sig []byte) error {
	v, err := Find(m).Verify(k, p)
	if err != nil {
		return err
	}
	return v.Verify(message, sig)
}

func encrypt(k *Key, m ck.MechanismType, p any, data []byte) ([]byte, error) {
	op, err := Find(m).Encrypt(k, p)
	return single(op, err, data)
}

func decrypt(k *Key, m ck.MechanismType, p any, data []byte) ([]byte, error) {
	op, err := Find(m).Decrypt(k, p)
	return single(op, err, data)
}

// wantRV checks the code of an error; CKR_OK stands for none.
func wantRV(t testing.TB, what string, err error, want ck.RV) {
	t.Helper()
	if want == ck.CKR_OK && err == nil || want != ck.CKR_OK && errors.Is(err, want) {
		return
	}
	t.Errorf("%s: %v, want %v", what, err, want)
}

// flip returns b with one bit changed.
func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// openssl runs the openssl command in a new directory, as an oracle; the test
// is skipped where there is none.
type openssl struct {
	t   *testing.T
	dir string
}

func newOpenSSL(t *testing.T) *openssl {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl command")
	}
	return &openssl{t, t.TempDir()}
}

func (o *openssl) run(args ...string) []byte {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatalf("openssl %v: %v", args, err)
	}
	return out
}

func (o *openssl) try(args ...string) ([]byte, error) {
	cmd := exec.Command("openssl", args...)
	cmd.Dir = o.dir
	out, err := cmd.Output()
	if e := new(exec.ExitError); errors.As(err, &e) {
		return out, errors.New(string(e.Stderr))
	}
	return out, err
}

func (o *openssl) file(name string) string { return filepath.Join(o.dir, name) }
