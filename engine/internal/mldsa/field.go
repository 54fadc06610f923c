package mldsa

// Numbers modulo q and polynomials over them (FIPS 204, sections 2.3 and 7.5).
// Nothing branches on a number or looks it up.

const (
	q = 8380417
	n = 256 // coefficients of a polynomial
	d = 13  // bits that are dropped from t
)

// element is a number from 0 to q-1.
type element = uint32

func add(a, b element) element { return reduceOnce(a + b) }

func sub(a, b element) element { return reduceOnce(a - b + q) }

// reduceOnce brings a number below 2q to its place.
func reduceOnce(a uint32) element {
	a -= q
	return a + q&uint32(int32(a)>>31)
}

// Montgomery multiplication with 2^32.
const (
	negInverse = 4236238847  // -1/q modulo 2^32
	one        = 1 << 32 % q // what 1 is in this form
)

// mul is a*b / 2^32.
func mul(a, b element) element {
	t := uint64(a) * uint64(b)
	m := uint32(t) * negInverse
	return reduceOnce(uint32((t + uint64(m)*q) >> 32))
}

// signed is the number of the least absolute value that a stands for.
func signed(a element) int32 {
	return int32(a) - q&(((q-1)/2-int32(a))>>31)
}

// unsigned takes a number from -q to q-1.
func unsigned(a int32) element { return uint32(a + q&(a>>31)) }

type poly [n]element

// zetas are the powers of 1753 in bit-reversed order, times 2^32 (appendix B).
var zetas = makeZetas()

// scale undoes the factor 256 of the transform and the division by 2^32 of one
// multiplication before it: 256^-1 * 2^64.
const scale = 8347681 * (one * one % q) % q

func makeZetas() (z [n]element) {
	const root = 1753 * one % q
	x := element(one)
	for i := range n {
		z[reverse(byte(i))] = x
		x = mul(x, root)
	}
	return z
}

func reverse(b byte) (r byte) {
	for range 8 {
		r = r<<1 | b&1
		b >>= 1
	}
	return r
}

// ntt is algorithm 41.
func (p *poly) ntt() {
	m := 0
	for size := n / 2; size > 0; size /= 2 {
		for start := 0; start < n; start += 2 * size {
			m++
			z := zetas[m]
			low, high := p[start:start+size], p[start+size:start+2*size]
			for j := range low {
				t := mul(z, high[j])
				high[j] = sub(low[j], t)
				low[j] = add(low[j], t)
			}
		}
	}
}

// inverse is algorithm 42, for a polynomial that came of one multiplication.
func (p *poly) inverse() {
	m := n
	for size := 1; size < n; size *= 2 {
		for start := 0; start < n; start += 2 * size {
			m--
			z := q - zetas[m]
			low, high := p[start:start+size], p[start+size:start+2*size]
			for j := range low {
				t := low[j]
				low[j] = add(t, high[j])
				high[j] = mul(z, sub(t, high[j]))
			}
		}
	}
	for j := range p {
		p[j] = mul(p[j], scale)
	}
}

// addProduct adds a*b, all transformed.
func (p *poly) addProduct(a, b *poly) {
	for i := range p {
		p[i] = add(p[i], mul(a[i], b[i]))
	}
}

// product is a*b, of transformed polynomials, transformed back.
func product(a, b *poly) (p poly) {
	p.addProduct(a, b)
	p.inverse()
	return p
}

func (p *poly) add(a *poly) {
	for i := range p {
		p[i] = add(p[i], a[i])
	}
}

func (p *poly) sub(a *poly) {
	for i := range p {
		p[i] = sub(p[i], a[i])
	}
}

// below is 0 if all coefficients are less than bound in absolute value, and
// negative otherwise.
func (p *poly) below(bound int32) (sign int32) {
	for i := range p {
		x := signed(p[i])
		x = (x ^ x>>31) - x>>31
		sign |= (bound - 1 - x) >> 31
	}
	return sign
}

// unpack reads n numbers of some bits each, the lowest bits first (algorithm
// 18).
func (p *poly) unpack(b []byte, bits int) {
	var acc uint64
	have := 0
	for i := range p {
		for have < bits {
			acc |= uint64(b[0]) << have
			b = b[1:]
			have += 8
		}
		p[i] = uint32(acc) & (1<<bits - 1)
		acc >>= bits
		have -= bits
	}
}

// appendPacked is the reverse (algorithm 16).
func (p *poly) appendPacked(b []byte, bits int) []byte {
	var acc uint64
	have := 0
	for i := range p {
		acc |= uint64(p[i]) << have
		have += bits
		for have >= 8 {
			b = append(b, byte(acc))
			acc >>= 8
			have -= 8
		}
	}
	return b
}

// subtractedFrom turns every coefficient x into top - x: the form in which
// small signed numbers are packed (algorithms 17 and 19).
func (p *poly) subtractedFrom(top element) {
	for i := range p {
		p[i] = sub(top, p[i])
	}
}

// power2Round splits r = high * 2^d + low (algorithm 35).
func power2Round(r element) (high, low element) {
	high = (r + 1<<(d-1) - 1) >> d
	return high, unsigned(int32(r) - int32(high<<d))
}
