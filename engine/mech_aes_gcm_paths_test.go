package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ghash"
	"github.com/perilune/perilune/engine/internal/vaes"
)

// gcmPath is a way to seal and to open a message.
type gcmPath struct {
	seal func(dst, iv, src, aad []byte) // dst has room for the tag
	open func(dst, iv, src, tag, aad []byte) bool
}

// gcmPaths are all ways that there are for a key, whichever an operation would take.
func gcmPaths(t *testing.T, key []byte, tagLen int) map[string]gcmPath {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead := must(cipher.NewGCM(block))
	list := map[string]gcmPath{
		"stream":           gcmStreamPath(block, nil, ghash.NewKey(block, aead)),
		"portable stream":  gcmStreamPath(block, nil, ghash.NewKey(block, nil)),
		"standard library": gcmStandardPath(block, aead, tagLen),
	}
	if vaes.Supported() {
		v := vaes.NewKey(key)
		list["vectors"] = gcmPath{v.Seal, v.Open}
		list["stream of vectors"] = gcmStreamPath(block, v, ghash.NewVectorKey(v))
	}
	return list
}

func gcmStreamPath(block cipher.Block, v *vaes.Key, hash *ghash.Key) gcmPath {
	k := &gcmKey{block: block, more: func() *gcmMore { return &gcmMore{v, hash} }}
	return gcmPath{
		func(dst, iv, src, aad []byte) {
			s := newGCMStream(k, iv, aad)
			if err := s.encrypt(dst, src); err != nil {
				panic(err)
			}
			var tag [16]byte
			s.tag(&tag)
			copy(dst[len(src):], tag[:])
		},
		func(dst, iv, src, tag, aad []byte) bool { return newGCMStream(k, iv, aad).open(dst, src, tag) },
	}
}

// gcmStandardPath is another where the standard library lacks the lengths.
func gcmStandardPath(block cipher.Block, aead cipher.AEAD, tagLen int) gcmPath {
	k := &gcmKey{block: block, aead: aead}
	return gcmPath{
		func(dst, iv, src, aad []byte) {
			if aead := k.aeadFor(len(iv), tagLen); aead != nil {
				aead.Seal(dst[:0], iv, src, aad)
				return
			}
			full := must(cipher.NewGCMWithNonceSize(block, len(iv))).Seal(nil, iv, src, aad)
			copy(dst, full)
		},
		func(dst, iv, src, tag, aad []byte) bool {
			if aead := k.aeadFor(len(iv), tagLen); aead != nil {
				_, err := aead.Open(dst[:0:len(src)], iv, append(bytes.Clone(src), tag...), aad)
				return err == nil
			}
			return gcmStreamPath(block, nil, ghash.NewKey(block, nil)).open(dst, iv, src, tag, aad)
		},
	}
}

// checkGCMPaths seals and opens on every path.
func checkGCMPaths(t *testing.T, key, iv, aad, plain, want []byte, tagLen int) {
	t.Helper()
	n := len(plain)
	for name, path := range gcmPaths(t, key, tagLen) {
		what := fmt.Sprintf("%s: IV of %d bytes, %d bytes of associated data, %d bytes, tag of %d", name, len(iv), len(aad), n, tagLen)
		got := append(bytes.Clone(plain), make([]byte, tagLen)...)
		if path.seal(got, iv, got[:n], aad); !bytes.Equal(got, want[:n+tagLen]) {
			t.Errorf("%s: sealed %x, want %x", what, got, want)
		}
		if !path.open(got[:n], iv, got[:n], want[n:][:tagLen], aad) || !bytes.Equal(got[:n], plain) {
			t.Errorf("%s: not opened", what)
		}
		bad := append(bytes.Clone(want[:n+tagLen]), 0)
		bad[(n*5+len(aad))%(n+tagLen)] ^= 4
		out := make([]byte, n)
		if path.open(out, iv, bad[:n], bad[n:n+tagLen], aad) || !bytes.Equal(out, make([]byte, n)) {
			t.Errorf("%s: a forgery is opened, or leaves something behind", what)
		}
	}
}

// TestGCMVectorsOnEveryPath has the published vectors, with tags of all lengths.
func TestGCMVectorsOnEveryPath(t *testing.T) {
	for _, v := range gcmVectors {
		for _, tagLen := range []int{4, 8, 12, 13, 14, 15, 16} {
			checkGCMPaths(t, unhex(v.key), unhex(v.iv), unhex(v.aad), unhex(v.plain), unhex(v.cipher+v.code), tagLen)
		}
	}
}

// TestGCMPathsAgree has lengths around those at which something else begins.
func TestGCMPathsAgree(t *testing.T) {
	r := rand.NewChaCha8([32]byte{9})
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		r.Read(b)
		return b
	}
	for i, n := range []int{0, 1, 15, 16, 17, 239, 240, 241, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 10_000, 70_001} {
		for _, ivLen := range []int{12, 1, 16, 77} {
			key, iv, aad, plain := bytesOf(16+i%3*8), bytesOf(ivLen), bytesOf(n*7%1200), bytesOf(n)
			want := must(cipher.NewGCMWithNonceSize(must(aes.NewCipher(key)), ivLen)).Seal(nil, iv, plain, aad)
			checkGCMPaths(t, key, iv, aad, plain, want, []int{16, 4, 12, 15}[i%4])
		}
	}
}

// TestGCMAllLengths runs whole operations, with messages in one part and cut in two at
// many places.
func TestGCMAllLengths(t *testing.T) {
	key := unhex(gcmKey256)
	k, aead := aesKey(gcmKey256), must(cipher.NewGCM(must(aes.NewCipher(key))))
	for n := range 1101 {
		p := &GCMParams{IV: pattern(12), AAD: pattern(n % 70), TagBits: 128}
		want := aead.Seal(nil, p.IV, pattern(n), p.AAD)
		op, err := aesFamily.newGCMEncrypt(k, p)
		if got, err := runOp(op, err, pattern(n)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %x, %v; want %x", n, got, err, want)
		}
		op, err = aesFamily.newGCMDecrypt(k, p)
		if got, err := runOp(op, err, want); err != nil || !bytes.Equal(got, pattern(n)) {
			t.Fatalf("%d bytes, decrypted: %x, %v", n, got, err)
		}
		const size = 700
		want = aead.Seal(nil, p.IV, pattern(size), p.AAD)
		op, err = aesFamily.newGCMEncrypt(k, p)
		if err != nil {
			t.Fatal(err)
		}
		got, cut := make([]byte, size+16), n%(size+1)
		if _, err := op.Update(got, pattern(size)[:cut]); err != nil {
			t.Fatal(err)
		}
		if _, err := op.Finish(got[cut:], pattern(size)[cut:]); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("cut at %d: %x, %v; want %x", cut, got, err, want)
		}
	}
}

// TestGCMMessagesAgree: messages with the tag apart are those with the tag behind.
func TestGCMMessagesAgree(t *testing.T) {
	k, aead := aesKey(gcmKey256), must(cipher.NewGCM(must(aes.NewCipher(unhex(gcmKey256)))))
	m := Find(ck.CKM_AES_GCM)
	for _, n := range []int{0, 1, 16, 300, 511, 512, 513, 5000} {
		p := &GCMMessageParams{IV: pattern(12), Tag: make([]byte, 16), TagBits: 128}
		want := aead.Seal(nil, p.IV, pattern(n), pattern(33))
		sealer, err := m.MessageEncrypt(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		op, err := sealer.Begin(p, pattern(33))
		if got, err := runOp(op, err, pattern(n)); err != nil || !bytes.Equal(append(got, p.Tag...), want) {
			t.Errorf("%d bytes: %x and %x, %v; want %x", n, got, p.Tag, err, want)
		}
		opener, err := m.MessageDecrypt(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		op, err = opener.Begin(p, pattern(33))
		if got, err := runOp(op, err, want[:n]); err != nil || !bytes.Equal(got, pattern(n)) {
			t.Errorf("%d bytes, opened: %x, %v", n, got, err)
		}
	}
}
