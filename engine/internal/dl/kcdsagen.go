package dl

import (
	"encoding/binary"
	"math/big"
)

// Generation of domain parameters for KCDSA (TTAK.KO-12.0001/R4, section 7.1):
// p = 2Jq + 1 for primes p, q and J.

// expand is the function PPGF: the hashes of the source and a counter, from
// right to left, cut to so many bits.
func (f KCDSA) expand(bits int, source ...[]byte) *big.Int {
	size := (bits + 7) / 8
	var b []byte
	for i := 0; len(b) < size; i++ {
		h := f()
		for _, s := range source {
			h.Write(s)
		}
		h.Write([]byte{byte(i)})
		b = append(h.Sum(nil), b...)
	}
	return lowBits(new(big.Int).SetBytes(b), bits)
}

// cofactor is J for a seed; ok is false if another seed is needed.
func (f KCDSA) cofactor(bits, order int, seed []byte) (j *big.Int, ok bool) {
	j = f.expand(bits-order-4, seed)
	j.SetBit(j, bits-order-1, 1).SetBit(j, 0, 1)
	return j, newPrime(j)
}

// maxCount is how many q are tried with one seed.
const maxCount = 1 << 24

// primes finds p and q for a seed and its J, from a count on.
func (f KCDSA) primes(bits, order int, seed []byte, j *big.Int, count uint32) (p, q *big.Int, found uint32, ok bool) {
	for ; count <= maxCount; count++ {
		q = f.expand(order, seed, binary.BigEndian.AppendUint32(nil, count))
		q.SetBit(q, order-1, 1).SetBit(q, 0, 1)
		p = new(big.Int).Mul(j, q)
		p.Lsh(p, 1).Add(p, one)
		if p.BitLen() == bits && !smallFactor(p) && newPrime(q) && newPrime(p) {
			return p, q, count, true
		}
	}
	return nil, nil, 0, false
}

// NewGroup makes domain parameters.
func (f KCDSA) NewGroup(random func([]byte) error, bits, order int) (*Group, error) {
	seed := make([]byte, order/8)
	for {
		if err := random(seed); err != nil {
			return nil, err
		}
		j, ok := f.cofactor(bits, order, seed)
		if !ok {
			continue
		}
		p, q, _, ok := f.primes(bits, order, seed, j, 1)
		if !ok {
			continue
		}
		g, err := Generator(random, p, q)
		if err != nil {
			return nil, err
		}
		return NewGroup(p.Bytes(), q.Bytes(), g.Bytes())
	}
}
