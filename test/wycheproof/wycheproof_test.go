// Package wycheproof runs the Wycheproof test vectors through the C API: every
// file for a mechanism that the module has, every case that the API can
// express. Cases that it cannot are counted and the reason printed.
package wycheproof

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

var (
	mod     *c11.Module
	session uint64
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wycheproof")
	if err == nil {
		os.Setenv("PERILUNE_HOME", dir)
		err = openModule()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	mod.Finalize()
	os.RemoveAll(dir)
	os.Exit(code)
}

func openModule() (err error) {
	path, err := built.FindLibrary()
	if err != nil {
		return err
	}
	if mod, err = c11.Open(path); err != nil {
		return err
	}
	if rv := mod.Initialize(); rv != ck.CKR_OK {
		return fmt.Errorf("C_Initialize: %w", rv)
	}
	session, err = mod.Token("so pin 1", "user pin")
	return err
}

// hexBytes is a byte string that JSON holds in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	if len(text)%2 == 1 { // big integers come without their leading zero
		text = append([]byte("0"), text...)
	}
	*b, err = hex.DecodeString(string(text))
	return err
}

// file is a file of vectors: the union of what the schemas used here hold.
type file struct {
	Algorithm     string
	NumberOfTests int
	TestGroups    []*group
}

type group struct {
	Type                         string
	KeySize, IvSize, TagSize     int
	Sha, Mgf, MgfSha             string
	SLen                         uint64
	Curve, ParameterSet          string
	PublicKey, PrivateKey        json.RawMessage
	PublicKeyDer                 hexBytes
	PrivateSeed, PrivateKeyPkcs8 hexBytes
	Tests                        []*vector
}

type vector struct {
	TcID                                        int
	Comment                                     string
	Flags                                       []string
	Result                                      string
	Key, Iv, Aad, Msg, Ct, Tag, Sig, Label, Ctx hexBytes
	Ikm, Salt, Info, Okm, Password, Dk, Shared  hexBytes
	Seed, Ek, C, K, Rnd, Value                  hexBytes
	Public, Private                             json.RawMessage
	Size, IterationCount, DkLen                 uint64
	Name, OID                                   string
	P, N, A, B, Gx, Gy                          hexBytes
}

// object reads a part of a vector that has a structure of its own.
func object[T any](raw json.RawMessage) (v T) {
	if err := json.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	return v
}

func load(t *testing.T, name string) *file {
	t.Helper()
	dir, err := vectors()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, name+"_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := new(file)
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	n := 0
	for _, g := range f.TestGroups {
		n += len(g.Tests)
	}
	if n == 0 || n != f.NumberOfTests {
		t.Fatalf("%s: read %d cases of %d", name, n, f.NumberOfTests)
	}
	return f
}

// inexpressible is the answer of a case that the C API has no way to ask.
type inexpressible string

func (e inexpressible) Error() string { return string(e) }

// check puts one case to the module. It returns nil if the module did what a
// valid case asks for, CKR errors where it refused, and other errors where it
// did something wrong.
type check func(a *c11.Arena, g *group, v *vector) error

// run puts the cases of a file to check: all, or one in so many of each kind,
// which is what the vectors tell of a case.
func run(t *testing.T, name string, every int, check check) {
	f := load(t, name)
	right, left, met := 0, map[string]int{}, map[string]int{}
	if os.Getenv("PERILUNE_SOAK") != "" {
		every = 1
	}
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			kind := fmt.Sprint(v.Result, v.Flags)
			met[kind]++
			if every > 1 && met[kind]%every != 1 {
				continue
			}
			var a c11.Arena
			err := check(&a, g, v)
			a.Free()
			if why, ok := err.(inexpressible); ok {
				left[string(why)]++
				continue
			}
			_, refused := err.(ck.RV)
			switch {
			case err != nil && !refused:
				t.Errorf("case %d (%s, %v): %v", v.TcID, v.Comment, v.Flags, err)
			case v.Result == "valid" && refused:
				t.Errorf("case %d (%s, %v): valid, but refused with %v", v.TcID, v.Comment, v.Flags, err)
			case v.Result == "invalid" && !refused:
				t.Errorf("case %d (%s, %v): invalid, but accepted", v.TcID, v.Comment, v.Flags)
			default:
				right++
			}
		}
	}
	if right == 0 {
		t.Error("no case was run")
	}
	for why, n := range left {
		t.Logf("%d cases cannot be asked: %s", n, why)
	}
	t.Logf("%d of %d cases right", right, f.NumberOfTests)
}

func different(what string, got, want []byte) error {
	return fmt.Errorf("%s is %x, want %x", what, got, want)
}

func bools(value bool, types ...ck.AttributeType) (list []ck.Attribute) {
	for _, t := range types {
		list = append(list, ck.NewBool(t, value))
	}
	return list
}

// secret makes a session key that can do everything.
func secret(kind ck.KeyType, value []byte) (uint64, ck.RV) {
	t := append(bools(true, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE),
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_VALUE, value), ck.NewBool(ck.CKA_SENSITIVE, false))
	return mod.Create(session, t...)
}

// withSecret makes a key and runs fn with it.
func withSecret(kind ck.KeyType, value []byte, fn func(key uint64) error) error {
	key, rv := secret(kind, value)
	if rv != ck.CKR_OK {
		return rv
	}
	defer mod.Destroy(session, key)
	return fn(key)
}

func join(b ...[]byte) []byte { return bytes.Join(b, nil) }
