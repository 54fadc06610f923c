// Package mldsa signs and verifies message representatives µ with ML-DSA (FIPS
// 204, algorithms 7 and 8 from where µ is known). The library that serves the
// rest of ML-DSA takes whole messages only, and none that are hashed first
// (HashML-DSA). Keys come in their encoded forms.
package mldsa

import (
	"bytes"
	"crypto/sha3"
	"errors"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Lengths in bytes.
const (
	MuSize     = 64
	RandomSize = 32
	trSize     = 64
)

// Parameters is one parameter set (FIPS 204, section 4).
type Parameters struct {
	k, l       int
	eta        int32
	etaBits    int // of a packed coefficient of s1 and s2
	tau        int
	gamma1Bits int // gamma1 = 2^gamma1Bits
	gamma2     int32
	w1Bits     int
	omega      int
	cSize      int // of the commitment hash
}

// The parameter sets.
var (
	MLDSA44 = &Parameters{4, 4, 2, 3, 39, 17, (q - 1) / 88, 6, 80, 32}
	MLDSA65 = &Parameters{6, 5, 4, 4, 49, 19, (q - 1) / 32, 4, 55, 48}
	MLDSA87 = &Parameters{8, 7, 2, 3, 60, 19, (q - 1) / 32, 4, 75, 64}
)

func (p *Parameters) beta() int32 { return int32(p.tau) * p.eta }

// PublicSize is the length of a public key in bytes.
func (p *Parameters) PublicSize() int { return 32 + p.k*n*10/8 }

// PrivateSize is the length of a private key.
func (p *Parameters) PrivateSize() int {
	return 32 + 32 + trSize + (p.k+p.l)*n*p.etaBits/8 + p.k*n*d/8
}

// SignatureSize is the length of a signature.
func (p *Parameters) SignatureSize() int {
	return p.cSize + p.l*n*(p.gamma1Bits+1)/8 + p.omega + p.k
}

// PublicKey is a public key ready to verify with.
type PublicKey struct {
	p  *Parameters
	a  [][]poly
	t1 []poly // times 2^d, transformed
	tr [trSize]byte
}

// PrivateKey is a private key ready to sign with.
type PrivateKey struct {
	p          *Parameters
	a          [][]poly
	key        [32]byte
	tr         [trSize]byte
	s1, s2, t0 []poly // transformed
	public     []byte
}

// Hash returns tr, the hash of the public key with which µ begins.
func (k *PublicKey) Hash() []byte { return k.tr[:] }

// Hash returns tr, the hash of the public key with which µ begins.
func (k *PrivateKey) Hash() []byte { return k.tr[:] }

// Public returns the encoded public key.
func (k *PrivateKey) Public() []byte { return bytes.Clone(k.public) }

var errKey = errors.New("mldsa: malformed key")

// NewPublicKey reads an encoded public key (algorithm 23).
func NewPublicKey(p *Parameters, b []byte) (*PublicKey, error) {
	if len(b) != p.PublicSize() {
		return nil, errKey
	}
	k := &PublicKey{p: p, a: p.expandA(b[:32]), t1: make([]poly, p.k)}
	copy(k.tr[:], shake(trSize, b))
	for i := range k.t1 {
		t := &k.t1[i]
		t.unpack(b[32+i*n*10/8:], 10)
		for j := range t {
			t[j] <<= d
		}
		t.ntt()
	}
	return k, nil
}

// NewPrivateKey reads an encoded private key (algorithm 25), and checks that it
// is one: its numbers are in their range, and t0 and tr are what the others
// make of them.
func NewPrivateKey(p *Parameters, b []byte) (*PrivateKey, error) {
	if len(b) != p.PrivateSize() {
		return nil, errKey
	}
	rho := b[:32]
	k := &PrivateKey{p: p, a: p.expandA(rho)}
	copy(k.key[:], b[32:])
	copy(k.tr[:], b[64:])
	b = b[64+trSize:]
	var ok1, ok2 bool
	k.s1, b, ok1 = unpackSmall(b, p.l, p.etaBits, uint32(p.eta))
	k.s2, b, ok2 = unpackSmall(b, p.k, p.etaBits, uint32(p.eta))
	k.t0, _, _ = unpackSmall(b, p.k, d, 1<<(d-1))
	if !ok1 || !ok2 || !k.complete(rho) {
		return nil, errKey
	}
	return k, nil
}

// unpackSmall reads count polynomials whose coefficients x are packed as top -
// x, and reports whether all are from -top to top.
func unpackSmall(b []byte, count, bits int, top element) (list []poly, rest []byte, ok bool) {
	list = make([]poly, count)
	outside := uint32(0)
	for i := range list {
		list[i].unpack(b, bits)
		for _, x := range list[i] {
			outside |= (2*top - x) >> 31
		}
		list[i].subtractedFrom(top)
		b = b[n*bits/8:]
	}
	return list, b, ct.Reveal(outside) == 0
}

// complete transforms the key, finds the public key (algorithm 6, lines 5 to
// 9), and compares t0 and tr.
func (k *PrivateKey) complete(rho []byte) bool {
	k.public = bytes.Clone(rho)
	transform(k.s1)
	different := element(0)
	for i := range k.t0 {
		t := dot(k.a[i], k.s1)
		t.inverse()
		t.add(&k.s2[i])
		for j := range t {
			high, low := power2Round(t[j])
			different |= low ^ k.t0[i][j]
			t[j] = high
		}
		k.public = t.appendPacked(k.public, 10)
	}
	transform(k.s2)
	transform(k.t0)
	ct.Public(k.public)
	return ct.Reveal(different) == 0 && bytes.Equal(k.tr[:], shake(trSize, k.public))
}

func transform(list []poly) {
	for i := range list {
		list[i].ntt()
	}
}

// dot is the product of a row and a vector, both transformed.
func dot(row, v []poly) (p poly) {
	for i := range row {
		p.addProduct(&row[i], &v[i])
	}
	return p
}

func shake(size int, parts ...[]byte) []byte {
	h := sha3.NewSHAKE256()
	for _, b := range parts {
		h.Write(b)
	}
	out := make([]byte, size)
	h.Read(out)
	return out
}

// expandA makes the matrix (algorithms 30 and 32).
func (p *Parameters) expandA(rho []byte) [][]poly {
	a := make([][]poly, p.k)
	for r := range a {
		a[r] = make([]poly, p.l)
		for s := range a[r] {
			a[r][s].uniform(rho, byte(s), byte(r))
		}
	}
	return a
}

func (p *poly) uniform(rho []byte, s, r byte) {
	h := sha3.NewSHAKE128()
	h.Write(rho)
	h.Write([]byte{s, r})
	var buf [168]byte // the rate, a multiple of 3
	for i := 0; i < n; {
		h.Read(buf[:])
		for b := buf[:]; len(b) > 0 && i < n; b = b[3:] {
			x := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16
			if x < q {
				p[i] = x
				i++
			}
		}
	}
}

// challenge makes the polynomial c with tau coefficients 1 and -1 of its hash
// (algorithm 29), transformed. That of a signature is known to all, and those
// that were tried before may be.
func (p *Parameters) challenge(hash []byte) (c poly) {
	h := sha3.NewSHAKE256()
	h.Write(hash)
	var signs [8]byte
	h.Read(signs[:])
	var at [1]byte
	for i := n - p.tau; i < n; i++ {
		for h.Read(at[:]); int(at[0]) > i; {
			h.Read(at[:])
		}
		bit := i + p.tau - n
		c[i] = c[at[0]]
		c[at[0]] = 1
		if signs[bit/8]>>(bit%8)&1 == 1 {
			c[at[0]] = q - 1
		}
	}
	c.ntt()
	return c
}

// decompose splits r = high * 2 gamma2 + low (algorithm 36), with
// multiplications by 1 / (2 gamma2) that are exact enough for all r.
func (p *Parameters) decompose(r element) (high element, low int32) {
	h := (int32(r) + 127) >> 7
	if p.gamma2 == (q-1)/32 {
		h = (h*1025 + 1<<21) >> 22 & 15
	} else {
		h = (h*11275 + 1<<23) >> 24
		h ^= (43 - h) >> 31 & h // 44 is 0
	}
	low = int32(r) - h*2*p.gamma2
	low -= ((q-1)/2 - low) >> 31 & q
	return uint32(h), low
}

// useHint is algorithm 40.
func (p *Parameters) useHint(hint bool, r element) element {
	high, low := p.decompose(r)
	m := uint32((q - 1) / (2 * p.gamma2))
	switch {
	case !hint:
		return high
	case low > 0:
		return (high + 1) % m
	}
	return (high + m - 1) % m
}
