package dl

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	_ "embed"
	"encoding/hex"
	"errors"
	"hash"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/perilune/perilune/engine/internal/has160"
)

//go:embed testdata/vectors.txt
var vectorsText string

// vector is one section of the file.
type vector map[string]string

func vectors(t *testing.T, section string) (list []vector) {
	t.Helper()
	var v vector
	for line := range strings.Lines(vectorsText) {
		line = strings.TrimSpace(line)
		name, value, isValue := strings.Cut(line, " = ")
		switch {
		case line == "" || line[0] == '#':
		case isValue:
			v[name] = value
		default:
			v = vector{"": strings.Trim(line, "[]")}
			if v[""] == section {
				list = append(list, v)
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("no section %s", section)
	}
	return list
}

func (v vector) bytes(t *testing.T, name string) []byte {
	t.Helper()
	s := v[name]
	if len(s)%2 == 1 {
		s = "0" + s
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %q: %v", name, s, err)
	}
	return b
}

func (v vector) int(t *testing.T, name string) *big.Int {
	return new(big.Int).SetBytes(v.bytes(t, name))
}

func (v vector) count(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(v[name])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (v vector) hash() func() hash.Hash {
	return map[string]func() hash.Hash{
		"SHA-1": sha1.New, "SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384,
		"SHA-512": sha512.New, "HAS-160": has160.New,
	}[v["hash"]]
}

// group is the group of a vector. Where none is given, g is a public key, which
// generates the group too.
func (v vector) group(t *testing.T) *Group {
	t.Helper()
	name := "g"
	if v[name] == "" {
		name = "otherstatic"
	}
	g, err := NewGroup(v.bytes(t, "p"), v.bytes(t, "q"), v.bytes(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (v vector) private(t *testing.T, g *Group, name string) []byte {
	t.Helper()
	x, err := g.CheckPrivate(v.bytes(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func sum(newHash func() hash.Hash, parts ...[]byte) []byte {
	h := newHash()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func fromRand(b []byte) error {
	_, err := rand.Read(b)
	return err
}

func TestRFC6979(t *testing.T) {
	for _, v := range vectors(t, "rfc6979") {
		key := vectors(t, v["key"])[0]
		g := key.group(t)
		s, err := g.NewSigner(key.private(t, g, "x"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(g.Public(s.x), key.bytes(t, "y")) {
			t.Errorf("%s: wrong public key", v["key"])
		}
		digest := sum(v.hash(), v.bytes(t, "message"))
		sig, err := s.DSA(digest, nil, v.hash())
		if err != nil || !bytes.Equal(sig, v.bytes(t, "signature")) {
			t.Errorf("%s, %s: %x, %v", v["key"], v["hash"], sig, err)
		}
		if !g.VerifyDSA(key.bytes(t, "y"), digest, sig) {
			t.Errorf("%s, %s: not verified", v["key"], v["hash"])
		}
		hedged, err := s.DSA(digest, []byte("random"), v.hash())
		if err != nil || bytes.Equal(hedged, sig) || !g.VerifyDSA(key.bytes(t, "y"), digest, hedged) {
			t.Errorf("%s, %s: random bytes change nothing, or too much", v["key"], v["hash"])
		}
		for i := range sig {
			sig[i] ^= 1
			if g.VerifyDSA(key.bytes(t, "y"), digest, sig) {
				t.Errorf("byte %d changed, and still verified", i)
			}
			sig[i] ^= 1
			if testing.Short() {
				break
			}
		}
	}
}

func TestKCDSA(t *testing.T) {
	for _, v := range vectors(t, "kcdsa") {
		f, g := KCDSA(v.hash()), v.group(t)
		s, err := g.NewSigner(v.private(t, g, "x"))
		if err != nil {
			t.Fatal(err)
		}
		y, err := g.PublicKCDSA(s.x)
		if err != nil || !bytes.Equal(y, trim(v.bytes(t, "y"))) {
			t.Errorf("public key: %x, %v", y, err)
		}
		if !bytes.Equal(f.Prefix(y), v.bytes(t, "z")) {
			t.Error("wrong prefix")
		}
		digest := sum(v.hash(), f.Prefix(y), []byte("This is a test message for KCDSA usage!"))
		sig, err := f.sign(s, v.bytes(t, "k"), digest)
		if err != nil || !bytes.Equal(sig, v.bytes(t, "signature")) {
			t.Errorf("%s: %x, %v", v["hash"], sig, err)
		}
		if !f.Verify(g, y, digest, sig) {
			t.Error("not verified")
		}
		sig, err = f.Sign(s, digest, []byte("random"), sha512.New)
		if err != nil || len(sig) != f.Size(g) || !f.Verify(g, y, digest, sig) {
			t.Errorf("own signature: %v", err)
		}
		sig[0] ^= 1
		if f.Verify(g, y, digest, sig) {
			t.Error("changed, and still verified")
		}
	}
}

func TestKCDSAParameters(t *testing.T) {
	for _, v := range vectors(t, "kcdsa") {
		f, p, q := KCDSA(v.hash()), v.int(t, "p"), v.int(t, "q")
		j, ok := f.cofactor(p.BitLen(), q.BitLen(), v.bytes(t, "seed"))
		if !ok || j.Cmp(v.int(t, "j")) != 0 {
			t.Errorf("J is %x", j)
		}
		// From a few before the count on: the whole way takes long.
		from := uint32(max(1, v.count(t, "count")-200))
		gotP, gotQ, count, ok := f.primes(p.BitLen(), q.BitLen(), v.bytes(t, "seed"), j, from)
		if !ok || gotP.Cmp(p) != 0 || gotQ.Cmp(q) != 0 || int(count) != v.count(t, "count") {
			t.Errorf("%s: count %d", v["hash"], count)
		}
	}
}

func TestSharedSecrets(t *testing.T) {
	for _, v := range vectors(t, "dh") {
		g := v.group(t)
		x := v.private(t, g, "x")
		if !bytes.Equal(g.Public(x), trim(v.bytes(t, "y"))) {
			t.Error("wrong public key")
		}
		z, err := g.Shared(v.bytes(t, "other"), x)
		if err != nil || !bytes.Equal(z, v.bytes(t, "z")) {
			t.Errorf("%x, %v", z, err)
		}
	}
}

func TestMQV(t *testing.T) {
	for _, v := range vectors(t, "mqv") {
		g := v.group(t)
		z, err := g.MQV(v.private(t, g, "x"), v.private(t, g, "r"), v.bytes(t, "t"), v.bytes(t, "otherstatic"), v.bytes(t, "otherephemeral"))
		if err != nil || !bytes.Equal(z, v.bytes(t, "z")) {
			t.Errorf("%x, %v", z, err)
		}
	}
}

func TestProbablePrimes(t *testing.T) {
	for _, v := range vectors(t, "A.1.1.2") {
		p, q := v.int(t, "p"), v.int(t, "q")
		gotP, gotQ, counter, ok := ProbablePrimes(p.BitLen(), q.BitLen(), v.hash(), v.bytes(t, "seed"))
		if !ok || gotP.Cmp(p) != 0 || gotQ.Cmp(q) != 0 || counter != v.count(t, "counter") {
			t.Errorf("%d bits, %s: %v, counter %d", p.BitLen(), v["hash"], ok, counter)
		}
	}
}

func TestProvablePrimes(t *testing.T) {
	for _, v := range vectors(t, "A.1.2.1") {
		p, q := v.int(t, "p"), v.int(t, "q")
		gotP, gotQ, pSeed, qSeed, ok := ProvablePrimes(p.BitLen(), q.BitLen(), v.hash(), v.bytes(t, "seed"))
		if !ok || gotP.Cmp(p) != 0 || gotQ.Cmp(q) != 0 || !bytes.Equal(pSeed, v.bytes(t, "pseed")) || !bytes.Equal(qSeed, v.bytes(t, "qseed")) {
			t.Errorf("%d bits, %s: %v", p.BitLen(), v["hash"], ok)
		}
	}
}

func TestCanonicalGenerator(t *testing.T) {
	for _, v := range vectors(t, "A.2.3") {
		g, err := CanonicalGenerator(v.hash(), v.int(t, "p"), v.int(t, "q"), v.bytes(t, "seed"), v.bytes(t, "index")[0])
		if err != nil || g.Cmp(v.int(t, "g")) != 0 {
			t.Errorf("%x, %v", g, err)
		}
	}
}

// namedDigests are SHA-256 of the primes, big-endian, as OpenSSL 3.0 has them.
var namedDigests = map[string]string{
	"64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b": "modp_1536",
	"d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e": "modp_2048",
	"48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c": "modp_3072",
	"4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33": "modp_4096",
	"d1bfe6d0925ce7e4da262b62861514a7755e35831e429f343e7b864848657efd": "modp_6144",
	"39ab4feab950a3128fb71accb9fc3965d857012e081998a85996e3ea8b3c3bcf": "modp_8192",
	"9cd3b7f336872f46c09428d1bbc19877a4d440512cda8d1c1cf0cd6e33698966": "ffdhe2048",
	"0eaf67db3a839156d5013494a5318a772b5697d270d721f37f092efc69ea5a17": "ffdhe3072",
	"4648414224ac881b3d0dc59b466f96d06a558278776807797ecf1f66ff397b3e": "ffdhe4096",
	"227ac9066b3ddd9e193670cda2388fa884f65ba0cf98b742d1fe77a6687c79c7": "ffdhe6144",
	"770b14efaf6f049929c523113b3fa99a8d11dab1b18af3609590122075d19833": "ffdhe8192",
}

func TestNamedPrimes(t *testing.T) {
	found := 0
	for bits, list := range named() {
		for _, p := range list {
			if p.BitLen() != bits {
				t.Errorf("%d bits, not %d", p.BitLen(), bits)
			}
			if namedDigests[hex.EncodeToString(sum(sha256.New, p.Bytes()))] != "" {
				found++
			}
		}
	}
	if found != len(namedDigests) {
		t.Errorf("%d primes are as published, not %d", found, len(namedDigests))
	}
	for _, bits := range []int{768, 1024} { // OpenSSL does not have these
		if p := named()[bits][0]; !p.ProbablyPrime(4) || !new(big.Int).Rsh(p, 1).ProbablyPrime(4) {
			t.Errorf("%d bits: not a safe prime", bits)
		}
	}
	p := named()[2048][0]
	g, err := NewGroup(p.Bytes(), nil, []byte{2})
	if err != nil || !g.safe() {
		t.Fatal(err)
	}
	if g, err = NewGroup(p.Bytes(), new(big.Int).Rsh(p, 1).Bytes(), []byte{2}); err != nil || g.OrderBits() != 2047 {
		t.Fatal(err)
	}
}

func TestSafePrime(t *testing.T) {
	p, err := NewSafePrime(fromRand, 512)
	if err != nil {
		t.Fatal(err)
	}
	half := new(big.Int).Rsh(p, 1)
	if p.BitLen() != 512 || !p.ProbablyPrime(20) || !half.ProbablyPrime(20) ||
		new(big.Int).Exp(big.NewInt(2), half, p).Cmp(one) != 0 {
		t.Errorf("%x", p)
	}
}

func TestBadGroups(t *testing.T) {
	v := vectors(t, "DSA1024")[0]
	p, q, g := v.int(t, "p"), v.int(t, "q"), v.int(t, "g")
	add := func(n *big.Int, d int64) *big.Int { return new(big.Int).Add(n, big.NewInt(d)) }
	huge := new(big.Int).Lsh(one, MaxBits)
	for name, x := range map[string][3]*big.Int{
		"empty":               {new(big.Int), new(big.Int), new(big.Int)},
		"no q, g 0":           {p, new(big.Int), new(big.Int)},
		"no q, g 1":           {p, new(big.Int), one},
		"no q, g p-1":         {p, new(big.Int), add(p, -1)},
		"no q, g p":           {p, new(big.Int), p},
		"even p":              {add(p, 1), new(big.Int), g},
		"composite p":         {add(p, 2), new(big.Int), g},
		"p of wrong order":    {add(p, 2), q, g},
		"q 1":                 {p, one, g},
		"q 2":                 {p, big.NewInt(2), add(p, -1)},
		"q p-1":               {p, add(p, -1), g},
		"q p":                 {p, p, g},
		"q no divisor":        {p, add(q, 2), g},
		"g not of this order": {p, q, big.NewInt(2)},
		"g 1":                 {p, q, one},
		"g p-1":               {p, q, add(p, -1)},
		"g greater than p":    {p, q, new(big.Int).Add(p, g)},
		"oversized p":         {add(huge, 1), new(big.Int), big.NewInt(2)},
		"oversized g":         {p, q, huge},
		"oversized q":         {p, huge, g},
		"small p":             {big.NewInt(23), big.NewInt(11), big.NewInt(2)},
	} {
		if _, err := NewGroup(x[0].Bytes(), x[1].Bytes(), x[2].Bytes()); !errors.Is(err, ErrGroup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewGroup(append([]byte{0, 0}, p.Bytes()...), q.Bytes(), g.Bytes()); err != nil {
		t.Errorf("leading zeros: %v", err)
	}
}

// A group outlives the memory that it was made of.
func TestGroupMemory(t *testing.T) {
	v := vectors(t, "DSA2048")[0]
	p, q, g := v.bytes(t, "p"), v.bytes(t, "q"), v.bytes(t, "g")
	group, err := NewGroup(p, q, g)
	if err != nil {
		t.Fatal(err)
	}
	clear(p)
	clear(q)
	clear(g)
	if !bytes.Equal(group.P, v.bytes(t, "p")) || !bytes.Equal(group.Q, v.bytes(t, "q")) || !bytes.Equal(group.G, v.bytes(t, "g")) {
		t.Error("the group went with its memory")
	}
}

func TestBadKeys(t *testing.T) {
	v := vectors(t, "DSA1024")[0]
	g := v.group(t)
	p, q := v.int(t, "p"), v.int(t, "q")
	for name, y := range map[string]*big.Int{
		"0": new(big.Int), "1": one, "p-1": new(big.Int).Sub(p, one), "p": p, "of another order": big.NewInt(2),
		"longer than p": new(big.Int).Lsh(p, 8),
	} {
		if _, err := g.CheckPublic(y.Bytes()); !errors.Is(err, ErrPublic) {
			t.Errorf("public key %s: %v", name, err)
		}
	}
	for name, x := range map[string]*big.Int{"0": new(big.Int), "q": q, "longer than q": p} {
		if _, err := g.CheckPrivate(x.Bytes()); !errors.Is(err, ErrPrivate) {
			t.Errorf("private key %s: %v", name, err)
		}
	}
	unknown, err := NewGroup(g.P, nil, g.G)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*big.Int{"0": new(big.Int), "p": p, "longer than p": new(big.Int).Lsh(p, 8)} {
		if _, err := unknown.CheckPrivate(x.Bytes()); !errors.Is(err, ErrPrivate) {
			t.Errorf("private key %s without an order: %v", name, err)
		}
	}
	if _, err := unknown.NewSigner([]byte{1}); !errors.Is(err, ErrOrder) {
		t.Errorf("signing without an order: %v", err)
	}
}

// A degenerate signature verifies nothing, and does no harm.
func TestBadSignatures(t *testing.T) {
	v := vectors(t, "DSA1024")[0]
	g, y := v.group(t), v.bytes(t, "y")
	n := len(g.Q)
	for _, r := range [][]byte{make([]byte, n), g.Q, bytes.Repeat([]byte{0xff}, n), append(make([]byte, n-1), 1)} {
		for _, s := range [][]byte{make([]byte, n), g.Q, append(make([]byte, n-1), 1)} {
			sig := append(bytes.Clone(r), s...)
			if g.VerifyDSA(y, make([]byte, 20), sig) || KCDSA(sha1.New).Verify(g, y, make([]byte, 20), sig) {
				t.Errorf("verified %x", sig)
			}
		}
	}
	for _, sig := range [][]byte{nil, {1}, make([]byte, 2*n+1)} {
		if g.VerifyDSA(y, nil, sig) || KCDSA(sha1.New).Verify(g, y, nil, sig) {
			t.Errorf("verified %x", sig)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	p := named()[2048][0]
	g, err := NewGroup(p.Bytes(), nil, []byte{2})
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[int]int{0: 256, 160: 160, 161: 161, 255: 255, 2047: 2047} {
		x, err := g.NewPrivate(fromRand, asked)
		if err != nil || new(big.Int).SetBytes(x).BitLen() != want {
			t.Errorf("asked for %d bits: %x, %v", asked, x, err)
		}
	}
	dsa := vectors(t, "DSA1024")[0].group(t)
	for range 8 {
		x, err := dsa.NewPrivate(fromRand, 0)
		if err != nil || len(x) != len(dsa.Q) {
			t.Errorf("%x, %v", x, err)
		}
	}
}
