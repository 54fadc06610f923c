package engine

import (
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"math/bits"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// DES and triple DES (PKCS#11 v3.1 sections 6.17 to 6.20; NIST FIPS 46-3, SP
// 800-67). Both look secrets up in tables, as all fast implementations do.

var (
	// desFamily is DES with keys of 8 bytes.
	desFamily = &blockCipher{
		keys: []ck.KeyType{ck.CKK_DES}, size: 8, new: des.NewCipher, fresh: freshDES,
		row: Mechanism{Min: 8, Max: 8, Leaks: sboxLeaks},
	}
	// des3Family is triple DES with keys of 16 and 24 bytes.
	des3Family = &blockCipher{
		keys: []ck.KeyType{ck.CKK_DES2, ck.CKK_DES3}, size: 8, new: newDES3, fresh: freshDES,
		row: Mechanism{Min: 16, Max: 24, FIPS: true, FIPSMin: 24, LegacyMin: 16, Approve: approveDES3, Leaks: sboxLeaks},
	}
	// desAny is either, by the length of the key: the standard gives the feedback
	// modes to DES, and devices to triple DES under the same numbers.
	desAny = &blockCipher{
		keys: []ck.KeyType{ck.CKK_DES, ck.CKK_DES2, ck.CKK_DES3}, size: 8, new: newAnyDES,
		row: Mechanism{Min: 8, Max: 24, FIPS: true, FIPSMin: 24, LegacyMin: 16, Approve: approveDES3, Leaks: sboxLeaks},
	}
)

func init() { later(desMechanisms) }

func desMechanisms() {
	d, t := desFamily, des3Family
	registerBlockCipher(d,
		proven("NBS FIPS 81", d.keyGen(ck.CKM_DES_KEY_GEN, ck.CKK_DES, desECBAnswer)),
		proven("NBS FIPS 81", d.ecb(ck.CKM_DES_ECB, desECBAnswer)),
		proven("NBS FIPS 81", d.cbc(ck.CKM_DES_CBC, desCBCAnswer)),
		proven("NBS FIPS 81, by the choice of the IV", d.cbcPad(ck.CKM_DES_CBC_PAD, desPadAnswer)),
		proven("ISO/IEC 9797-1 B", d.mac(ck.CKM_DES_MAC, desMACAnswers(nil, 4)...)),
		proven("ISO/IEC 9797-1 B", d.macGeneral(ck.CKM_DES_MAC_GENERAL, desMACAnswers(uint64(8), 8)...)),
		proven("NBS FIPS 81", d.ecbEncryptData(ck.CKM_DES_ECB_ENCRYPT_DATA,
			known{desECBAnswer.key, &StringDataParams{unhex(desECBAnswer.in)}, "", desECBAnswer.out})),
		proven("NBS FIPS 81", d.cbcEncryptData(ck.CKM_DES_CBC_ENCRYPT_DATA, (*DESCBCEncryptDataParams)(nil),
			known{desCBCAnswer.key, &DESCBCEncryptDataParams{[8]byte(desCBCAnswer.p.([]byte)), unhex(desCBCAnswer.in)}, "", desCBCAnswer.out})),
	)
	registerBlockCipher(t,
		proven("NIST CAVP", des2KeyGen()),
		proven("NIST SP 800-67 B", des3KeyGen()),
		proven("NIST SP 800-67 B; NIST CAVP", t.ecb(ck.CKM_DES3_ECB, des3ECBAnswer)),
		proven("NIST CAVP", t.cbc(ck.CKM_DES3_CBC, des3CBCAnswer)),
		proven("NIST SP 800-67 B, by the choice of the IV", t.cbcPad(ck.CKM_DES3_CBC_PAD, des3PadAnswer(pkcs7))),
		notApproved(proven("NIST SP 800-67 B, by the choice of the IV", t.cbcPadIPsec(ck.CKM_DES3_CBC_PAD_IPSEC, des3PadAnswer(ipsec)))),
		proven("NIST SP 800-67 B, by the choice of the message", t.mac(ck.CKM_DES3_MAC, des3MACAnswer(nil, 4))),
		proven("NIST SP 800-67 B, by the choice of the message", t.macGeneral(ck.CKM_DES3_MAC_GENERAL, des3MACAnswer(uint64(8), 8))),
		proven("NIST SP 800-38B D", t.cmac(ck.CKM_DES3_CMAC, des3CMACAnswers(nil, 8)...)),
		proven("NIST SP 800-38B D", t.cmacGeneral(ck.CKM_DES3_CMAC_GENERAL, des3CMACAnswers(uint64(5), 5)...)),
		proven("NIST SP 800-67 B, by the choice of the counter", t.ctr(ck.CKM_DES3_CTR, des3CTRAnswer)),
		proven("NIST CAVP", t.cfb(ck.CKM_DES3_CFB8, 8, des3CFB8Answer)),
		proven("NIST CAVP", t.cfb(ck.CKM_DES3_CFB64, 64, des3CFB64Answer)),
		proven("NIST CAVP", t.ofb(ck.CKM_DES3_OFB64, 64, des3OFBAnswer)),
		notApproved(proven("ISO/IEC 9797-1 B", t.retailMAC(ck.CKM_DES3_X919_MAC, retailMACAnswers...))),
		proven("NIST SP 800-67 B", t.ecbEncryptData(ck.CKM_DES3_ECB_ENCRYPT_DATA,
			known{des3ECBAnswer.key, &StringDataParams{unhex(des3ECBAnswer.in)}, "", des3ECBAnswer.out})),
		proven("NIST CAVP", t.cbcEncryptData(ck.CKM_DES3_CBC_ENCRYPT_DATA, (*DESCBCEncryptDataParams)(nil),
			known{des3CBCAnswer.key, &DESCBCEncryptDataParams{[8]byte(des3CBCAnswer.p.([]byte)), unhex(des3CBCAnswer.in)}, "", des3CBCAnswer.out})),
	)
	register(
		proven("NBS FIPS 81; NIST CAVP", desAny.ofb(ck.CKM_DES_OFB64, 64, desOFBAnswer, des3OFBAnswer)),
		notApproved(proven("NBS FIPS 81", desAny.ofb(ck.CKM_DES_OFB8, 8, desOFB8Answer))),
		proven("NBS FIPS 81; NIST CAVP", desAny.cfb(ck.CKM_DES_CFB64, 64, desCFB64Answer, des3CFB64Answer)),
		proven("NBS FIPS 81; NIST CAVP", desAny.cfb(ck.CKM_DES_CFB8, 8, desCFB8Answer, des3CFB8Answer)),
	)
}

// newDES3 makes triple DES of two keys, the first of which comes again as the
// third, or of three.
func newDES3(key []byte) (cipher.Block, error) {
	if len(key) == 16 {
		key = slices.Concat(key, key[:8])
		defer clear(key)
	}
	return des.NewTripleDESCipher(key)
}

func newAnyDES(key []byte) (cipher.Block, error) {
	if len(key) == 8 {
		return des.NewCipher(key)
	}
	return newDES3(key)
}

func des2KeyGen() *Mechanism {
	m := des3Family.keyGen(ck.CKM_DES2_KEY_GEN, ck.CKK_DES2, des2ECBAnswer)
	m.Max, m.FIPSMin, m.LegacyMin = 16, 16, 0
	m.Legacy = true // such keys produce nothing in FIPS mode
	return m
}

func des3KeyGen() *Mechanism {
	m := des3Family.keyGen(ck.CKM_DES3_KEY_GEN, ck.CKK_DES3, known{des3ECBAnswer.key, nil, des3ECBAnswer.in[:16], des3ECBAnswer.out[:16]})
	m.Min, m.LegacyMin = 24, 0
	return m
}

// oddParity sets the last bit of each byte so that the byte has an odd number of
// ones (NIST FIPS 46-3).
func oddParity(key []byte) {
	for i, b := range key {
		key[i] = b&^1 | byte(bits.OnesCount8(b>>1)&1^1)
	}
}

// isDES reports whether keys of a type have parity bits.
func isDES(t ck.KeyType) bool {
	return t == ck.CKK_DES || t == ck.CKK_DES2 || t == ck.CKK_DES3
}

// freshDES gives new keys their parity, and refuses those that are weak, or that
// are one key twice, which would make triple DES into DES.
func freshDES(key []byte) bool {
	oddParity(key)
	bad := 0
	for i := 0; i < len(key); i += 8 {
		for _, weak := range weakDES {
			bad |= ct.Equal(key[i:i+8], weak[:])
		}
		for j := 0; j < i; j += 8 {
			bad |= ct.Equal(key[i:i+8], key[j:j+8])
		}
	}
	return bad == 0
}

// weakDES are the weak and semi-weak keys (NIST SP 800-67, section 3.3.2).
var weakDES = [][8]byte{
	{0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01}, {0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe},
	{0xe0, 0xe0, 0xe0, 0xe0, 0xf1, 0xf1, 0xf1, 0xf1}, {0x1f, 0x1f, 0x1f, 0x1f, 0x0e, 0x0e, 0x0e, 0x0e},
	{0x01, 0x1f, 0x01, 0x1f, 0x01, 0x0e, 0x01, 0x0e}, {0x1f, 0x01, 0x1f, 0x01, 0x0e, 0x01, 0x0e, 0x01},
	{0x01, 0xe0, 0x01, 0xe0, 0x01, 0xf1, 0x01, 0xf1}, {0xe0, 0x01, 0xe0, 0x01, 0xf1, 0x01, 0xf1, 0x01},
	{0x01, 0xfe, 0x01, 0xfe, 0x01, 0xfe, 0x01, 0xfe}, {0xfe, 0x01, 0xfe, 0x01, 0xfe, 0x01, 0xfe, 0x01},
	{0x1f, 0xe0, 0x1f, 0xe0, 0x0e, 0xf1, 0x0e, 0xf1}, {0xe0, 0x1f, 0xe0, 0x1f, 0xf1, 0x0e, 0xf1, 0x0e},
	{0x1f, 0xfe, 0x1f, 0xfe, 0x0e, 0xfe, 0x0e, 0xfe}, {0xfe, 0x1f, 0xfe, 0x1f, 0xfe, 0x0e, 0xfe, 0x0e},
	{0xe0, 0xfe, 0xe0, 0xfe, 0xf1, 0xfe, 0xf1, 0xfe}, {0xfe, 0xe0, 0xfe, 0xe0, 0xfe, 0xf1, 0xfe, 0xf1},
}

// DESCBCEncryptDataParams is CK_DES_CBC_ENCRYPT_DATA_PARAMS (PKCS#11 v3.1
// section 6.27.1).
type DESCBCEncryptDataParams struct {
	IV   [8]byte
	Data []byte `c:"ptr,len"`
}

func (p *DESCBCEncryptDataParams) split() (iv, data []byte) {
	if p == nil {
		return nil, nil
	}
	return p.IV[:], p.Data
}

// retailMAC is the MAC of ANSI X9.19, 4 bytes: algorithm 3 of ISO/IEC 9797-1
// with padding 1. All but the last block goes through DES with the first key,
// the last through triple DES.
func (c *blockCipher) retailMAC(t ck.MechanismType, answers ...known) *Mechanism {
	return c.authenticating(t, newRetailMAC, 4, answers)
}

// retailKey is the first key, and the decryption and encryption that follow.
type retailKey struct{ first, second, third cipher.Block }

type retailMAC struct {
	chainMAC
	key *retailKey
}

func newRetailMAC(c *blockCipher, k *Key, p any) (cutMAC, any, error) {
	_, p, err := c.block(k, p)
	if err != nil {
		return nil, nil, err
	}
	key, err := Parsed(k, parseRetailKey)
	if err != nil {
		return nil, nil, err
	}
	return &retailMAC{newChainMAC(key.first), key}, p, nil
}

func parseRetailKey(k *Key) (*retailKey, error) {
	v := k.Value()
	var keys [3]cipher.Block
	for i := range keys {
		at := i * 8 % len(v) // of two keys, the first again
		block, err := des.NewCipher(v[at : at+8])
		if err != nil {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		keys[i] = block
	}
	return &retailKey{keys[0], keys[1], keys[2]}, nil
}

func (r *retailMAC) sum(dst []byte) []byte {
	r.chain.encrypt()
	x := r.chain.x[:8]
	r.key.second.Decrypt(x, x)
	r.key.third.Encrypt(x, x)
	return append(dst, x[:r.len]...)
}

// Known answers of NBS FIPS 81: appendix B for ECB, C for CBC, D for CFB and E
// for OFB.

const (
	fips81Key   = "0123456789abcdef"
	fips81IV    = "1234567890abcdef"
	fips81Plain = "4e6f77206973207468652074696d6520666f7220616c6c20"
)

var (
	desECBAnswer   = known{fips81Key, nil, fips81Plain[:16], "3fa40e8a984d4815"}
	desCBCAnswer   = known{fips81Key, unhex(fips81IV), fips81Plain, "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"}
	desCFB8Answer  = known{fips81Key, unhex(fips81IV), fips81Plain[:20], "f31fda07011462ee187f"}
	desCFB64Answer = known{fips81Key, unhex(fips81IV), fips81Plain, "f3096249c7f46e51a69e839b1a92f78403467133898ea622"}
	desOFB8Answer  = known{fips81Key, unhex(fips81IV), fips81Plain[:20], "f34a2850c9c64985d684"}
	desOFBAnswer   = known{fips81Key, unhex(fips81IV), fips81Plain, "f3096249c7f46e5135f24a242eeb3d3f3d6d5be3255af8c3"}

	// desPadAnswer is the block of ECB, with the IV that makes three bytes and
	// their padding of it.
	desPadAnswer = known{fips81Key, xorBytes(unhex(fips81Plain[:16]), unhex("a0a1a20505050505")), "a0a1a2", desECBAnswer.out}
)

// desMACAnswers are examples of ISO/IEC 9797-1, annex B.2: algorithm 1, padding 1.
func desMACAnswers(p any, n int) []known {
	return []known{
		{fips81Key, p, fips81Plain, "70a30640cc76dd8b"[:2*n]},
		{fips81Key, p, isoString2, "e45b3ad2b7cc0856"[:2*n]},
	}
}

// retailMACAnswers are examples of annex B.4: algorithm 3, padding 1.
var retailMACAnswers = []known{
	{"0123456789abcdeffedcba9876543210", nil, fips81Plain, "a1c72e74"},
	{"0123456789abcdeffedcba9876543210", nil, isoString2, "2e2b1428"},
}

const isoString2 = "4e6f77206973207468652074696d6520666f72206974"

// Known answers of NIST SP 800-67, appendix B, and of NIST's CAVP files
// TCBCMMT3, TCFB8MMT3, TCFB64MMT3 and TOFBMMT3.

const sp80067Key = "0123456789abcdef23456789abcdef01456789abcdef0123"

var (
	des3ECBAnswer = known{sp80067Key, nil, "5468652071756663" + "6b2062726f776e20" + "666f78206a756d70",
		"a826fd8ce53b855f" + "cce21c8112256fe6" + "68d5c05dd9b6b900"}
	des3CBCAnswer = known{"1a5d4c0825072a15a8ad9dfdaeda8c048adffb85bc4fced0", unhex("7fcfa736f7548b6f"),
		"983c3edacd939406010e1bc6ff9e12320ac5008117fa8f84", "d84fa24f38cf451ca2c9adc960120bd8ff9871584fe31cee"}
	des3CFB8Answer = known{"802089737f6449d392cdb9d3dcf18cdc8c8997987cc70145", unhex("4d5fecec27357b44"),
		"086ac2", "54c9f5"}
	des3CFB64Answer = known{"9e32daa42679a898c2627a2f4ac4975885cb2a68c8c81920", unhex("cc20aa6c34214217"),
		"6b7acd01c975d53f544b35b76103a7d00c63ad9091bd1a10", "39be9a6d7702b3477bade6e1664d3d922ccb124204eff794"}
	des3OFBAnswer = known{"8a8adc611cfb58c41faee97358890d389becc1522aeafd38", unhex("84025a09476086ed"),
		"37ce4076a36437aafdb371c1a62af9ad9b614dfef89708fb", "76415ffd58c03e9036914f8a52deb45f906f502c7a7aff87"}

	// des2ECBAnswer is case 0 of TCBCMMT2, with the IV added to the plaintext.
	des2ECBAnswer = known{"34a41a8c293176c1b30732ecfe38ae8a", nil, "8883c8878b2091a8", "c91892948b6cadb4"}

	// des3CTRAnswer has the first block of plaintext as its counter, so that
	// its encryption is what is added to the message.
	des3CTRAnswer = known{sp80067Key, &DESCTRParams{64, [8]byte(unhex(des3ECBAnswer.in[:16]))},
		"0000000000000000", "a826fd8ce53b855f"}
)

// des3PadAnswer is the first block, with the IV that makes three bytes and their
// padding of it.
func des3PadAnswer(pad padding) known {
	b := unhex("a0a1a20000000000")
	pad.fill(b, 3)
	return known{sp80067Key, xorBytes(unhex(des3ECBAnswer.in[:16]), b), "a0a1a2", des3ECBAnswer.out[:16]}
}

// des3MACAnswer is two blocks, the second with the encryption of the first added
// so that what is encrypted last is the second block of the example.
func des3MACAnswer(p any, n int) known {
	second := xorBytes(unhex(des3ECBAnswer.in[16:32]), unhex(des3ECBAnswer.out[:16]))
	return known{sp80067Key, p, des3ECBAnswer.in[:16] + hex.EncodeToString(second), des3ECBAnswer.out[16 : 16+2*n]}
}

// des3CMACAnswers are examples of NIST SP 800-38B, appendices D.4 and D.5.
func des3CMACAnswers(p any, n int) []known {
	const three = "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5"
	return []known{
		{three, p, "", "b7a688e122ffaf95"[:2*n]},
		{three, p, sp80038aPlain[:40], "743ddbe0ce2dc2ed"[:2*n]},
		{three, p, sp80038aPlain[:64], "33e6b1092400eae5"[:2*n]},
		{"4cf15134a2850dd58a3d10ba80570d38", p, "", "bd2ebf9a3ba00361"[:2*n]},
	}
}
