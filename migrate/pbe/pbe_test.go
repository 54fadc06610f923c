package pbe

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The keys in testdata were made by OpenSSL 3.0, each encrypted in the way that
// its name says, with this password.
const password = "Very-Secret-6-user"

func read(t testing.TB, path string) (e EncryptedKey, der []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if _, err := asn1.Unmarshal(block.Bytes, &e); err != nil {
		t.Fatal(err)
	}
	return e, block.Bytes
}

func TestSchemes(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.pem")
	if len(files) < 15 {
		t.Fatalf("%d files", len(files))
	}
	var first []byte
	for _, path := range files {
		e, _ := read(t, path)
		plain, err := Open(e.Algorithm, []byte(password), e.Data)
		if err != nil || !Known(e.Algorithm.OID) {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if first == nil {
			first = plain
		}
		if !bytes.Equal(plain, first) || plain[0] != 0x30 {
			t.Errorf("%s: another key comes out", path)
		}
		if wrong, err := Open(e.Algorithm, []byte("wrong"), e.Data); err == nil && bytes.Equal(wrong, first) {
			t.Errorf("%s: any password opens it", path)
		}
	}
}

// The keys of OpenSSL prove the derivation with one hash; this, that it goes on as
// it began.
func TestLongKDF(t *testing.T) {
	text, err := BMP([]byte("sesame"))
	if err != nil {
		t.Fatal(err)
	}
	p := Params{bytes.Repeat([]byte{255}, 20), 3}
	long := KDF(sha256.New, keyForIV, text, p, 100)
	if !bytes.Equal(long[:20], KDF(sha256.New, keyForIV, text, p, 20)) || bytes.Equal(long[:32], long[32:64]) {
		t.Errorf("%x", long)
	}
	if bytes.Equal(long, KDF(sha256.New, keyForKey, text, p, 100)) || bytes.Equal(long, KDF(sha256.New, keyForIV, nil, p, 100)) {
		t.Error("what it is for, or the password, does not count")
	}
}

func TestRefused(t *testing.T) {
	e, _ := read(t, "testdata/aes256.pem")
	if _, err := Open(Algorithm{OID: asn1.ObjectIdentifier{1, 2, 3}}, nil, e.Data); !errors.Is(err, ErrScheme) {
		t.Errorf("an unknown scheme: %v", err)
	}
	if _, err := Open(e.Algorithm, []byte(password), e.Data[:len(e.Data)-1]); !errors.Is(err, ErrPassword) {
		t.Errorf("half a block: %v", err)
	}
	if _, err := Open(e.Algorithm, []byte(password), nil); !errors.Is(err, ErrPassword) {
		t.Errorf("no data: %v", err)
	}
	for _, der := range [][]byte{nil, {0x30, 0}, {0x30, 6, 4, 1, 1, 2, 1, 0}} {
		if _, err := ReadParams(der); !errors.Is(err, ErrScheme) {
			t.Errorf("parameters %x: %v", der, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.pem")
	for _, path := range files {
		_, der := read(f, path)
		f.Add(der)
	}
	MaxIterations, MaxScryptMemory = 4096, 4<<20
	f.Fuzz(func(t *testing.T, der []byte) {
		var e EncryptedKey
		if _, err := asn1.Unmarshal(der, &e); err != nil {
			return
		}
		plain, err := Open(e.Algorithm, []byte(password), e.Data)
		if err == nil && len(plain) > len(e.Data) {
			t.Errorf("%d bytes of %d", len(plain), len(e.Data))
		}
	})
}
