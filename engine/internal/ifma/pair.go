package ifma

import "math/bits"

// shape says how numbers lie across the lanes; its layout is known to the
// assembly.
type shape struct {
	first, down, up, ones, mask [lanes]uint64
	lows, tops, highs           uint64
	lanes                       uint64
}

// shapes are for one number in all lanes and for two of four lanes each.
var shapes = [3]shape{1: makeShape(lanes), 2: makeShape(lanes / 2)}

func makeShape(n int) (s shape) {
	for i := range lanes {
		first := i / n * n
		s.first[i] = uint64(first)
		s.down[i] = uint64(min(i+1, lanes-1))
		s.up[i] = uint64(max(i-1, 0))
		s.ones[i], s.mask[i] = 1, digitMask
		if i == first {
			s.lows |= 1 << i
		} else {
			s.highs |= 1 << i
		}
		if i != first+n-1 {
			s.tops |= 1 << i
		}
	}
	s.lanes = uint64(n)
	return s
}

// layout is numbers across the lanes, two or one of them: digit d of a number is
// in lane d/width of its lanes, in vector d mod width.
type layout struct {
	*shape
	width int
}

// set gives number g the digits d; those that d lacks are 0.
func (s *layout) set(z []uint64, g int, d []uint64) {
	at := 0
	for l := range int(s.lanes) {
		for v := range s.width {
			z[lanes*v+l+g*int(s.lanes)] = 0
			if at < len(d) {
				z[lanes*v+l+g*int(s.lanes)] = d[at]
			}
			at++
		}
	}
}

// get is the reverse of set.
func (s *layout) get(d, z []uint64, g int) {
	for i := range d {
		d[i] = z[lanes*(i%s.width)+i/s.width+g*int(s.lanes)]
	}
}

// add makes x += y.
func (s *layout) add(x, y []uint64) {
	for g := 0; g < lanes; g += int(s.lanes) {
		var carry uint64
		for l := range int(s.lanes) {
			for v := range s.width {
				at := lanes*v + l + g
				sum := x[at] + y[at] + carry
				x[at], carry = sum&digitMask, sum>>digitBits
			}
		}
	}
}

// residues are the numbers of a layout, each modulo its modulus.
type residues struct {
	layout
	class *class
	m, k0 []uint64
}

func (c *class) residues(moduli ...*modulus) residues {
	s := residues{class: c, layout: layout{&shapes[len(moduli)], c.width}, k0: vectors(1)}
	var m [2][]uint64
	for g, n := range moduli {
		m[g] = n.m
		for l := range int(s.lanes) {
			s.k0[g*int(s.lanes)+l] = n.k0
		}
	}
	s.m = s.lay(m[:len(moduli)]...)
	return s
}

// lay lays numbers out.
func (s *layout) lay(numbers ...[]uint64) []uint64 {
	z := vectors(s.width)
	for g, d := range numbers {
		s.set(z, g, d)
	}
	return z
}

// number returns the digits of number g.
func (s *layout) number(digits int, z []uint64, g int) []uint64 {
	d := make([]uint64, digits)
	s.get(d, z, g)
	return d
}

// mul makes z = x*y/R.
func (s *residues) mul(z, x, y []uint64) {
	s.class.pair(&z[0], &x[0], &y[0], &s.m[0], &s.k0[0], &s.first[0], int(s.lanes), 1)
}

// square makes x = x*x/R, n times.
func (s *residues) square(x []uint64, n int) {
	s.class.pair(&x[0], &x[0], &x[0], &s.m[0], &s.k0[0], &s.first[0], int(s.lanes), n)
}

// twoTo returns 2^k. r is R.
func (s *residues) twoTo(k int, r []uint64) []uint64 {
	x, one := vectors(s.width), []uint64{1}
	copy(x, r)
	for i := bits.Len(uint(k)) - 1; i >= 0; i-- {
		s.square(x, 1)
		if k>>i&1 == 1 {
			s.add(x, x)
		}
	}
	s.mul(x, x, s.lay([][]uint64{one, one}[:lanes/int(s.lanes)]...))
	return x
}
