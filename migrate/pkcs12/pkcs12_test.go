package pkcs12

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/migrate/pbe"
)

// The files in testdata were made by OpenSSL 3.0 and keytool 17 of one key, with
// this password unless they have none.
const password = "Very-Secret-6-user"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Every way of encrypting gives the same key and certificates.
func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name, password string
		protected      bool
	}{
		{"modern.p12", password, true},
		{"legacy.p12", password, true}, // RC2 of 40 bits, triple DES
		{"rc.p12", password, true},     // RC4, RC2 of 128 bits, MAC with SHA-512
		{"rc40.p12", password, true},   // RC4 of 40 bits, DES with two keys, MAC with SHA-384
		{"nomac.p12", password, false}, // Camellia, and no MAC
		{"empty.p12", "", true},
		{"plain.p12", "", false},
	} {
		f, err := Open(read(t, c.name), []byte(c.password), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if f.Protected != c.protected {
			t.Errorf("%s: protected %v", c.name, f.Protected)
		}
		var keys, certs int
		for _, b := range f.Bags {
			switch {
			case b.Err != nil:
				t.Errorf("%s: %v", c.name, b.Err)
			case b.Kind == Key:
				keys++
				if _, err := x509.ParsePKCS8PrivateKey(b.DER); err != nil || b.Name != "web" || len(b.ID) != 20 {
					t.Errorf("%s: key %q, identifier %x: %v", c.name, b.Name, b.ID, err)
				}
			case b.Kind == Certificate:
				certs++
				if _, err := x509.ParseCertificate(b.DER); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		if keys != 1 || certs != 2 {
			t.Errorf("%s: %d keys and %d certificates", c.name, keys, certs)
		}
	}
}

func TestJava(t *testing.T) {
	f, err := Open(read(t, "java.p12"), []byte(password), nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Kind{}
	for _, b := range f.Bags {
		if b.Err != nil {
			t.Errorf("%s: %v", b.Name, b.Err)
		}
		if b.Kind != Certificate || b.Name == "root" {
			found[b.Name] = b.Kind
		}
		if b.Name == "root" && len(b.Lost) != 1 {
			t.Errorf("the trusted certificate lost %v", b.Lost)
		}
	}
	if len(found) != 4 || found["web"] != Key || found["vault"] != Secret || found["old"] != Secret || found["root"] != Certificate {
		t.Errorf("found %v", found)
	}
}

func TestWrongPassword(t *testing.T) {
	for _, name := range []string{"modern.p12", "legacy.p12", "rc.p12", "nomac.p12", "empty.p12", "java.p12"} {
		for _, wrong := range []string{"wrong", "very-secret-6-user"} {
			if _, err := Open(read(t, name), []byte(wrong), nil); !errors.Is(err, ErrPassword) {
				t.Errorf("%s with %q: %v", name, wrong, err)
			}
		}
	}
	if _, err := Open(read(t, "modern.p12"), []byte{0xff}, nil); err == nil {
		t.Error("a password that is no text was taken")
	}
}

// The MAC covers every byte of what is in a file.
func TestChangedByte(t *testing.T) {
	whole := read(t, "modern.p12")
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		f, err := Open(bad, []byte(password), nil)
		if err != nil {
			continue
		}
		for _, b := range f.Bags {
			if b.Kind == Key && b.Err == nil && f.Protected {
				if good, err := Open(whole, []byte(password), nil); err != nil || !bytes.Equal(good.Bags[len(good.Bags)-1].DER, b.DER) {
					t.Fatalf("byte %d was changed, and the file says that it is whole", i)
				}
			}
		}
	}
}

// toBER writes DER with lengths that are not given beforehand, and octet strings
// in parts, as older programs do.
func toBER(t *testing.T, der []byte) (out []byte) {
	t.Helper()
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		tag := v.FullBytes[0]
		switch {
		case v.IsCompound:
			out = append(append(append(out, tag, 0x80), toBER(t, v.Bytes)...), 0, 0)
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString, v.Class == asn1.ClassContextSpecific && v.Tag == 0:
			half := len(v.Bytes) / 2
			out = append(out, tag|0x20, 0x80)
			out = append(out, wrap(octetString, v.Bytes[:half])...)
			out = append(append(out, wrap(octetString, v.Bytes[half:])...), 0, 0)
		default:
			out = append(out, v.FullBytes...)
		}
		der = rest
	}
	return out
}

func TestBER(t *testing.T) {
	for _, name := range []string{"modern.p12", "legacy.p12", "java.p12"} {
		der := read(t, name)
		ber := toBER(t, der)
		if bytes.Equal(ber, der) {
			t.Fatal("nothing was rewritten")
		}
		want, err := Open(der, []byte(password), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(ber, []byte(password), nil)
		if err != nil || len(got.Bags) != len(want.Bags) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range got.Bags {
			if !bytes.Equal(got.Bags[i].DER, want.Bags[i].DER) {
				t.Errorf("%s: bag %d differs", name, i)
			}
		}
	}
	for _, bad := range []string{"", "30", "3080", "30800000ff", "0480", "24800401", "3081", "308500ffffffff", "1f8100"} {
		b, _ := hex.DecodeString(bad)
		if _, err := toDER(b); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if _, err := toDER(bytes.Repeat([]byte{0x30, 0x80}, 10_000)); err == nil {
		t.Error("10,000 levels were taken")
	}
}

// A MAC by PBMAC1 (RFC 9579), made here of the file of OpenSSL's.
func TestPBMAC1(t *testing.T) {
	var p struct {
		Version int
		Safe    asn1.RawValue
		MAC     asn1.RawValue
	}
	if _, err := asn1.Unmarshal(read(t, "modern.p12"), &p); err != nil {
		t.Fatal(err)
	}
	var info contentInfo
	if _, err := asn1.Unmarshal(p.Safe.FullBytes, &info); err != nil {
		t.Fatal(err)
	}
	content, err := octets(info.Content)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("salty salt")
	key, err := pbkdf2.Key(sha256.New, password, salt, 2048, 32)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	hmacSHA256 := algorithm{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}
	params := der(t, struct{ KDF, MAC algorithm }{
		algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, raw(der(t, struct {
			Salt               []byte
			Iterations, Length int
			PRF                algorithm
		}{salt, 2048, 32, hmacSHA256}))}, hmacSHA256})
	for _, right := range []bool{true, false} {
		digest := mac.Sum(nil)
		if !right {
			digest[5] ^= 1
		}
		file := der(t, struct {
			Version int
			Safe    asn1.RawValue
			MAC     struct {
				MAC struct {
					Algorithm algorithm
					Digest    []byte
				}
				Salt       []byte
				Iterations int
			}
		}{3, raw(p.Safe.FullBytes), struct {
			MAC struct {
				Algorithm algorithm
				Digest    []byte
			}
			Salt       []byte
			Iterations int
		}{struct {
			Algorithm algorithm
			Digest    []byte
		}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}, raw(params)}, digest}, []byte("NOT USED"), 1}})
		f, err := Open(file, []byte(password), nil)
		if right && (err != nil || !f.Protected) || !right && !errors.Is(err, ErrPassword) {
			t.Errorf("right %v: %v", right, err)
		}
	}
}

type algorithm struct {
	OID    asn1.ObjectIdentifier
	Params asn1.RawValue `asn1:"optional"`
}

func raw(der []byte) asn1.RawValue { return asn1.RawValue{FullBytes: der} }

func der(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.p12")
	for _, name := range names {
		f.Add(read(f, filepath.Base(name)))
	}
	pbe.MaxIterations, pbe.MaxScryptMemory = 4096, 4<<20
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, pw := range [][]byte{[]byte(password), nil} {
			file, err := Open(data, pw, nil)
			if err != nil {
				continue
			}
			for _, b := range file.Bags {
				if b.Err == nil && b.DER == nil {
					t.Error("a bag with nothing in it")
				}
			}
		}
	})
}

// What toDER makes is read by Go, and stays as it is when rewritten once more.
func FuzzToDER(f *testing.F) {
	f.Add(read(f, "plain.p12"))
	f.Add([]byte{0x30, 0x80, 0x24, 0x80, 4, 1, 65, 4, 1, 66, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := toDER(data)
		if err != nil {
			return
		}
		twice, err := toDER(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x becomes %x, and that %x, %v", data, once, twice, err)
		}
	})
}
