package mont

func (m *Modulus) mul(z, x, y *Element) {
	switch m.kernel {
	case adxP256:
		mulP256ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx4:
		mul4ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx6:
		mul6ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx8:
		mul8ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx9:
		mul9ADX(&z[0], &x[0], &y[0], &m.m[0])
	default:
		m.mulPortable(z, x, y)
	}
}

func (m *Modulus) add(z, x, y *Element) {
	switch m.kernel {
	case adx4, adxP256:
		add4ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx6:
		add6ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx8:
		add8ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx9:
		add9ADX(&z[0], &x[0], &y[0], &m.m[0])
	default:
		m.addPortable(z, x, y)
	}
}

func (m *Modulus) sub(z, x, y *Element) {
	switch m.kernel {
	case adx4, adxP256:
		sub4ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx6:
		sub6ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx8:
		sub8ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adx9:
		sub9ADX(&z[0], &x[0], &y[0], &m.m[0])
	default:
		m.subPortable(z, x, y)
	}
}
