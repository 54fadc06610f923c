package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"io"
	"sync"
	"sync/atomic"
)

// Reader is the one source of randomness of the engine and of what is built on
// it. It reads like [Random].
var Reader io.Reader = randomReader{}

type randomReader struct{}

func (randomReader) Read(b []byte) (int, error) {
	if err := Random(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

const (
	// stretchFrom is the length from which on a request is served by the
	// stream of a key from the operating system rather than by its bytes, which
	// are slow to come.
	stretchFrom = 128
	// stretchMax is how much comes of one key at most. Whoever reads the memory
	// of the process can tell that much of what was given before.
	stretchMax = 1 << 14
)

// Random fills b with random bytes. They are those of the operating system, or
// for a long request the AES-256-CTR stream of a key and a counter block that
// are. Once there was a seed, the stream is always used, and its key has
// something of the seeds added to it. In FIPS mode all bytes are those of the
// module's own generator, and seeds are not used.
func Random(b []byte) error {
	if fips140.Enabled() || len(b) < stretchFrom && !seeds.used() {
		_, err := rand.Read(b)
		return err
	}
	g := generators.Get().(*generator)
	defer generators.Put(g)
	return g.fill(b)
}

// SeedRandom adds b to the seeds. A seed can only add to the quality of what
// [Random] returns: bytes of the operating system remain under it.
func SeedRandom(b []byte) { seeds.add(b) }

// generators are kept to be used again, by about one thread each.
var generators = sync.Pool{New: func() any { return new(generator) }}

// generator gives out the stream of a key, and takes a new key every stretchMax
// bytes and whenever there is a new seed.
type generator struct {
	stream cipher.Stream
	left   int
	seeds  uint64 // how many there were when the key was made
}

func (g *generator) fill(b []byte) error {
	clear(b)
	for len(b) > 0 {
		if g.left == 0 || g.seeds != seeds.count.Load() {
			if err := g.rekey(); err != nil {
				return err
			}
		}
		n := min(len(b), g.left)
		g.stream.XORKeyStream(b[:n], b[:n])
		g.left -= n
		b = b[n:]
	}
	return nil
}

func (g *generator) rekey() error {
	var key [32 + aes.BlockSize]byte
	defer clear(key[:])
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	g.seeds = seeds.count.Load()
	seeds.mix(key[:])
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		return err
	}
	g.stream, g.left = cipher.NewCTR(block, key[32:]), stretchMax
	return nil
}

// seeds is the pool of everything that SeedRandom was given.
var seeds seedPool

// seedPool hashes seeds together. Nobody who does not know all of them can tell
// what comes out of it.
type seedPool struct {
	count atomic.Uint64 // seeds so far
	mu    sync.Mutex
	state [sha512.Size]byte
}

func (s *seedPool) used() bool { return s.count.Load() > 0 }

func (s *seedPool) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := sha512.New()
	h.Write([]byte{0})
	h.Write(s.state[:])
	h.Write(b)
	h.Sum(s.state[:0])
	s.count.Add(1)
}

// mix adds (XOR) something new of the pool to key, and steps the pool, from
// which it cannot be told afterwards.
func (s *seedPool) mix(key []byte) {
	if !s.used() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var in [1 + sha512.Size]byte
	copy(in[1:], s.state[:])
	in[0] = 1
	out := sha512.Sum512(in[:])
	in[0] = 2
	s.state = sha512.Sum512(in[:])
	subtle.XORBytes(key, key, out[:])
	clear(in[:])
	clear(out[:])
}
