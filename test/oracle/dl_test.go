package oracle

import (
	"encoding/asn1"
	"math/big"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

func init() {
	for m, digest := range sorted(map[ck.MechanismType]string{
		ck.CKM_DSA_SHA1: "SHA1", ck.CKM_DSA_SHA224: "SHA224", ck.CKM_DSA_SHA256: "SHA256", ck.CKM_DSA_SHA384: "SHA384", ck.CKM_DSA_SHA512: "SHA512",
		ck.CKM_DSA_SHA224_OLD: "SHA224", ck.CKM_DSA_SHA256_OLD: "SHA256",
		ck.CKM_DSA_SHA3_224: "SHA3-224", ck.CKM_DSA_SHA3_256: "SHA3-256", ck.CKM_DSA_SHA3_384: "SHA3-384", ck.CKM_DSA_SHA3_512: "SHA3-512",
	}) {
		compare(openssl, dsa(digest, 1, 20, 200), m)
	}
	compare(openssl, dsa("-", 20, 28, 32), ck.CKM_DSA)
	compare(openssl, dlGenerates(ck.CKK_DSA), ck.CKM_DSA_KEY_PAIR_GEN)
	compare(openssl, dlGenerates(ck.CKK_DH), ck.CKM_DH_PKCS_KEY_PAIR_GEN)
	compare(openssl, dlGenerates(ck.CKK_X9_42_DH), ck.CKM_X9_42_DH_KEY_PAIR_GEN)
	compare(openssl, dh, ck.CKM_DH_PKCS_DERIVE)
	compare(openssl, x942, ck.CKM_X9_42_DH_DERIVE)
	compare(openssl, x942Hybrid, ck.CKM_X9_42_DH_HYBRID_DERIVE)
	compare(openssl, dlParameters("DSA", ck.CKK_DSA, 160), ck.CKM_DSA_PARAMETER_GEN)
	compare(openssl, seededPrimes(32), ck.CKM_DSA_PROBABILISTIC_PARAMETER_GEN)
	compare(openssl, seededPrimes(3*32), ck.CKM_DSA_SHAWE_TAYLOR_PARAMETER_GEN)
	compare(openssl, kcdsaParameters, ck.CKM_KCDSA_PARAMETER_GEN)
	compare(openssl, dlParameters("DHX", ck.CKK_X9_42_DH, 160), ck.CKM_X9_42_DH_PARAMETER_GEN)
	compare(openssl, dlParameters("DH", ck.CKK_DH, 0), ck.CKM_DH_PKCS_PARAMETER_GEN)
	compare(openssl, canonicalBase, ck.CKM_DSA_FIPS_G_GEN)
}

// dlKeys are pairs of each kind, whose groups are made once.
func (c *check) dlKeys(kind ck.KeyType) []*pair {
	c.Helper()
	switch kind {
	case ck.CKK_DSA:
		return []*pair{
			c.pairOf("params-DSA", "dsa_paramgen_bits=1024", "dsa_paramgen_q_bits=160"),
			c.pairOf("params-DSA", "dsa_paramgen_bits=2048", "dsa_paramgen_q_bits=256"),
		}
	case ck.CKK_DH:
		return []*pair{c.pairOf("DH", "group=ffdhe2048"), c.pairOf("DH", "group=modp_3072"), c.pairOf("params-DH", "dh_paramgen_prime_len=512")}
	}
	return []*pair{c.pairOf("DHX", "group=dh_1024_160"), c.pairOf("DHX", "group=dh_2048_256")}
}

func (p *pair) orderSize(c *check) int {
	for _, a := range p.groupOf(c) {
		if a.Type == ck.CKA_SUBPRIME {
			return len(a.Value)
		}
	}
	return 0
}

func dsa(digest string, sizes ...int) func(*check) {
	return func(c *check) {
		for _, k := range c.dlKeys(ck.CKK_DSA) {
			for _, n := range sizes {
				if n > k.orderSize(c) && digest == "-" {
					continue
				}
				c.signs(k, dsaForm(k.orderSize(c)), nil, digest, c.bytes(n))
			}
		}
	}
}

func dlGenerates(kind ck.KeyType) func(*check) {
	return func(c *check) {
		for _, k := range c.dlKeys(kind) {
			c.generates(kind, k.groupOf(c), nil)
		}
	}
}

// partner is another pair of the same group.
func (c *check) partner(k *pair) *pair {
	c.Helper()
	m := map[ck.KeyType]ck.MechanismType{ck.CKK_DH: ck.CKM_DH_PKCS_KEY_PAIR_GEN, ck.CKK_X9_42_DH: ck.CKM_X9_42_DH_KEY_PAIR_GEN}[k.kind]
	pub, priv, rv := mod.GeneratePair(c.a, session, c11.Mech{Type: m}, k.groupOf(c),
		append(append(bools(true, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false)), privateUses(k.kind)...))
	c.good("C_GenerateKeyPair", rv)
	p := &pair{kind: k.kind, public: c.keep(pub), private: c.keep(priv)}
	p.pkcs8 = c.export(priv)
	p.spki = c.askOf(openssl, "pub", p.pkcs8)
	p.parse(c)
	return p
}

func dh(c *check) {
	for _, own := range c.dlKeys(ck.CKK_DH) {
		other := c.partner(own)
		want := c.ask("derive", own.pkcs8, other.spki, "pad=1")
		c.derives(other.publicNumber(c), own.private, want)
		c.derives(own.publicNumber(c), other.private, want)
		c.derives(own.publicNumber(c), other.private, want[len(want)-24:])
	}
}

func x942Param(c *check, kdf ck.KDF, info, public []byte) []byte {
	return words(uint64(kdf), uint64(len(info)), c.a.Ptr(info), uint64(len(public)), c.a.Ptr(public))
}

func x942(c *check) {
	for _, own := range c.dlKeys(ck.CKK_X9_42_DH) {
		other := c.partner(own)
		want := c.ask("derive", own.pkcs8, other.spki, "pad=1")
		c.derives(x942Param(c, ck.CKD_NULL, nil, other.publicNumber(c)), own.private, want)
		c.derives(x942Param(c, ck.CKD_NULL, nil, own.publicNumber(c)), other.private, want)
		for _, f := range ecKDFs {
			info := c.bytes(30)
			key := c.ask("kdf", f.name, 45, option("digest", f.digest), option("key", want), option("info", info))
			c.derives(x942Param(c, f.kdf, info, other.publicNumber(c)), own.private, key)
		}
	}
}

// x942Hybrid joins the secret of the second keys and that of the first.
func x942Hybrid(c *check) {
	for _, own := range c.dlKeys(ck.CKK_X9_42_DH) {
		second, peer, peerSecond := c.partner(own), c.partner(own), c.partner(own)
		want := cat(c.ask("derive", second.pkcs8, peerSecond.spki, "pad=1"), c.ask("derive", own.pkcs8, peer.spki, "pad=1"))
		y, y2 := peer.publicNumber(c), peerSecond.publicNumber(c)
		param := func(kdf ck.KDF, info []byte) []byte {
			return cat(x942Param(c, kdf, info, y), words(0, second.private, uint64(len(y2)), c.a.Ptr(y2)))
		}
		c.derives(param(ck.CKD_NULL, nil), own.private, want)
		info := c.bytes(12)
		c.derives(param(ck.CKD_SHA256_KDF, info), own.private, c.ask("kdf", "X963KDF", 40, "digest=SHA256", option("key", want), option("info", info)))
	}
}

// dlParameters has the module make domain parameters, which OpenSSL checks.
func dlParameters(name string, kind ck.KeyType, order int) func(*check) {
	return func(c *check) {
		bits := 1024
		template := bools(false, ck.CKA_TOKEN)
		if kind == ck.CKK_DH {
			bits = 512
		}
		template = append(template, ck.NewULong(ck.CKA_PRIME_BITS, uint64(bits)))
		if order > 0 {
			template = append(template, ck.NewULong(ck.CKA_SUBPRIME_BITS, uint64(order)))
		}
		o, rv := mod.Generate(c.a, session, c.mech(nil), template...)
		c.good("C_GenerateKey", rv)
		c.keep(o)
		list := []any{"ffc", name, c.get(o, ck.CKA_PRIME), c.get(o, ck.CKA_BASE)}
		if order > 0 {
			list = append(list, c.get(o, ck.CKA_SUBPRIME))
		} else {
			list = append(list, []byte{})
		}
		if n := new(big.Int).SetBytes(c.get(o, ck.CKA_PRIME)).BitLen(); n != bits {
			c.Errorf("the prime has %d bits, not %d", n, bits)
		}
		c.agrees("parameters", 2, list...)
	}
}

// canonicalBase has the module find a base from a seed and a number, which
// OpenSSL finds too.
func canonicalBase(c *check) {
	k := c.dlKeys(ck.CKK_DSA)[0]
	var g struct{ P, Q, G *big.Int }
	if _, err := asn1.Unmarshal(k.algorithm.Parameters.FullBytes, &g); err != nil {
		c.Fatal(err)
	}
	for index := uint64(1); index < 4; index++ {
		domainSeed := c.bytes(32)
		param := words(uint64(ck.CKM_SHA256), c.a.Ptr(domainSeed), 32, index)
		o, rv := mod.Generate(c.a, session, c.mech(param), ck.NewBytes(ck.CKA_PRIME, g.P.Bytes()), ck.NewBytes(ck.CKA_SUBPRIME, g.Q.Bytes()))
		c.good("C_GenerateKey", rv)
		base := c.get(c.keep(o), ck.CKA_BASE)
		c.agrees("base", 3, "ffc", "DSA", g.P.Bytes(), base, g.Q.Bytes(), domainSeed, index)
	}
}

// seededPrimes has the module make primes from a seed of n bytes, which it
// returns, and a base from that seed. OpenSSL checks the primes, and finds the
// base.
func seededPrimes(n int) func(*check) {
	return func(c *check) {
		domainSeed := c.a.Alloc(n)
		param := words(uint64(ck.CKM_SHA256), address(domainSeed), uint64(n), 1)
		o, rv := mod.Generate(c.a, session, c.mech(param), ck.NewULong(ck.CKA_PRIME_BITS, uint64(1024)), ck.NewULong(ck.CKA_SUBPRIME_BITS, uint64(160)))
		c.good("C_GenerateKey", rv)
		p, q := c.get(c.keep(o), ck.CKA_PRIME), c.get(o, ck.CKA_SUBPRIME)
		found := c11.Peek(domainSeed, n)
		o, rv = mod.Generate(c.a, session, c11.Mech{Type: ck.CKM_DSA_FIPS_G_GEN, Param: param}, ck.NewBytes(ck.CKA_PRIME, p), ck.NewBytes(ck.CKA_SUBPRIME, q))
		c.good("C_GenerateKey of the base", rv)
		base := c.get(c.keep(o), ck.CKA_BASE)
		c.agrees("primes", 2, "ffc", "DSA", p, base, q)
		c.agrees("base", 3, "ffc", "DSA", p, base, q, found, 1)
	}
}

// kcdsaParameters are a group like those of DSA, with a longer order.
func kcdsaParameters(c *check) {
	o, rv := mod.Generate(c.a, session, c.mech(nil), ck.NewULong(ck.CKA_PRIME_BITS, uint64(2048)), ck.NewULong(ck.CKA_SUBPRIME_BITS, uint64(256)))
	c.good("C_GenerateKey", rv)
	c.agrees("parameters", 2, "ffc", "DSA", c.get(c.keep(o), ck.CKA_PRIME), c.get(o, ck.CKA_BASE), c.get(o, ck.CKA_SUBPRIME))
}
