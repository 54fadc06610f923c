package mont

func (m *Modulus) mul(z, x, y *Element) {
	switch m.kernel {
	case adxP256:
		mulP256ADX(&z[0], &x[0], &y[0], &m.m[0])
	case adxP521:
		mulP521ADX(&z[0], &x[0], &y[0], &m.m[0])
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
	case adx9, adxP521:
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
	case adx9, adxP521:
		sub9ADX(&z[0], &x[0], &y[0], &m.m[0])
	default:
		m.subPortable(z, x, y)
	}
}

func (m *Modulus) double(r, p *Point, times int, zero bool) {
	switch {
	case m.kernel == adx4 && zero:
		doubleZero4ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case zero:
		m.doublesGo(r, p, times, zero)
	case m.kernel == adxP256:
		doubleP256ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case m.kernel == adxP521:
		doubleP521ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case m.kernel == adx4:
		double4ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case m.kernel == adx6:
		double6ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case m.kernel == adx8:
		double8ADX(&r.X[0], &p.X[0], &m.m[0], times)
	case m.kernel == adx9:
		double9ADX(&r.X[0], &p.X[0], &m.m[0], times)
	default:
		m.doublesGo(r, p, times, zero)
	}
}

func (m *Modulus) addAffine(r, p *Point, x, y *Element) {
	switch m.kernel {
	case adxP256:
		addAffineP256ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	case adxP521:
		addAffineP521ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	case adx4:
		addAffine4ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	case adx6:
		addAffine6ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	case adx8:
		addAffine8ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	case adx9:
		addAffine9ADX(&r.X[0], &p.X[0], &x[0], &y[0], &m.m[0])
	default:
		m.addAffineGo(r, p, x, y)
	}
}

func (m *Modulus) lookup(pair *[2 * len(Element{})]uint64, table []uint64, index uint64) {
	entries := uint64(len(table) / (2 * m.limbs))
	if entries == 0 {
		return
	}
	switch m.limbs {
	case 4:
		select8(&pair[0], &table[0], entries, index)
	case 6:
		select12(&pair[0], &table[0], entries, index)
	case 8:
		select16(&pair[0], &table[0], entries, index)
	case 9:
		select18(&pair[0], &table[0], entries, index)
	default:
		m.lookupGo(pair, table, index)
	}
}
