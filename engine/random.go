package engine

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/drbg"
)

// Random numbers are those of CTR_DRBG with AES-256 (NIST SP 800-90A), which
// gets fresh entropy of the operating system before every block that it makes:
// prediction resistance. Entropy goes through the health tests of SP 800-90B
// first. In the words of BSI AIS 20/31 this is class DRG.4:
//
//   - forward and backward secrecy: outputs tell nothing about other outputs;
//   - enhanced backward secrecy: the state is overwritten after every block, and
//     what was given out is erased, so that memory tells nothing about the past;
//   - enhanced forward secrecy: whoever reads the memory can tell at most the
//     next blockLen bytes, within blockLife, per generator, and nothing after
//     them.
//
// That also bounds what two copies of a running virtual machine have in common.
// A forked process never gets here with what its parent had: the C layer keeps
// it out.

const (
	// blockLen is how much is made at a time for short requests.
	blockLen = 16 << 10
	// blockLife is how long the rest of it may wait for the next request.
	blockLife = 100 * time.Millisecond
	// shortMax is the longest request that is served from a block.
	shortMax = 4096
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

// Random fills b with random bytes. Where Go's FIPS mode is on, all bytes are
// those of the module's own generator, and seeds are not used.
func Random(b []byte) error {
	defer ct.Secret(b)
	if fips140.Enabled() {
		_, err := rand.Read(b)
		return err
	}
	return system.fill(b)
}

// SeedRandom adds b to the seeds. A seed can only add to the quality of what
// [Random] returns: entropy of the operating system is added as before.
func SeedRandom(b []byte) { system.seeds.add(b) }

// system is the generator over the operating system.
var system = newGenerators(rand.Read)

// generators share an entropy source and the seeds.
type generators struct {
	entropy func([]byte) (int, error)
	seeds   seedPool

	start  sync.Once
	broken atomic.Pointer[error] // for good
	pool   sync.Pool             // of *generator, kept by about one thread each
}

func newGenerators(entropy func([]byte) (int, error)) *generators {
	return &generators{entropy: entropy}
}

func (s *generators) fill(b []byte) error {
	s.start.Do(s.selfTest)
	g, _ := s.pool.Get().(*generator)
	if g == nil {
		g = &generator{source: s}
	}
	defer s.pool.Put(g)
	err := g.fill(b)
	if err != nil {
		clear(b)
	}
	return err
}

// selfTest checks the known answer of the generator, and the entropy source
// with the samples that SP 800-90B, section 4.3, wants to see at the start.
func (s *generators) selfTest() {
	if err := drbg.SelfTest(); err != nil {
		s.fail(err)
		return
	}
	var samples [drbg.StartupLen]byte
	var health drbg.Health
	// An error here is not for good, and comes again.
	_ = s.input(&health, samples[:])
	clear(samples[:])
}

// input reads entropy and tests it.
func (s *generators) input(health *drbg.Health, b []byte) error {
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	if n, err := s.entropy(b); err != nil || n != len(b) {
		return fmt.Errorf("the operating system gives no random bytes: %w", ck.CKR_RANDOM_NO_RNG)
	}
	if err := health.Check(b); err != nil {
		return s.fail(err)
	}
	return nil
}

// fail puts all generators out of order.
func (s *generators) fail(err error) error {
	err = fmt.Errorf("the random number generator is out of order: %w: %w", err, ck.CKR_DEVICE_ERROR)
	s.broken.CompareAndSwap(nil, &err)
	return err
}

// generator is one CTR_DRBG, with what it made and nobody got so far.
type generator struct {
	source *generators
	health drbg.Health
	drbg   *drbg.CTR
	block  [blockLen]byte
	left   []byte // the unused end of block
	made   time.Time
	seeds  uint64 // how many there were when it was made
}

func (g *generator) fill(b []byte) error {
	if len(b) > shortMax {
		return g.long(b)
	}
	if err := g.stock(len(b)); err != nil {
		return err
	}
	n := copy(b, g.left)
	clear(g.left[:n])
	g.left = g.left[n:]
	return nil
}

// stock makes a new block if the old one is used up, too old, or older than the
// last seed.
func (g *generator) stock(n int) error {
	if g.source.broken.Load() == nil && len(g.left) >= n &&
		g.seeds == g.source.seeds.count.Load() && time.Since(g.made) < blockLife {
		return nil
	}
	clear(g.left)
	g.left = nil
	if err := g.reseed(); err != nil {
		return err
	}
	g.drbg.Generate(g.block[:], nil)
	g.left, g.made = g.block[:], time.Now()
	return nil
}

// long serves a request past the block.
func (g *generator) long(b []byte) error {
	for len(b) > 0 {
		if err := g.reseed(); err != nil {
			return err
		}
		b = b[g.drbg.Generate(b, nil):]
	}
	return nil
}

// reseed adds entropy, the seeds and the number of the process.
func (g *generator) reseed() error {
	var in [drbg.EntropyLen + drbg.NonceLen]byte
	entropy := in[:drbg.EntropyLen]
	defer clear(in[:])
	if g.drbg == nil {
		entropy = in[:]
	}
	if err := g.source.input(&g.health, entropy); err != nil {
		return err
	}
	var extra [8 + sha512.Size]byte
	g.seeds = g.source.seeds.count.Load()
	binary.BigEndian.PutUint64(extra[:], uint64(os.Getpid()))
	n := 8 + g.source.seeds.next(extra[8:])
	if g.drbg == nil {
		g.drbg = drbg.New(entropy[:drbg.EntropyLen], entropy[drbg.EntropyLen:], extra[:n])
	} else {
		g.drbg.Reseed(entropy, extra[:n])
	}
	clear(extra[:])
	return nil
}

// seedPool hashes everything together that SeedRandom was given. Nobody who
// does not know all of it can tell what comes out.
type seedPool struct {
	count atomic.Uint64 // seeds so far
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
	s.count.Add(1)
}

// next writes something new of the pool to b, and steps the pool, from which it
// cannot be told afterwards. It returns the length: 0 if there was no seed.
func (s *seedPool) next(b []byte) int {
	if s.count.Load() == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var in [1 + sha512.Size]byte
	copy(in[1:], s.state[:])
	in[0] = 1
	out := sha512.Sum512(in[:])
	in[0] = 2
	s.state = sha512.Sum512(in[:])
	n := copy(b, out[:])
	clear(in[:])
	clear(out[:])
	return n
}
