package jks

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/migrate/pbe"
)

// The stores in testdata were made by keytool 17, with this password.
const password = "Very-Secret-6-user"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStores(t *testing.T) {
	for name, aliases := range map[string]string{"store.jks": "root web", "store.jceks": "old root vault web"} {
		list, err := Open(read(t, name), []byte(password), nil)
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]Entry{}
		for _, e := range list {
			if e.Err != nil || e.Created.Year() < 2026 {
				t.Errorf("%s: %s, made %v: %v", name, e.Alias, e.Created, e.Err)
			}
			by[e.Alias] = e
		}
		for alias := range strings.FieldsSeq(aliases) {
			if _, ok := by[alias]; !ok || len(by) != len(strings.Fields(aliases)) {
				t.Errorf("%s: %d entries, %s is there: %v", name, len(by), alias, ok)
			}
		}
		if _, err := x509.ParsePKCS8PrivateKey(by["web"].Key); err != nil || len(by["web"].Certificates) != 2 {
			t.Errorf("%s: %d certificates, %v", name, len(by["web"].Certificates), err)
		}
		if c := by["root"].Certificates; by["root"].Kind != Trusted || len(c) != 1 || !bytes.Equal(c[0], by["web"].Certificates[1]) {
			t.Errorf("%s: the root is %+v", name, by["root"])
		}
		if e := by["vault"]; name == "store.jceks" && (e.Algorithm != "AES" || len(e.Key) != 32) {
			t.Errorf("%s: %s of %d bytes", name, e.Algorithm, len(e.Key))
		}
		if e := by["old"]; name == "store.jceks" && (e.Algorithm != "DESede" || len(e.Key) != 24) {
			t.Errorf("%s: %s of %d bytes", name, e.Algorithm, len(e.Key))
		}
	}
}

func TestWrongPassword(t *testing.T) {
	for _, name := range []string{"store.jks", "store.jceks"} {
		if _, err := Open(read(t, name), []byte("wrong"), nil); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
		list, err := Open(read(t, name), []byte(password), []byte("wrong"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if encrypted := e.Kind != Trusted; encrypted != errors.Is(e.Err, errKeyPassword) {
				t.Errorf("%s: %s: %v", name, e.Alias, e.Err)
			}
		}
		list, err = Open(read(t, name), []byte(password), []byte("pässword"))
		if err != nil {
			t.Fatal(err)
		}
		if list[0].Err == nil && list[1].Err == nil {
			t.Errorf("%s: a password of other characters opens it", name)
		}
	}
}

// The hash at the end covers every byte.
func TestChangedByte(t *testing.T) {
	for _, name := range []string{"store.jks", "store.jceks"} {
		whole := read(t, name)
		for i := range whole {
			bad := bytes.Clone(whole)
			bad[i] ^= 1
			if _, err := Open(bad, []byte(password), nil); err == nil {
				t.Fatalf("%s: byte %d was changed unnoticed", name, i)
			}
		}
	}
}

// Salts of equal halves are turned round in Java's own way.
func TestEqualHalves(t *testing.T) {
	if got := turned([8]byte{1, 2, 3, 4, 1, 2, 3, 4}); got != [8]byte{4, 1, 2, 4, 1, 2, 3, 4} {
		t.Errorf("%v", got)
	}
	if got := turned([8]byte{1, 2, 3, 4, 1, 2, 3, 5}); got != [8]byte{1, 2, 3, 4, 1, 2, 3, 5} {
		t.Errorf("%v", got)
	}
}

func TestModifiedUTF8(t *testing.T) {
	for text, want := range map[string]string{"abc": "abc", "\xc3\xa4": "ä", "\xe2\x82\xac": "€", "\xc0\x80": "\x00",
		"\xed\xa0\xbd\xed\xb8\x80": "😀", "\xff": "\uFFFD", "\xe2\x82": "\uFFFD\uFFFD"} {
		if got := modifiedUTF8([]byte(text)); got != want {
			t.Errorf("%x: %q, want %q", text, got, want)
		}
	}
}

// sealed puts the right hash behind a store, so that what is before it is read.
func sealed(body []byte) []byte {
	h := sha1.New()
	h.Write(utf16Bytes([]byte(password)))
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(body)
	return h.Sum(bytes.Clone(body))
}

// Damage before the hash, which somebody who knows the password could make, is an
// error and no more.
func TestDamagedBeforeTheHash(t *testing.T) {
	for _, name := range []string{"store.jks", "store.jceks"} {
		whole := read(t, name)
		body := whole[:len(whole)-sha1.Size]
		if _, err := Open(sealed(body), []byte(password), nil); err != nil {
			t.Fatal(err)
		}
		for n := range body {
			if _, err := Open(sealed(body[:n]), []byte(password), nil); err == nil {
				t.Errorf("%s, cut to %d bytes, was taken", name, n)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"store.jks", "store.jceks"} {
		whole := read(f, name)
		f.Add(whole[:len(whole)-sha1.Size])
	}
	pbe.MaxIterations = 4096
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := Open(sealed(body), []byte(password), nil)
		if err == nil && len(list) > len(body) {
			t.Errorf("%d entries in %d bytes", len(list), len(body))
		}
	})
}

// Objects are read by themselves too, since a store seldom lets damage through.
func FuzzObject(f *testing.F) {
	whole := read(f, "store.jceks")
	for i := range whole {
		if bytes.HasPrefix(whole[i:], []byte{0xac, 0xed, 0, 5}) {
			f.Add(whole[i:])
		}
	}
	pbe.MaxIterations = 4096
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := (&reader{left: data}).object()
		if err != nil {
			return
		}
		_, _, _ = openSecret(o, []byte(password))
	})
}
