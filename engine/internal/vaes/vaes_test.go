package vaes

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"

	"github.com/perilune/perilune/engine/internal/flow"
)

func TestMain(m *testing.M) {
	if !Supported() {
		fmt.Fprintln(os.Stderr, "AES IN VECTORS IS NOT TESTED: the processor cannot do it, or the environment forbids it")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// random is where the tests have their bytes from.
type random struct{ *rand.ChaCha8 }

func newRandom(seed byte) random { return random{rand.NewChaCha8([32]byte{seed})} }

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	r.Read(b)
	return b
}

// below is a number from 0 to n-1.
func (r random) below(n int) int { return int(r.Uint64() % uint64(n)) }

// sample is a message with all that belongs to it.
type sample struct{ key, iv, aad, plain []byte }

// standard is what the standard library makes of it.
func (s *sample) standard() []byte {
	block, err := aes.NewCipher(s.key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(s.iv))
	if err != nil {
		panic(err)
	}
	return gcm.Seal(nil, s.iv, s.plain, s.aad)
}

const guard = 0xa5

// check seals and opens a message, into other memory and in place.
func (s *sample) check(t *testing.T) {
	t.Helper()
	want := s.standard()
	k := NewKey(s.key)
	n := len(s.plain)
	what := fmt.Sprintf("key %x, IV %x, %d bytes of associated data, %d bytes", s.key, s.iv, len(s.aad), n)

	out := bytes.Repeat([]byte{guard}, len(want)+100)
	k.Seal(out[:len(want)], s.iv, s.plain, s.aad)
	if !bytes.Equal(out[:len(want)], want) {
		t.Fatalf("%s: sealed %x, want %x", what, out[:len(want)], want)
	}
	copy(out, s.plain)
	k.Seal(out[:len(want)], s.iv, out[:n], s.aad)
	if !bytes.Equal(out[:len(want)], want) {
		t.Fatalf("%s: wrong if sealed in place", what)
	}
	if !k.Open(out[:n], s.iv, out[:n], out[n:len(want)], s.aad) || !bytes.Equal(out[:n], s.plain) {
		t.Fatalf("%s: wrong if opened in place", what)
	}
	if !bytes.Equal(out[len(want):], bytes.Repeat([]byte{guard}, 100)) {
		t.Fatalf("%s: wrote behind the end", what)
	}
	out = bytes.Repeat([]byte{guard}, n+100)
	if !k.Open(out[:n], s.iv, want[:n], want[n:], s.aad) || !bytes.Equal(out[:n], s.plain) {
		t.Fatalf("%s: not opened", what)
	}
	if !bytes.Equal(out[n:], bytes.Repeat([]byte{guard}, 100)) {
		t.Fatalf("%s: wrote behind the end", what)
	}
}

// TestPublished has test cases of the proposal of GCM (McGrew and Viega, "The
// Galois/Counter Mode of Operation", appendix B): 3, 4, 6, 10 and 16.
func TestPublished(t *testing.T) {
	const (
		plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
		aad  = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
		key  = "feffe9928665731c6d6a8f9467308308"
		iv60 = "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728" +
			"c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b"
	)
	for _, c := range []struct{ key, iv, aad, plain, sealed string }{
		{key, "cafebabefacedbaddecaf888", "", plain,
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
				"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985" + "4d5c2af327cd64a62cf35abd2ba6fab4"},
		{key, "cafebabefacedbaddecaf888", aad, plain[:120],
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
				"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" + "5bc94fbc3221a5db94fae95ae7121a47"},
		{key, iv60, aad, plain[:120],
			"8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca7" +
				"01e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5" + "619cc5aefffe0bfa462af43c1699d050"},
		{key + key[:16], "cafebabefacedbaddecaf888", aad, plain[:120],
			"3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c" +
				"7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710" + "2519498e80f1478f37ba55bd6d27618c"},
		{key + key, "cafebabefacedbaddecaf888", aad, plain[:120],
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
				"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b"},
	} {
		want := unhex(c.sealed)
		got := make([]byte, len(want))
		k := NewKey(unhex(c.key))
		k.Seal(got, unhex(c.iv), unhex(c.plain), unhex(c.aad))
		if !bytes.Equal(got, want) {
			t.Errorf("key %s, IV %s: %x, want %x", c.key, c.iv, got, want)
		}
		n := len(want) - BlockSize
		if !k.Open(got[:n], unhex(c.iv), want[:n], want[n:], unhex(c.aad)) || hex.EncodeToString(got[:n]) != c.plain {
			t.Errorf("key %s, IV %s: not opened", c.key, c.iv)
		}
	}
}

// TestLengths are all short ones, and many long ones.
func TestLengths(t *testing.T) {
	r := newRandom(1)
	for n := range 1101 {
		s := sample{r.bytes(16 + n%3*8), r.bytes(12), r.bytes(r.below(40)), r.bytes(n)}
		s.check(t)
		s = sample{r.bytes(16 + n%3*8), r.bytes(1 + r.below(60)), r.bytes(n), r.bytes(r.below(1100))}
		s.check(t)
		s = sample{r.bytes(32), r.bytes(1 + n), r.bytes(r.below(300)), r.bytes(r.below(300))}
		s.check(t)
	}
	for range 200 {
		s := sample{r.bytes(16 + r.below(3)*8), r.bytes(12), r.bytes(r.below(5000)), r.bytes(r.below(100_000))}
		s.check(t)
	}
}

// TestOnes is of what has all bits set.
func TestOnes(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, 100_000)
	for _, n := range []int{0, 1, 15, 16, 17, 240, 241, 256, 512, 1024, 4096, 4097, 100_000} {
		for _, key := range []int{16, 24, 32} {
			s := sample{ones[:key], ones[:12], ones[:n], ones[:n]}
			s.check(t)
			s.iv = ones[:16]
			s.check(t)
		}
	}
}

// TestForged changes each byte of messages, and looks that nothing comes out.
func TestForged(t *testing.T) {
	r := newRandom(2)
	for _, n := range []int{0, 1, 40, 240, 241, 700} {
		s := sample{r.bytes(32), r.bytes(12), r.bytes(20), r.bytes(n)}
		k, sealed := NewKey(s.key), s.standard()
		refused := func(iv, sealed, aad []byte, tagLen int) {
			t.Helper()
			out := bytes.Repeat([]byte{guard}, n)
			if k.Open(out, iv, sealed[:n], sealed[n:][:tagLen], aad) {
				t.Error("a forgery is opened")
			}
			if !bytes.Equal(out, bytes.Repeat([]byte{guard}, n)) {
				t.Error("a forgery leaves something behind")
			}
		}
		for _, tagLen := range []int{4, 8, 12, 13, 14, 15, 16} {
			for i := range sealed[:n+tagLen] {
				bad := bytes.Clone(sealed)
				bad[i] ^= 1 << (i % 8)
				refused(s.iv, bad, s.aad, tagLen)
			}
			out := make([]byte, n)
			if !k.Open(out, s.iv, sealed[:n], sealed[n:][:tagLen], s.aad) || !bytes.Equal(out, s.plain) {
				t.Errorf("%d bytes, tag of %d: not opened", n, tagLen)
			}
			short := make([]byte, n+tagLen)
			if k.Seal(short, s.iv, s.plain, s.aad); !bytes.Equal(short, sealed[:n+tagLen]) {
				t.Errorf("%d bytes, tag of %d: wrong", n, tagLen)
			}
		}
		for i := range s.aad {
			bad := bytes.Clone(s.aad)
			bad[i] ^= 1
			refused(s.iv, sealed, bad, BlockSize)
		}
		refused(s.iv, sealed, s.aad[:19], BlockSize)
		refused(s.iv, sealed, append(s.aad[:20:20], 0), BlockSize)
		refused(r.bytes(12), sealed, s.aad, BlockSize)
		refused(r.bytes(13), sealed, s.aad, BlockSize)
	}
}

// element is a field element, the coefficient of x^0 being the highest bit of hi.
type element struct{ hi, lo uint64 }

func load(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (x element) bytes() (b [BlockSize]byte) {
	binary.BigEndian.PutUint64(b[:], x.hi)
	binary.BigEndian.PutUint64(b[8:], x.lo)
	return b
}

func (x element) plus(y element) element { return element{x.hi ^ y.hi, x.lo ^ y.lo} }

// times multiplies bit by bit (NIST SP 800-38D, algorithm 1).
func (x element) times(y element) (z element) {
	for i := range 128 {
		if bit := [2]uint64{x.hi, x.lo}[i/64] >> (63 - i%64); bit&1 == 1 {
			z = z.plus(y)
		}
		odd := y.lo & 1
		y = element{y.hi>>1 ^ 0xe1<<56*odd, y.lo>>1 | y.hi<<63}
	}
	return z
}

// inverse is the power of 2^128-2.
func (x element) inverse() element {
	square, z := x, element{1 << 63, 0}
	for range 127 {
		square = square.times(square)
		z = z.times(square)
	}
	return z
}

// hashKey is what the standard library encrypts zeros to.
func hashKey(key []byte) element {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	var h [BlockSize]byte
	block.Encrypt(h[:], h[:])
	return load(h[:])
}

// TestPowers compares the powers with what they should be, divided by x.
func TestPowers(t *testing.T) {
	r := newRandom(3)
	x := element{1 << 62, 0}
	for range 20 {
		key := r.bytes(32)
		h := hashKey(key)
		power := map[int]element{0: {1 << 63, 0}}
		for i := 1; i <= lanes*strides; i++ {
			power[i] = power[i-1].times(h)
		}
		for i, p := range NewKey(key).powers {
			n := lanes - i
			if i >= lanes {
				n = lanes * (i - lanes + 1)
			}
			var b [BlockSize]byte
			turn(&b, &p)
			if load(b[:]).times(x) != power[n] {
				t.Fatalf("power %d: %x", n, b)
			}
		}
	}
}

// TestHash compares the kernel with the standard's text, for all numbers of blocks up
// to those of several groups.
func TestHash(t *testing.T) {
	r := newRandom(4)
	for blocks := range 4*lanes*strides + 10 {
		key := r.bytes(16)
		h, k := hashKey(key), NewKey(key)
		data, y := r.bytes(blocks*BlockSize), [BlockSize]byte(r.bytes(BlockSize))
		if blocks%3 == 0 {
			data = bytes.Repeat([]byte{0xff}, len(data))
		}
		want := load(y[:])
		for i := 0; i < len(data); i += BlockSize {
			want = want.plus(load(data[i:])).times(h)
		}
		k.Hash(&y, data)
		if y != want.bytes() {
			t.Fatalf("%d blocks: %x, want %x", blocks, y, want.bytes())
		}
	}
}

// TestCounterWraps: only the last 32 bits of the counter count.
func TestCounterWraps(t *testing.T) {
	r := newRandom(5)
	for _, before := range []uint32{0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100} {
		key := r.bytes(24)
		counter := [BlockSize]byte(r.bytes(BlockSize))
		binary.BigEndian.PutUint32(counter[12:], -before)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		src := r.bytes(120*BlockSize + 5)
		want := make([]byte, len(src))
		c := counter
		for i := 0; i < len(src); i += BlockSize {
			var stream [BlockSize]byte
			block.Encrypt(stream[:], c[:])
			for j := i; j < min(i+BlockSize, len(src)); j++ {
				want[j] = src[j] ^ stream[j-i]
			}
			binary.BigEndian.PutUint32(c[12:], binary.BigEndian.Uint32(c[12:])+1)
		}
		got, next := make([]byte, len(src)), counter
		NewKey(key).CTR(got, src, &next)
		if !bytes.Equal(got, want) || next != c {
			t.Errorf("%d blocks before the end: wrong", before)
		}
	}
}

// TestGCMWraps seals under IVs from which follow counters before their end. The
// standard library has to agree.
func TestGCMWraps(t *testing.T) {
	r := newRandom(6)
	for _, before := range []uint32{1, 2, 3, 16, 17, 33, 100, 1000} {
		s := sample{key: r.bytes(32), aad: r.bytes(30), plain: r.bytes(20_000)}
		// The counter is (IV*H + 128)*H for an IV of 16 bytes.
		counter := [BlockSize]byte(r.bytes(BlockSize))
		binary.BigEndian.PutUint32(counter[12:], -before)
		back := hashKey(s.key).inverse()
		iv := load(counter[:]).times(back).plus(element{0, 128}).times(back).bytes()
		s.iv = iv[:]
		m := message{key: NewKey(s.key)}
		if m.begin(s.iv, nil); m.counter != counter {
			t.Fatalf("counter %x, want %x", m.counter, counter)
		}
		s.check(t)
		s.plain = s.plain[:100]
		s.check(t)
	}
}

// TestStream splits a stream in all places, and in many.
func TestStream(t *testing.T) {
	r := newRandom(7)
	key, counter := r.bytes(32), [BlockSize]byte(r.bytes(BlockSize))
	k := NewKey(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	counter[12] = 0 // no wrap, which the standard library does in another way
	src := r.bytes(3000)
	want := make([]byte, len(src))
	cipher.NewCTR(block, counter[:]).XORKeyStream(want, src)
	for i := range 700 {
		s, got := k.NewStream(&counter), make([]byte, 700)
		s.XORKeyStream(got, src[:i])
		s.XORKeyStream(got[i:], src[i:700])
		if !bytes.Equal(got, want[:700]) {
			t.Fatalf("split at %d: wrong", i)
		}
	}
	for range 200 {
		s, got := k.NewStream(&counter), bytes.Clone(src)
		for rest := got; len(rest) > 0; {
			n := min(len(rest), r.below(200))
			s.XORKeyStream(rest[:n], rest[:n])
			rest = rest[n:]
		}
		if !bytes.Equal(got, want) {
			t.Fatal("in parts: wrong")
		}
	}
}

// TestWideStream carries out of the last 32 bits, and of more.
func TestWideStream(t *testing.T) {
	r := newRandom(9)
	for _, ones := range []int{4, 5, 8, 12, 15, 16} {
		for _, before := range []byte{1, 2, 16, 33, 200} {
			key, counter := r.bytes(16), [BlockSize]byte(r.bytes(BlockSize))
			for i := BlockSize - ones; i < BlockSize; i++ {
				counter[i] = 0xff
			}
			counter[15] = -before
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			src := r.bytes(5000)
			want := make([]byte, len(src))
			cipher.NewCTR(block, counter[:]).XORKeyStream(want, src)
			for _, most := range []int{1, 17, 600, 10_000} {
				s, got := NewKey(key).NewWideStream(&counter), bytes.Clone(src)
				for rest := got; len(rest) > 0; {
					n := min(len(rest), 1+r.below(most))
					s.XORKeyStream(rest[:n], rest[:n])
					rest = rest[n:]
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("counter %x, in parts of %d: wrong", counter, most)
				}
			}
		}
	}
}

// FuzzSeal compares with the standard library, and opens what was changed.
func FuzzSeal(f *testing.F) {
	f.Add(make([]byte, 16), make([]byte, 12), []byte("data"), make([]byte, 1000), uint16(3))
	f.Add(make([]byte, 32), make([]byte, 16), make([]byte, 300), []byte("message"), uint16(9))
	f.Fuzz(func(t *testing.T, key, iv, aad, plain []byte, change uint16) {
		if len(key) > 32 || len(iv) == 0 {
			return
		}
		key = append(key, make([]byte, 32-len(key))...)[:16+len(key)%3*8]
		s := sample{key, iv, aad, plain}
		s.check(t)
		sealed, n := s.standard(), len(plain)
		sealed[int(change)%len(sealed)] ^= 1 << (change >> 13)
		if NewKey(key).Open(make([]byte, n), iv, sealed[:n], sealed[n:], aad) {
			t.Error("a forgery is opened")
		}
	})
}

// TestConstantFlow reads the assembly: no jump and no address depends on what is in
// vectors or comes from memory.
func TestConstantFlow(t *testing.T) {
	text, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`^(V[A-Z0-9]+(\.Z)?|KMOV[BQ]|(MOV|ADD|SUB|CMP|TEST|LEA|SHL|SHR|SHLX|SHRX|AND|NEG|BZHI)Q|` +
		`(ADD|XOR|BSWAP|MOV)L|CMOVQ(CS|LT|GT)|MOVD|PSHUFD|PXOR|AESKEYGENASSIST|J(E|NE|Z|NZ|EQ|MP|B|CS|CC|AE|GT|LT)|RET)$`)
	r := flow.Check(string(text), known)
	for _, wrong := range r.Wrong {
		t.Error(wrong)
	}
	if r.Functions != 4 || r.Instructions < 900 {
		t.Errorf("%d functions with %d instructions", r.Functions, r.Instructions)
	}
}

func BenchmarkSeal(b *testing.B) {
	k := NewKey(make([]byte, 32))
	block, _ := aes.NewCipher(make([]byte, 32))
	gcm, _ := cipher.NewGCM(block)
	iv := make([]byte, 12)
	for _, n := range []int{16, 64, 256, 512, 768, 1024, 4096, 16384, 1 << 20} {
		buf := make([]byte, n+16)
		b.Run(fmt.Sprint("vectors/seal/", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				k.Seal(buf, iv, buf[:n], nil)
			}
		})
		b.Run(fmt.Sprint("vectors/open/", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			sealed, out := make([]byte, n+16), make([]byte, n)
			k.Seal(sealed, iv, out, nil)
			for b.Loop() {
				if !k.Open(out, iv, sealed[:n], sealed[n:], nil) {
					b.Fatal("not opened")
				}
			}
		})
		b.Run(fmt.Sprint("standard/seal/", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				gcm.Seal(buf[:0], iv, buf[:n], nil)
			}
		})
	}
}

func BenchmarkNewKey(b *testing.B) {
	key := make([]byte, 32)
	for b.Loop() {
		NewKey(key)
	}
}
