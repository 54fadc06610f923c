// Package jks reads Java's own key stores, JKS and JCEKS: private keys with
// their certificates, trusted certificates, and secret keys.
package jks

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/perilune/perilune/migrate/pbe"
)

// Kind is what an entry holds.
type Kind int

// The kinds, by the number that stores give them.
const (
	PrivateKey Kind = 1
	Trusted    Kind = 2
	SecretKey  Kind = 3
)

// Entry is one alias. Err says why it cannot be read.
type Entry struct {
	Kind         Kind
	Alias        string
	Created      time.Time
	Key          []byte // PKCS #8 of a private key; the bytes of a secret one
	Algorithm    string // Java's name, of a secret key
	Certificates [][]byte
	Err          error

	encrypted []byte  // a private key
	sealed    *object // a secret key
}

// Errors.
var (
	ErrPassword    = errors.New("the password is wrong, or the file is damaged")
	errKeyPassword = errors.New("the password of the key is another than that of the store, or wrong; give it with --key-pin")
	errDamaged     = errors.New("it is damaged, or no key store")
)

const (
	magicJKS   = 0xFEEDFEED
	magicJCEKS = 0xCECECECE
)

// Is reports whether data look like such a store.
func Is(data []byte) bool {
	if len(data) < 12 {
		return false
	}
	m := binary.BigEndian.Uint32(data)
	return m == magicJKS || m == magicJCEKS
}

// Open reads a store. keyPassword opens its keys where they have one of their own;
// nil stands for the password of the store. Passwords are UTF-8.
func Open(data, password, keyPassword []byte) ([]Entry, error) {
	if !Is(data) || len(data) < 12+sha1.Size {
		return nil, errDamaged
	}
	if !utf8.Valid(password) || !utf8.Valid(keyPassword) {
		return nil, errors.New("the password is not in UTF-8")
	}
	body, sum := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
	h := sha1.New()
	h.Write(utf16Bytes(password))
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(body)
	if !hmac.Equal(h.Sum(nil), sum) {
		return nil, ErrPassword
	}
	if keyPassword == nil {
		keyPassword = password
	}
	list, err := (&reader{left: body}).store()
	for i := range list {
		list[i].open(keyPassword)
	}
	return list, err
}

// open decrypts the key of an entry.
func (e *Entry) open(password []byte) {
	switch e.Kind {
	case PrivateKey:
		e.Key, e.Err = openKey(e.encrypted, password)
	case SecretKey:
		e.Key, e.Algorithm, e.Err = openSecret(e.sealed, password)
	}
}

// utf16Bytes is a password as Java hashes it.
func utf16Bytes(password []byte) (out []byte) {
	for _, u := range utf16.Encode([]rune(string(password))) {
		out = binary.BigEndian.AppendUint16(out, u)
	}
	return out
}

// reader is what is left of a store.
type reader struct {
	left    []byte
	version uint32
	err     error
}

// take returns the next n bytes; after an error, zeros of a modest number.
func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.left)) {
		r.err = errDamaged
		return make([]byte, min(n, 8))
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) u16() uint16  { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32  { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64  { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) text() string { return modifiedUTF8(r.take(uint64(r.u16()))) }
func (r *reader) blob() []byte { return r.take(uint64(r.u32())) }

// modifiedUTF8 reads strings as Java writes them, with zeros in two bytes and
// surrogates one by one.
func modifiedUTF8(b []byte) string {
	var units []uint16
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c < 0x80:
			units = append(units, uint16(c))
			i++
		case c&0xe0 == 0xc0 && i+1 < len(b):
			units = append(units, uint16(c&0x1f)<<6|uint16(b[i+1]&0x3f))
			i += 2
		case c&0xf0 == 0xe0 && i+2 < len(b):
			units = append(units, uint16(c&0x0f)<<12|uint16(b[i+1]&0x3f)<<6|uint16(b[i+2]&0x3f))
			i += 3
		default:
			units = append(units, utf8.RuneError)
			i++
		}
	}
	return string(utf16.Decode(units))
}

func (r *reader) store() ([]Entry, error) {
	r.u32() // magic
	r.version = r.u32()
	if r.version != 1 && r.version != 2 {
		return nil, fmt.Errorf("it is a key store of version %d, which nobody knows here", r.version)
	}
	var list []Entry
	for range r.u32() {
		e := r.entry()
		if r.err != nil {
			return nil, r.err
		}
		list = append(list, e)
	}
	if r.err == nil && len(r.left) > 0 {
		r.err = errDamaged
	}
	return list, r.err
}

func (r *reader) entry() Entry {
	e := Entry{Kind: Kind(r.u32()), Alias: r.text()}
	e.Created = time.UnixMilli(int64(r.u64())).UTC()
	switch e.Kind {
	case PrivateKey:
		e.encrypted = r.blob()
		e.Certificates = r.certificates(r.u32())
	case Trusted:
		e.Certificates = r.certificates(1)
	case SecretKey:
		sealed, err := r.object()
		if err != nil {
			r.err = err
		}
		e.sealed = sealed
	default:
		r.err = errDamaged
	}
	return e
}

func (r *reader) certificates(n uint32) (list [][]byte) {
	for range n {
		if r.version == 2 {
			if kind := r.text(); kind != "X.509" && r.err == nil {
				r.err = fmt.Errorf("it holds a certificate of another kind than X.509")
			}
		}
		c := r.blob()
		if r.err != nil {
			return nil
		}
		list = append(list, c)
	}
	return list
}

var (
	oidJKS   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}
	oidJCEKS = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 19, 1}
)

// openKey opens the EncryptedPrivateKeyInfo of a private key.
func openKey(der, password []byte) ([]byte, error) {
	var e pbe.EncryptedKey
	if rest, err := asn1.Unmarshal(der, &e); err != nil || len(rest) > 0 {
		return nil, errDamaged
	}
	switch {
	case e.Algorithm.OID.Equal(oidJKS):
		return openJKS(e.Data, password)
	case e.Algorithm.OID.Equal(oidJCEKS):
		plain, err := openJCEKS(e.Algorithm.Params.FullBytes, e.Data, password)
		if err == nil && !pbe.IsSequence(plain) {
			err = errKeyPassword
		}
		return plain, err
	}
	return nil, fmt.Errorf("the key is encrypted in a way that nobody knows here (OID %v)", e.Algorithm.OID)
}

// openJKS opens what JKS encrypts: a salt, the key with a stream of hashes over it,
// and a hash of the key.
func openJKS(data, password []byte) ([]byte, error) {
	if len(data) < 2*sha1.Size {
		return nil, errDamaged
	}
	text := utf16Bytes(password)
	defer clear(text)
	last, sum := data[:sha1.Size], data[len(data)-sha1.Size:]
	body := data[sha1.Size : len(data)-sha1.Size]
	plain := make([]byte, len(body))
	for i := range body {
		if i%sha1.Size == 0 {
			d := sha1.Sum(append(append([]byte{}, text...), last...))
			last = d[:]
		}
		plain[i] = body[i] ^ last[i%sha1.Size]
	}
	d := sha1.Sum(append(append([]byte{}, text...), plain...))
	if !hmac.Equal(d[:], sum) {
		return nil, errKeyPassword
	}
	return plain, nil
}

// openJCEKS opens what JCEKS encrypts: triple DES under a key that a scheme of its
// own makes with MD5, of each half of the salt.
func openJCEKS(params, data, password []byte) ([]byte, error) {
	p, err := pbe.ReadParams(params)
	if err != nil || len(p.Salt) != 8 {
		return nil, errDamaged
	}
	for _, c := range password {
		if c >= 0x80 { // Java drops the upper half of each character
			return nil, errors.New("passwords of JCEKS stores have ASCII characters only")
		}
	}
	salt := turned([8]byte(p.Salt))
	key := append(hashes(salt[:4], password, p.Iterations), hashes(salt[4:], password, p.Iterations)...)
	defer clear(key)
	plain, err := pbe.OpenDES3(key[:24], key[24:], data)
	if errors.Is(err, pbe.ErrPassword) {
		err = errKeyPassword
	}
	return plain, err
}

// turned turns the first half of a salt round if both are equal; or would, but for
// a slip in Java, which everybody has to make.
func turned(salt [8]byte) [8]byte {
	if [4]byte(salt[:4]) == [4]byte(salt[4:]) {
		for i := range 2 {
			t := salt[i]
			salt[i], salt[2] = salt[3-i], t
		}
	}
	return salt
}

// hashes is MD5 over and over.
func hashes(start, password []byte, n int) []byte {
	buf := make([]byte, 0, md5.Size+len(password))
	d := start
	for range n {
		sum := md5.Sum(append(append(buf[:0], d...), password...))
		d = sum[:]
	}
	return d
}
