package engine

// A statistical test of timing, after Reparaz, Balasch and Verbauwhede ("Dude, is
// my code constant time?", 2017): an operation is measured many times with
// secrets of two classes in random turns, and Welch's t tells whether the means
// differ. It asserts nothing: noise is no failure, and no time is promised. See
// docs/SECURITY.md for how to read it. make bench runs it.

import (
	"crypto/aes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/aria"
	"github.com/perilune/perilune/engine/internal/drbg"
	"github.com/perilune/perilune/engine/internal/ghash"
	"github.com/perilune/perilune/engine/internal/vaes"
)

var timingFor = flag.Duration("timing", 100*time.Millisecond, "how long BenchmarkTiming measures each operation")

// timingPool is how many secrets there are of a class. Those of the class with
// one fixed secret are copies, so that both classes take the same memory.
const timingPool = 64

// timing is one operation. make prepares it with a secret of class 0 or 1 and
// returns what is measured. Where the secret is an input, there is input instead,
// and run gets inputs always in the same memory: for operations of less than a
// microsecond it matters where in memory things are.
type timing struct {
	name  string
	make  func(class int, random *rand.Rand) func()
	input func(class int, random *rand.Rand) []byte
	run   func(in []byte)
}

// welch is what is known of one class of measurements.
type welch struct{ n, mean, m2 float64 }

func (w *welch) add(x float64) {
	w.n++
	d := x - w.mean
	w.mean += d / w.n
	w.m2 += d * (x - w.mean)
}

func welchT(a, b *welch) float64 {
	if a.n < 2 || b.n < 2 {
		return 0
	}
	v := a.m2/(a.n-1)/a.n + b.m2/(b.n-1)/b.n
	if v == 0 {
		return 0
	}
	return (a.mean - b.mean) / math.Sqrt(v)
}

// croppedT is t of the measurements below a quantile of all: what the rest of
// the machine does lies above it.
func croppedT(times []float64, classes []byte, quantile float64) float64 {
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	limit := sorted[int(quantile*float64(len(sorted)-1))]
	var w [2]welch
	for i, x := range times {
		if x <= limit {
			w[classes[i]].add(x)
		}
	}
	return welchT(&w[0], &w[1])
}

var timingQuantiles = []float64{0.5, 0.75, 0.9, 0.95, 0.99, 1}

// BenchmarkTiming reports, for each operation, t over all measurements and the
// greatest absolute t over the quantiles. Above 4.5 the classes differ.
func BenchmarkTiming(b *testing.B) {
	for _, x := range timings() {
		b.Run(x.name, func(b *testing.B) { x.measure(b) })
	}
}

func (x *timing) measure(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var pool [2][]func()
	var inputs [2][][]byte
	var shared []byte
	for range timingPool {
		for class := range pool {
			if x.input != nil {
				in := x.input(class, random)
				shared = append(shared[:0], in...)
				inputs[class] = append(inputs[class], in)
				continue
			}
			f := x.make(class, random)
			f() // keys are parsed
			pool[class] = append(pool[class], f)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var times []float64
	var classes []byte
	var mean welch
	for start := time.Now(); time.Since(start) < *timingFor || len(times) < 100; {
		if len(times)%1000 == 0 {
			runtime.GC()
		}
		class, i := random.IntN(2), random.IntN(timingPool)
		f := func() { x.run(shared) }
		if x.input != nil {
			copy(shared, inputs[class][i])
		} else {
			f = pool[class][i]
		}
		before := time.Now()
		f()
		d := float64(time.Since(before))
		times, classes = append(times, d), append(classes, byte(class))
		mean.add(d)
	}
	most := 0.0
	for _, q := range timingQuantiles {
		most = max(most, math.Abs(croppedT(times, classes, q)))
	}
	b.ReportMetric(mean.mean, "ns/op")
	b.ReportMetric(float64(len(times)), "measured")
	b.ReportMetric(croppedT(times, classes, 1), "t")
	b.ReportMetric(most, "max|t|")
}

func timings() (list []timing) {
	add := func(name string, make func(class int, random *rand.Rand) func()) {
		list = append(list, timing{name: name, make: make})
	}
	// The type of a PKCS #1 block, or a byte of the mask of OAEP, is wrong.
	badType := func(plain []byte, class int) { plain[1] ^= byte(class) }
	// The length that ends a padding of PKCS #7 is none.
	goodBad := func(plain []byte, class int) { plain[len(plain)-1] &= byte(class) - 1 }
	// It is none, or there is something wrong at the other end.
	badBad := func(plain []byte, class int) {
		last := plain[len(plain)-16:]
		for i := range last {
			last[i] = byte(16 * class)
		}
		last[0] = 1
	}
	addTiming := func(x timing) { list = append(list, x) }
	for _, name := range []string{"secp256r1", "secp384r1", "brainpoolP256r1", "secp256k1", "sect163k1"} {
		add("ecdsa-sign-"+name+"/fixed-random-key", func(class int, random *rand.Rand) func() {
			keys := timingEC(name, class, random)
			return timingOp(Find(ck.CKM_ECDSA_SHA256).Sign, keys.private, nil, pattern(32))
		})
		add("ecdh-"+name+"/fixed-random-key", func(class int, random *rand.Rand) func() {
			keys := timingEC(name, class, random)
			p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: keys.point()}
			return func() {
				if _, err := Find(ck.CKM_ECDH1_DERIVE).Derive(keys.private, p, &Derivation{}); err != nil {
					panic(err)
				}
			}
		})
	}
	add("rsa-sign/fixed-random-message", func(class int, random *rand.Rand) func() {
		keys := sampleKeysOf(ck.CKK_RSA)[0]
		return timingOp(Find(ck.CKM_RSA_X_509).Sign, keys.private, nil, timingBytes(keys.private.Bytes(ck.CKA_MODULUS)[1:], class, random))
	})
	// More at once than there are cores: those that wait share passes.
	add("rsa-sign-together/fixed-random-message", func(class int, random *rand.Rand) func() {
		keys := sampleKeysOf(ck.CKK_RSA)[0]
		var signers []func()
		for range 16 {
			message := timingBytes(keys.private.Bytes(ck.CKA_MODULUS)[1:], class, random)
			signers = append(signers, timingOp(Find(ck.CKM_RSA_X_509).Sign, keys.private, nil, message))
		}
		return func() {
			var wg sync.WaitGroup
			for _, sign := range signers {
				wg.Go(sign)
			}
			wg.Wait()
		}
	})
	addTiming(timingOpen("rsa-pkcs1-decrypt/good-bad-padding", ck.CKM_RSA_PKCS, nil, ck.CKM_RSA_X_509, badType))
	addTiming(timingOpen("rsa-oaep-decrypt/good-bad-padding", ck.CKM_RSA_PKCS_OAEP, sampleOAEP(), ck.CKM_RSA_X_509, badType))
	add("dsa-sign/fixed-random-key", func(class int, random *rand.Rand) func() {
		keys := sampleKeysOf(ck.CKK_DSA)[0]
		timingScalar(keys.private, class, random)
		return timingOp(Find(ck.CKM_DSA_SHA256).Sign, keys.private, nil, pattern(32))
	})
	add("dh-derive/fixed-random-key", func(class int, random *rand.Rand) func() {
		keys := sampleKeysOf(ck.CKK_X9_42_DH)[0]
		timingScalar(keys.private, class, random)
		p := &X942DH1Params{KDF: ck.CKD_NULL, PublicData: keys.point()}
		return func() {
			if _, err := Find(ck.CKM_X9_42_DH_DERIVE).Derive(keys.private, p, &Derivation{}); err != nil {
				panic(err)
			}
		}
	})
	add("ml-kem-decapsulate/good-bad-ciphertext", func(class int, random *rand.Rand) func() {
		keys := sampleKeysOf(ck.CKK_ML_KEM)[0]
		ciphertext, _, err := mlkemEncapsulate(keys.public, nil, nil)
		if err != nil {
			panic(err)
		}
		if class == 1 {
			ciphertext[random.IntN(len(ciphertext))] ^= 1
		}
		return func() { _, _ = mlkemDecapsulate(keys.private, nil, nil, ciphertext) }
	})
	for _, m := range []ck.MechanismType{ck.CKM_ARIA_ECB, ck.CKM_SEED_ECB, ck.CKM_CAMELLIA_ECB, ck.CKM_SM4_ECB, ck.CKM_DES3_ECB} {
		name := Find(m).Type.String() + "-1KiB/fixed-random-plaintext"
		if m == ck.CKM_DES3_ECB {
			name += "-control"
		}
		add(name, func(class int, random *rand.Rand) func() {
			keys := sampleKeysOf(Find(m).Keys[0])[0]
			return timingOp(Find(m).Encrypt, keys.secret, nil, timingBytes(make([]byte, 1024), class, random))
		})
	}
	add("ghash-1KiB/fixed-random-key", func(class int, random *rand.Rand) func() {
		block, err := aria.NewCipher(timingBytes(make([]byte, 16), class, random))
		if err != nil {
			panic(err)
		}
		k, data := ghash.NewKey(block, nil), pattern(1024)
		return func() {
			var out [16]byte
			h := ghash.New(k)
			h.Write(data)
			h.Sum(&out)
		}
	})
	if vaes.Supported() {
		iv, message, sealed := pattern(12), pattern(1024), make([]byte, 1024+16)
		addTiming(timing{
			name:  "aes-gcm-vectors-1KiB/fixed-random-key",
			input: func(class int, random *rand.Rand) []byte { return timingBytes(make([]byte, 32), class, random) },
			run:   func(in []byte) { vaes.NewKey(in).Seal(sealed, iv, message, nil) },
		})
		k := vaes.NewKey(pattern(32))
		addTiming(timing{
			name:  "aes-gcm-vectors-1KiB/fixed-random-plaintext",
			input: func(class int, random *rand.Rand) []byte { return timingBytes(make([]byte, 1024), class, random) },
			run:   func(in []byte) { k.Seal(sealed, iv, in, nil) },
		})
	}
	add("ctr-drbg/fixed-random-entropy", func(class int, random *rand.Rand) func() {
		d := drbg.New(timingBytes(make([]byte, 32), class, random), pattern(16), nil)
		out := make([]byte, 256)
		return func() { d.Generate(out, nil) }
	})
	addTiming(timingVerify("hmac-verify/right-wrong", ck.CKM_SHA256_HMAC, ck.CKK_GENERIC_SECRET, func(sig []byte, class int) { sig[31] ^= byte(class) }))
	addTiming(timingVerify("hmac-verify/wrong-first-last", ck.CKM_SHA256_HMAC, ck.CKK_GENERIC_SECRET, func(sig []byte, class int) { sig[31*class] ^= 1 }))
	addTiming(timingVerify("cmac-verify/wrong-first-last", ck.CKM_AES_CMAC, ck.CKK_AES, func(sig []byte, class int) { sig[15*class] ^= 1 }))
	iv := make([]byte, 16)
	addTiming(timingOpen("aes-cbc-pad-decrypt/good-bad-padding", ck.CKM_AES_CBC_PAD, iv, ck.CKM_AES_CBC, goodBad))
	addTiming(timingOpen("aes-cbc-pad-decrypt/bad-length-bad-byte", ck.CKM_AES_CBC_PAD, iv, ck.CKM_AES_CBC, badBad))
	addTiming(timingOpen("aria-cbc-pad-decrypt/bad-length-bad-byte", ck.CKM_ARIA_CBC_PAD, iv, ck.CKM_ARIA_CBC, badBad))
	kwpKey := sampleKeysOf(ck.CKK_AES)[0].secret
	addTiming(timing{
		name: "aes-kwp-unwrap/bad-head-bad-padding",
		input: func(class int, _ *rand.Rand) []byte {
			block, err := aes.NewCipher(kwpKey.Value())
			if err != nil {
				panic(err)
			}
			buf := append([]byte{0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, 28}, make([]byte, 32)...)
			copy(buf[8:], pattern(28))
			buf[39*class] ^= 1
			wrapBlocks(block, buf)
			return buf
		},
		run: timingRun(Find(ck.CKM_AES_KEY_WRAP_KWP).Unwrap, kwpKey, nil),
	})
	add("early-exit/equal-different-control", func(class int, _ *rand.Rand) func() {
		a, b := pattern(4096), pattern(4096)
		b[4095*(1-class)] ^= 1
		return func() {
			for i := range a {
				if a[i] != b[i] {
					return
				}
			}
		}
	})
	return list
}

// timingBytes is as much as like: always the same in class 0.
func timingBytes(like []byte, class int, random *rand.Rand) []byte {
	b := pattern(len(like))
	if class == 1 {
		for i := range b {
			b[i] = byte(random.Uint32())
		}
	}
	return b
}

// timingScalar gives k another private value in class 1, less than a prime of
// the same length.
func timingScalar(k *Key, class int, random *rand.Rand) {
	a := ck.Find(k.Attrs, ck.CKA_VALUE)
	size := len(k.Bytes(ck.CKA_SUBPRIME))
	a.Value = timingBytes(make([]byte, size), class, random)
	a.Value[0] = a.Value[0]&0x3f | 1
}

func timingEC(name string, class int, random *rand.Rand) *sampleKeys {
	for _, s := range sampleKeysOf(ck.CKK_EC) {
		if s.name == name {
			a := ck.Find(s.private.Attrs, ck.CKA_VALUE)
			a.Value = timingBytes(a.Value, class, random)
			a.Value[0] = 0
			return s
		}
	}
	panic("no sample on " + name)
}

// timingOp is a whole operation, whatever comes of it.
func timingOp(begin func(*Key, any) (Op, error), k *Key, p any, in []byte) func() {
	run := timingRun(begin, k, p)
	return func() { run(in) }
}

func timingRun(begin func(*Key, any) (Op, error), k *Key, p any) func(in []byte) {
	dst := make([]byte, 1<<12)
	return func(in []byte) {
		op, err := begin(k, p)
		if err != nil {
			panic(err)
		}
		limit, _ := op.FinishLen(len(in))
		_, _ = op.Finish(dst[:limit], in)
	}
}

// timingOpen decrypts with m what spoil has changed the padding of. bare is the
// mechanism without padding, by which that is done. The message is random bytes,
// so that only the padding tells the classes apart.
func timingOpen(name string, m ck.MechanismType, p any, bare ck.MechanismType, spoil func(plain []byte, class int)) timing {
	row := Find(m)
	keys := sampleKeysOf(row.Keys[0])[0]
	return timing{
		name: name,
		input: func(class int, random *rand.Rand) []byte {
			in := timingBytes(make([]byte, 47), 1, random)
			sealed, err := runOpOf(row.Encrypt, keys.of(true), p, in)
			if err == nil {
				plain, _ := runOpOf(Find(bare).Decrypt, keys.of(false), bareParam(p), sealed)
				spoil(plain, class)
				sealed, err = runOpOf(Find(bare).Encrypt, keys.of(true), bareParam(p), plain)
			}
			if err != nil {
				panic(fmt.Sprint(m, err))
			}
			return sealed
		},
		run: timingRun(row.Decrypt, keys.of(false), p),
	}
}

// bareParam is what the mechanism without padding takes: an IV, or nothing.
func bareParam(p any) any {
	if iv, ok := p.([]byte); ok {
		return iv
	}
	return nil
}

func runOpOf(begin func(*Key, any) (Op, error), k *Key, p any, in []byte) ([]byte, error) {
	op, err := begin(k, p)
	return runOp(op, err, in)
}

// timingVerify verifies a code that spoil changed, of random messages.
func timingVerify(name string, m ck.MechanismType, kt ck.KeyType, spoil func(sig []byte, class int)) timing {
	key := sampleKeysOf(kt)[0].secret
	const size = 64 // of the message
	return timing{
		name: name,
		input: func(class int, random *rand.Rand) []byte {
			message := timingBytes(make([]byte, size), 1, random)
			sig, err := runOpOf(Find(m).Sign, key, nil, message)
			if err != nil {
				panic(err)
			}
			spoil(sig, class)
			return append(message, sig...)
		},
		run: func(in []byte) {
			v, err := Find(m).Verify(key, nil)
			if err != nil {
				panic(err)
			}
			_ = v.Verify(in[:size], in[size:])
		},
	}
}
