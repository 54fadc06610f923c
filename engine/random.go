package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha512"
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

// Random fills b with random bytes: those of the operating system, with a
// stream from the seeds added once there was one.
func Random(b []byte) error {
	if _, err := rand.Read(b); err != nil {
		return err
	}
	seeds.mix(b)
	return nil
}

// SeedRandom adds b to the seeds. A seed can only add to the quality of what
// [Random] returns: the bytes of the operating system remain under it.
func SeedRandom(b []byte) { seeds.add(b) }

// seeds is the pool of everything that SeedRandom was given.
var seeds seedPool

// seedPool hashes seeds together and makes of them a stream that nobody can
// tell who does not know them all.
type seedPool struct {
	used  atomic.Bool
	mu    sync.Mutex
	state [sha512.Size]byte
}

func (s *seedPool) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := sha512.New()
	h.Write([]byte{0})
	h.Write(s.state[:])
	h.Write(b)
	h.Sum(s.state[:0])
	s.used.Store(true)
}

// mix adds (XOR) a fresh piece of the stream to b.
func (s *seedPool) mix(b []byte) {
	if !s.used.Load() || len(b) == 0 {
		return
	}
	key := s.next()
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		panic(err) // the key has the right length
	}
	cipher.NewCTR(block, key[32:48]).XORKeyStream(b, b)
	clear(key[:])
}

// next returns a key for one piece of the stream and steps the state, from
// which the key cannot be told afterwards.
func (s *seedPool) next() (key [sha512.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in [1 + sha512.Size]byte
	copy(in[1:], s.state[:])
	in[0] = 1
	key = sha512.Sum512(in[:])
	in[0] = 2
	s.state = sha512.Sum512(in[:])
	return key
}
