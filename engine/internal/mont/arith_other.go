//go:build !amd64

package mont

func (m *Modulus) mul(z, x, y *Element) { m.mulPortable(z, x, y) }
func (m *Modulus) add(z, x, y *Element) { m.addPortable(z, x, y) }
func (m *Modulus) sub(z, x, y *Element) { m.subPortable(z, x, y) }

func (m *Modulus) double(r, p *Point, times int, zero bool) { m.doublesGo(r, p, times, zero) }

func (m *Modulus) addAffine(r, p *Point, x, y *Element) { m.addAffineGo(r, p, x, y) }

func (m *Modulus) lookup(pair *[2 * len(Element{})]uint64, table []uint64, index uint64) {
	m.lookupGo(pair, table, index)
}
