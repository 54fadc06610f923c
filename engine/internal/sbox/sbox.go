// Package sbox computes S-boxes without tables, in constant time.
//
// The S-boxes of ARIA, SEED, Camellia and SM4 are all of one kind: inversion
// in the field of 256 elements between two affine maps over bits. The field is
// the same for all but for names, so that one inversion does for every S-box,
// with the translation of names put into the affine maps.
//
// Eight or sixteen bytes are worked on at once, each in its lane of a word.
// The field is built in two steps: GF(16) with x^4 + x + 1, and over it pairs
// of two nibbles with y^2 + y + x^3. There, inversion takes a few
// multiplications of nibbles.
package sbox

// Affine is an affine map over the bits of a byte: what each bit that is set
// adds, from the lowest one on, and what is added always.
type Affine struct {
	Bits  [8]byte
	Const byte
}

// Box is an S-box: In, inversion, Out.
type Box struct{ In, Out Affine }

// Layer is a row of eight S-boxes for the bytes of a word, the most
// significant byte first.
type Layer struct{ in, out affines }

// affines is a map for each byte of a word.
type affines struct {
	bits  [8]uint64
	konst uint64
}

// NewLayer puts S-boxes side by side.
func NewLayer(boxes [8]Box) *Layer {
	l := new(Layer)
	for _, b := range boxes {
		l.in.append(b.In)
		l.out.append(b.Out)
	}
	return l
}

// append makes m the map for the byte behind those that a has maps for.
func (a *affines) append(m Affine) {
	for i, b := range m.Bits {
		a.bits[i] = a.bits[i]<<8 | uint64(b)
	}
	a.konst = a.konst<<8 | uint64(m.Const)
}

const (
	low    = 0x0101010101010101 // the lowest bit of each byte
	nibble = 0x1111111111111111 // the lowest bit of each nibble
	half   = 0x0f0f0f0f0f0f0f0f // the low nibble of each byte
)

// apply maps the bytes of x. A bit is stretched over its byte to select what
// it adds.
func (a *affines) apply(x uint64) uint64 {
	return a.konst ^
		(x&low)*0xff&a.bits[0] ^ (x>>1&low)*0xff&a.bits[1] ^
		(x>>2&low)*0xff&a.bits[2] ^ (x>>3&low)*0xff&a.bits[3] ^
		(x>>4&low)*0xff&a.bits[4] ^ (x>>5&low)*0xff&a.bits[5] ^
		(x>>6&low)*0xff&a.bits[6] ^ (x>>7&low)*0xff&a.bits[7]
}

// Sub substitutes the bytes of x.
func (l *Layer) Sub(x uint64) uint64 {
	x = l.in.apply(x)
	hi, lo := invert(x>>4&half, x&half)
	return l.out.apply(hi<<4 | lo)
}

// Sub2 substitutes the bytes of x and of y, in little more time than Sub.
func (l *Layer) Sub2(x, y uint64) (uint64, uint64) {
	x, y = l.in.apply(x), l.in.apply(y)
	hi, lo := invert(x&^half|y>>4&half, x&half<<4|y&half)
	return l.out.apply(hi&^half | lo>>4&half), l.out.apply(hi&half<<4 | lo&half)
}

// invert inverts the pairs of nibbles hi*y + lo; the inverse of 0 is 0. With
// d = x^3*hi^2 + (hi+lo)*lo, the inverse is (hi*y + hi + lo) / d, and 1/d is
// d^14.
func invert(hi, lo uint64) (uint64, uint64) {
	sum := hi ^ lo
	d := linear(hi, 8, 6, 11, 10) ^ mul(sum, lo) // x^3*hi^2
	d2 := linear(d, 1, 4, 3, 12)
	d12 := linear(mul(d, d2), 1, 3, 5, 15) // the fourth power of d^3
	d14 := mul(d12, d2)
	return mul(hi, d14), mul(sum, d14)
}

// linear is a map over nibbles that adds b0 for the lowest bit, and so on. The
// maps above were found by putting 1, x, x^2 and x^3 into them.
func linear(a, b0, b1, b2, b3 uint64) uint64 {
	return (a&nibble)*b0 ^ (a>>1&nibble)*b1 ^ (a>>2&nibble)*b2 ^ (a>>3&nibble)*b3
}

// mul multiplies the nibbles of a with those of b.
func mul(a, b uint64) uint64 {
	p := (a & nibble) * 15 & b
	b = double(b)
	p ^= (a >> 1 & nibble) * 15 & b
	b = double(b)
	p ^= (a >> 2 & nibble) * 15 & b
	b = double(b)
	return p ^ (a>>3&nibble)*15&b
}

// double multiplies the nibbles of b with x.
func double(b uint64) uint64 { return b&(7*nibble)<<1 ^ (b>>3&nibble)*3 }
