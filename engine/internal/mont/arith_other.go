//go:build !amd64

package mont

func (m *Modulus) mul(z, x, y *Element) { m.mulPortable(z, x, y) }
func (m *Modulus) add(z, x, y *Element) { m.addPortable(z, x, y) }
func (m *Modulus) sub(z, x, y *Element) { m.subPortable(z, x, y) }
