package ghash

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestPublished checks the intermediate values that the proposal of GCM prints
// (McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test
// cases 2, 3 and 4: H and GHASH).
func TestPublished(t *testing.T) {
	for _, c := range []struct{ key, h, aad, ciphertext, hash string }{
		{
			"00000000000000000000000000000000", "66e94bd4ef8a2c3b884cfa59ca342b2e", "",
			"0388dace60b6a392f328c2b971b2fe78", "f38cbb1ad69223dcc3457ae5b6b0f885",
		},
		{
			"feffe9928665731c6d6a8f9467308308", "b83b533708bf535d0aa6e52980d53b78", "",
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
				"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
			"7f1b32b81b820d02614f8895ac1d4eac",
		},
		{
			"feffe9928665731c6d6a8f9467308308", "b83b533708bf535d0aa6e52980d53b78",
			"feedfacedeadbeeffeedfacedeadbeefabaddad2",
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
				"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
			"698e57f70e6ecc7fd9463b7260a9ae5f",
		},
	} {
		block, err := aes.NewCipher(unhex(c.key))
		if err != nil {
			t.Fatal(err)
		}
		var h [16]byte
		block.Encrypt(h[:], h[:])
		if hex.EncodeToString(h[:]) != c.h {
			t.Fatal("wrong hash key")
		}
		s := New(NewKey(block, nil))
		s.Write(unhex(c.aad))
		s.Pad()
		s.Write(unhex(c.ciphertext))
		s.Pad()
		s.Lengths(uint64(len(c.aad)/2), uint64(len(c.ciphertext)/2))
		var out [16]byte
		s.Sum(&out)
		if got := hex.EncodeToString(out[:]); got != c.hash {
			t.Errorf("GHASH = %s, want %s", got, c.hash)
		}
	}
}

// slow multiplies bit by bit (NIST SP 800-38D, algorithm 1).
func slow(x, y element) (z element) {
	v := y
	for i := range 128 {
		bit := x.hi >> (63 - i%64)
		if i >= 64 {
			bit = x.lo >> (127 - i)
		}
		if bit&1 == 1 {
			z.hi ^= v.hi
			z.lo ^= v.lo
		}
		odd := v.lo & 1
		v.lo = v.lo>>1 | v.hi<<63
		v.hi = v.hi>>1 ^ 0xe1<<56*odd
	}
	return z
}

// TestMul compares the multiplication with the one of the standard's text, for
// random factors and for those that make the longest sums.
func TestMul(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []element{{}, {1 << 63, 0}, {0, 1}, {^uint64(0), ^uint64(0)}, {m0, m0}, {m1, m2}, {m3, m3}, {^uint64(0), 0}}
	for range 200 {
		values = append(values, element{r.Uint64(), r.Uint64()})
	}
	for _, x := range values {
		f := newFactor(x)
		for _, y := range values {
			if got, want := f.mul(y), slow(x, y); got != want {
				t.Fatalf("%x * %x = %x, want %x", x, y, got, want)
			}
		}
	}
}

// TestChunks compares the path through the standard library with the plain
// one, for lengths around those of the chunks and in parts.
func TestChunks(t *testing.T) {
	r := rand.NewChaCha8([32]byte{})
	for range 20 {
		key := make([]byte, 16)
		r.Read(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		fast, plain := NewKey(block, gcm), NewKey(block, nil)
		for _, n := range []int{1, 16, chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 77} {
			for _, first := range []int{0, 3, 16, 1000} {
				data := make([]byte, n)
				r.Read(data)
				var sums [2][16]byte
				for i, k := range []*Key{fast, plain} {
					s := New(k)
					cut := min(first, n)
					s.Write(data[:cut])
					s.Write(data[cut:])
					s.Pad()
					s.Lengths(0, uint64(n))
					s.Sum(&sums[i])
				}
				if !bytes.Equal(sums[0][:], sums[1][:]) {
					t.Fatalf("%d bytes, first %d: %x and %x", n, first, sums[0], sums[1])
				}
			}
		}
	}
}

func BenchmarkGHASH(b *testing.B) {
	block, _ := aes.NewCipher(make([]byte, 16))
	gcm, _ := cipher.NewGCM(block)
	for _, c := range []struct {
		name string
		key  *Key
	}{{"plain", NewKey(block, nil)}, {"chunks", NewKey(block, gcm)}} {
		for _, n := range []int{64, 1024, 16384} {
			b.Run(fmt.Sprint(c.name, n), func(b *testing.B) {
				data := make([]byte, n)
				b.SetBytes(int64(n))
				s := New(c.key)
				for b.Loop() {
					s.Write(data)
				}
			})
		}
	}
}
