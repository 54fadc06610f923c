package ifma

// group is eight numbers in work at once, each modulo its own modulus: digit d of
// number l is in lane l of vector d.
type group struct {
	tiles int
	m, k0 []uint64
	t     []uint64 // for products
}

func newGroup(tiles int) *group {
	return &group{tiles: tiles, m: vectors(10 * tiles), k0: vectors(1), t: vectors(20 * tiles)}
}

// set gives lane l the digits d.
func (g *group) set(z []uint64, l int, d []uint64) {
	for i, v := range d {
		z[lanes*i+l] = v
	}
}

// get is the reverse of set.
func (g *group) get(d, z []uint64, l int) {
	for i := range d {
		d[i] = z[lanes*i+l]
	}
}

func (g *group) setModulus(l int, m *modulus) {
	g.set(g.m, l, m.m)
	g.k0[l] = m.k0
}

// mul makes z = x*y/R mod m.
func (g *group) mul(z, x, y []uint64) {
	product(&g.t[0], &x[0], &y[0], g.tiles)
	reduce(&z[0], &g.t[0], &g.m[0], &g.k0[0], g.tiles)
}

// square makes z = x*x/R mod m.
func (g *group) square(z, x []uint64) {
	square(&g.t[0], &x[0], g.tiles)
	reduce(&z[0], &g.t[0], &g.m[0], &g.k0[0], g.tiles)
}

// add makes x += y.
func (g *group) add(x, y []uint64) {
	var carry [lanes]uint64
	for i := 0; i < len(x); i += lanes {
		for l := range lanes {
			v := x[i+l] + y[i+l] + carry[l]
			x[i+l], carry[l] = v&digitMask, v>>digitBits
		}
	}
}

// powers is a group with what exponentiation needs.
type powers struct {
	*group
	x, y, table, index []uint64
}

func newPowers(tiles int) *powers {
	d := 10 * tiles
	return &powers{newGroup(tiles), vectors(d), vectors(d), vectors(d << laneWindow), vectors(1)}
}

// entry is one of the table of powers of the base.
func (p *powers) entry(i int) []uint64 { return p.table[i*len(p.x):][:len(p.x)] }

// raise raises x to the exponents, which are as long as each other, in windows, the
// last one first. Entry 0 of the table is 1.
func (p *powers) raise(exponents *[lanes][]byte) {
	copy(p.entry(1), p.x)
	for i := 2; i < 1<<laneWindow; i += 2 {
		p.square(p.entry(i), p.entry(i/2))
		p.mul(p.entry(i+1), p.entry(i), p.x)
	}
	last := len(exponents[0]) - 1
	for i := last; i >= 0; i-- {
		for l, e := range exponents {
			p.index[l] = uint64(e[i])
		}
		select5(&p.y[0], &p.table[0], &p.index[0], 10*p.tiles, 1<<laneWindow)
		if i == last {
			copy(p.x, p.y)
			continue
		}
		for range laneWindow {
			p.square(p.x, p.x)
		}
		p.mul(p.x, p.x, p.y)
	}
}
