package mldsa

import (
	"crypto/sha3"
	"crypto/subtle"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Sign signs µ with 32 random bytes, or zeros for the deterministic variant
// (algorithm 7); nil if it does not succeed, which will not be seen. How often
// it tries tells nothing about the key (FIPS 204, section 3.5; it is so by the
// design of the scheme).
func (k *PrivateKey) Sign(mu *[MuSize]byte, random *[RandomSize]byte) []byte {
	p := k.p
	seed := shake(64, k.key[:], random[:], mu[:])
	y := make([]poly, p.l)
	defer clear(seed)
	for kappa := 0; kappa < maxTries*p.l; kappa += p.l {
		p.expandMask(y, seed, kappa)
		if sig := k.try(y, mu); sig != nil {
			return sig
		}
	}
	return nil
}

// maxTries is the bound of appendix C: to need more has a probability of less
// than 2^-256.
const maxTries = 814

// expandMask is algorithm 34.
func (p *Parameters) expandMask(y []poly, seed []byte, kappa int) {
	for r := range y {
		at := kappa + r
		b := shake(n*(p.gamma1Bits+1)/8, seed, []byte{byte(at), byte(at >> 8)})
		y[r].unpack(b, p.gamma1Bits+1)
		y[r].subtractedFrom(1 << p.gamma1Bits)
		clear(b)
	}
}

// try makes a signature of the mask y, or nil if it would tell too much.
func (k *PrivateKey) try(y []poly, mu *[MuSize]byte) []byte {
	p := k.p
	w, hash := k.commit(y, mu)
	ct.Public(hash)
	c := p.challenge(hash)

	z := make([]poly, p.l)
	tooLong := int32(0)
	for i := range z {
		z[i] = product(&c, &k.s1[i])
		z[i].add(&y[i])
		tooLong |= z[i].below(1<<p.gamma1Bits - p.beta())
	}
	if ct.Reveal(tooLong) != 0 {
		return nil
	}
	hints := make([][n]byte, p.k)
	for i := range w {
		cs2 := product(&c, &k.s2[i])
		w[i].sub(&cs2)
		tooLong |= p.lowBelow(&w[i])
	}
	if ct.Reveal(tooLong) != 0 {
		return nil
	}
	ones := 0
	for i := range w {
		ct0 := product(&c, &k.t0[i])
		tooLong |= ct0.below(p.gamma2)
		ones += p.makeHint(&hints[i], &w[i], &ct0)
	}
	if ct.Reveal(tooLong) != 0 || ct.Reveal(ones) > p.omega {
		return nil
	}
	return p.encode(hash, z, hints)
}

// commit makes w = A y and the commitment hash of its high bits.
func (k *PrivateKey) commit(y []poly, mu *[MuSize]byte) (w []poly, hash []byte) {
	yt := make([]poly, len(y))
	copy(yt, y)
	transform(yt)
	w = make([]poly, k.p.k)
	w1 := make([]poly, k.p.k)
	for i := range w {
		w[i] = dot(k.a[i], yt)
		w[i].inverse()
		for j := range w[i] {
			w1[i][j], _ = k.p.decompose(w[i][j])
		}
	}
	return w, k.p.commitment(mu, w1)
}

// commitment hashes µ and the packed w1 (algorithm 28).
func (p *Parameters) commitment(mu *[MuSize]byte, w1 []poly) []byte {
	h := sha3.NewSHAKE256()
	h.Write(mu[:])
	buf := make([]byte, 0, n)
	for i := range w1 {
		h.Write(w1[i].appendPacked(buf, p.w1Bits))
	}
	out := make([]byte, p.cSize)
	h.Read(out)
	return out
}

// lowBelow is 0 if all low bits of r are less than gamma2 - beta in absolute
// value.
func (p *Parameters) lowBelow(r *poly) (sign int32) {
	bound := p.gamma2 - p.beta()
	for i := range r {
		_, x := p.decompose(r[i])
		x = (x ^ x>>31) - x>>31
		sign |= (bound - 1 - x) >> 31
	}
	return sign
}

// makeHint marks where the high bits of r and r + ct0 differ (algorithm 39),
// and counts the marks.
func (p *Parameters) makeHint(hint *[n]byte, r, ct0 *poly) (ones int) {
	for i := range r {
		a, _ := p.decompose(r[i])
		b, _ := p.decompose(add(r[i], ct0[i]))
		same := subtle.ConstantTimeEq(int32(a), int32(b))
		hint[i] = byte(1 - same)
		ones += 1 - same
	}
	return ones
}

// encode is algorithm 26.
func (p *Parameters) encode(hash []byte, z []poly, hints [][n]byte) []byte {
	sig := append(make([]byte, 0, p.SignatureSize()), hash...)
	for i := range z {
		z[i].subtractedFrom(1 << p.gamma1Bits)
		sig = z[i].appendPacked(sig, p.gamma1Bits+1)
	}
	packed := make([]byte, p.omega+p.k)
	at := 0
	for i := range hints {
		ct.Public(hints[i][:])
		for j, set := range hints[i] {
			if set != 0 {
				packed[at] = byte(j)
				at++
			}
		}
		packed[p.omega+i] = byte(at)
	}
	return append(sig, packed...)
}

// Verify reports whether sig is a signature of µ (algorithm 8).
func (k *PublicKey) Verify(mu *[MuSize]byte, sig []byte) bool {
	p := k.p
	if len(sig) != p.SignatureSize() {
		return false
	}
	hash := sig[:p.cSize]
	z, rest, _ := unpackSmall(sig[p.cSize:], p.l, p.gamma1Bits+1, 1<<p.gamma1Bits)
	tooLong := int32(0)
	for i := range z {
		tooLong |= z[i].below(1<<p.gamma1Bits - p.beta())
	}
	hints := p.decodeHints(rest)
	if tooLong != 0 || hints == nil {
		return false
	}
	transform(z)
	c := p.challenge(hash)
	w1 := make([]poly, p.k)
	for i := range w1 {
		w := dot(k.a[i], z)
		var ct1 poly
		ct1.addProduct(&c, &k.t1[i])
		w.sub(&ct1)
		w.inverse()
		for j := range w {
			w1[i][j] = p.useHint(hints[i][j], w[j])
		}
	}
	return subtle.ConstantTimeCompare(hash, p.commitment(mu, w1)) == 1
}

// decodeHints is algorithm 21: nil if the encoding is not the one that there
// is.
func (p *Parameters) decodeHints(b []byte) [][n]bool {
	hints := make([][n]bool, p.k)
	at := 0
	for i := range hints {
		end := int(b[p.omega+i])
		if end < at || end > p.omega {
			return nil
		}
		for first := at; at < end; at++ {
			if at > first && b[at] <= b[at-1] {
				return nil
			}
			hints[i][b[at]] = true
		}
	}
	for _, x := range b[at:p.omega] {
		if x != 0 {
			return nil
		}
	}
	return hints
}
