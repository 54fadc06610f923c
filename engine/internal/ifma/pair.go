package ifma

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
