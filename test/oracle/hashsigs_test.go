package oracle

import (
	"encoding/binary"

	"github.com/perilune/perilune/cryptoki/ck"
)

func init() {
	compare(bouncy, hss, ck.CKM_HSS)
	compare(bouncy, xmss, ck.CKM_XMSS)
	compare(bouncy, xmssMT, ck.CKM_XMSSMT)
	compare(bouncy, slhGenerates, ck.CKM_SLH_DSA_KEY_PAIR_GEN)
}

// pieces takes apart byte strings that come with their lengths in four bytes.
func (c *check) pieces(b []byte) (list [][]byte) {
	c.Helper()
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b)
		list, b = append(list, b[4:4+n]), b[4+n:]
	}
	return list
}

// verifiesAll has Bouncy Castle make a key and signatures of a message, which
// the module verifies.
func (c *check) verifiesAll(kind ck.KeyType, set func(public []byte) []ck.Attribute, words ...any) {
	c.Helper()
	m := c.bytes(100)
	list := c.pieces(c.ask(append(words, m)...))
	public := list[0]
	key := c.create(append(append(bools(true, ck.CKA_VERIFY), ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_VALUE, public)), set(public)...)...)
	for _, sig := range list[1:] {
		c.verifies(nil, key, m, sig)
	}
}

func hss(c *check) {
	for _, levels := range []string{
		"lms_sha256_n32_h5/sha256_n32_w1", "lms_sha256_n32_h5/sha256_n32_w2", "lms_sha256_n32_h5/sha256_n32_w4",
		"lms_sha256_n32_h5/sha256_n32_w8", "lms_sha256_n32_h5/sha256_n32_w4,lms_sha256_n32_h5/sha256_n32_w2",
		"lms_sha256_n32_h5/sha256_n32_w1,lms_sha256_n32_h5/sha256_n32_w8,lms_sha256_n32_h5/sha256_n32_w4",
	} {
		c.verifiesAll(ck.CKK_HSS, func([]byte) []ck.Attribute { return nil }, "hss", levels, 35-32*(len(levels)/40))
	}
}

// parameterSet is the number at the beginning of a public key.
func parameterSet(public []byte) []ck.Attribute {
	return []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(binary.BigEndian.Uint32(public)))}
}

func xmss(c *check) {
	c.verifiesAll(ck.CKK_XMSS, parameterSet, "xmss", 10, "SHA-256", 3)
}

func xmssMT(c *check) {
	// The first tree below has 32 leaves.
	c.verifiesAll(ck.CKK_XMSSMT, parameterSet, "xmssmt", 20, 4, "SHA-256", 34)
	c.verifiesAll(ck.CKK_XMSSMT, parameterSet, "xmssmt", 20, 4, "SHAKE128", 1)
}

// SLH-DSA has its keys and trees from SPHINCS+, which Bouncy Castle has in round
// 3.1. The bits of a digest that choose the leaves stand in another order there,
// so that signatures differ: it is an oracle for key pairs only.

var slhSets = map[uint64]string{
	uint64(ck.CKP_SLH_DSA_SHA2_128F): "sha2_128f_simple", uint64(ck.CKP_SLH_DSA_SHAKE_128F): "shake_128f_simple",
	uint64(ck.CKP_SLH_DSA_SHA2_192F): "sha2_192f_simple", uint64(ck.CKP_SLH_DSA_SHAKE_192F): "shake_192f_simple",
	uint64(ck.CKP_SLH_DSA_SHA2_256F): "sha2_256f_simple", uint64(ck.CKP_SLH_DSA_SHAKE_256F): "shake_256f_simple",
}

// slhGenerates has the module make a pair that signs for Bouncy Castle.
func slhGenerates(c *check) {
	for set := range sorted(slhSets) {
		pub, priv, rv := mod.GeneratePair(c.a, session, c.mech(nil), append(bools(true, ck.CKA_VERIFY), ck.NewULong(ck.CKA_PARAMETER_SET, set)),
			append(bools(true, ck.CKA_SIGN, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false)))
		c.good("C_GenerateKeyPair", rv)
		private, public := c.get(c.keep(priv), ck.CKA_VALUE), c.get(c.keep(pub), ck.CKA_VALUE)
		m := c.bytes(40)
		c.agrees("a signature with the new key", 4, "slhverify", slhSets[set], public, m, c.ask("slhsign", slhSets[set], private, m))
	}
}
