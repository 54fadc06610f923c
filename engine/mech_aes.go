package engine

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// AES (PKCS#11 v3.1 sections 6.10 to 6.16): the cipher in all modes.

// aesFamily is AES, in constant time by the processor's instructions for it.
var aesFamily = &blockCipher{
	keys: []ck.KeyType{ck.CKK_AES}, size: 16, new: aes.NewCipher, isAES: true,
	row: Mechanism{Min: 16, Max: 32, FIPS: true},
}

// aesXTS is AES for keys of XTS, which are two.
var aesXTS = &blockCipher{
	keys: []ck.KeyType{ck.CKK_AES_XTS}, size: 16, new: aes.NewCipher, fresh: differentHalves,
	row: Mechanism{Min: 32, Max: 64, FIPS: true},
}

func init() { later(aesMechanisms) }

func aesMechanisms() {
	c := aesFamily
	registerBlockCipher(c,
		proven("NIST FIPS 197 C; NIST CAVP", c.keyGen(ck.CKM_AES_KEY_GEN, ck.CKK_AES, known{
			key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			in:  "00112233445566778899aabbccddeeff", out: "8ea2b7ca516745bfeafc49904b496089",
		})),
		proven("NIST SP 800-38A F.1; NIST CAVP", c.ecb(ck.CKM_AES_ECB, aesECBAnswer)),
		proven("NIST SP 800-38A F.2; NIST CAVP", c.cbc(ck.CKM_AES_CBC, aesCBCAnswer)),
		proven("Wycheproof", c.cbcPad(ck.CKM_AES_CBC_PAD, aesPadAnswer)),
		notApproved(proven("NIST SP 800-38A F.1, by the choice of the IV", c.cbcPadIPsec(ck.CKM_AES_CBC_PAD_IPSEC, aesIPsecAnswer))),
		proven("NIST SP 800-38A F.5", c.ctr(ck.CKM_AES_CTR, aesCTRAnswer)),
		alias(proven("NIST SP 800-38A F.4; NIST CAVP", c.ofb(ck.CKM_AES_OFB, 128, aesOFBAnswer)), ck.CKM_AES_OFB_OLD),
		proven("NIST SP 800-38A F.3; NIST CAVP", c.cfb1(ck.CKM_AES_CFB1, aesCFB1Answer)),
		alias(proven("NIST SP 800-38A F.3; NIST CAVP", c.cfb(ck.CKM_AES_CFB8, 8, aesCFB8Answer)), ck.CKM_AES_CFB8_OLD),
		proven("NIST CAVP for the block, by the choice of the IV", c.cfb(ck.CKM_AES_CFB64, 64, aesCFB64Answer)),
		alias(proven("NIST SP 800-38A F.3; NIST CAVP", c.cfb(ck.CKM_AES_CFB128, 128, aesCFB128Answer)), ck.CKM_AES_CFB128_OLD),
		proven("RFC 3962 B, in the order of CBC-CS1", c.cts(ck.CKM_AES_CTS, aesCTSAnswers...)),
		proven("NIST SP 800-38A F.1", c.ecbEncryptData(ck.CKM_AES_ECB_ENCRYPT_DATA, known{
			aesECBAnswer.key, &StringDataParams{unhex(sp80038aPlain)}, "", aesECBAnswer.out,
		})),
		proven("NIST SP 800-38A F.2", c.cbcEncryptData(ck.CKM_AES_CBC_ENCRYPT_DATA, (*AESCBCEncryptDataParams)(nil), known{
			aesCBCAnswer.key, &AESCBCEncryptDataParams{[16]byte(unhex(aesIV)), unhex(sp80038aPlain)}, "", aesCBCAnswer.out,
		})),
		proven("NIST SP 800-38A F.2; NIST CAVP for CBC", c.mac(ck.CKM_AES_MAC, aesMACAnswers(nil, 8)...)),
		proven("NIST SP 800-38A F.2; NIST CAVP for CBC", c.macGeneral(ck.CKM_AES_MAC_GENERAL, aesMACAnswers(uint64(16), 16)...)),
		notApproved(proven("RFC 3566", c.xcbc(ck.CKM_AES_XCBC_MAC, 16, aesXCBCAnswers(16)...))),
		notApproved(proven("RFC 3566", c.xcbc(ck.CKM_AES_XCBC_MAC_96, 12, aesXCBCAnswers(12)...))),
		proven("RFC 4493; NIST SP 800-38B; Wycheproof", c.cmac(ck.CKM_AES_CMAC, aesCMACAnswers(nil, 16)...)),
		proven("RFC 4493; NIST SP 800-38B; Wycheproof", c.cmacGeneral(ck.CKM_AES_CMAC_GENERAL, aesCMACAnswers(uint64(8), 8)...)),
		alias(proven("the paper that proposed it; NIST CAVP; Wycheproof",
			c.gcm(ck.CKM_AES_GCM, aesGCMAnswer(128), aesGCMAnswer(64))), ck.CKM_AES_GCM_OLD),
		alias(proven("Wycheproof", c.gmac(ck.CKM_AES_GMAC, known{
			"1d4a92394c7356a6f528cfb3adb8f253",
			&GMACParams{GCMParams{IV: unhex("02194ece3bc50c51c52bdd83"), TagBits: 128}},
			"19b69d4178d49c20b4ee5846cb440c99", "3790b32d5cda9f8ef72b643d701077d3",
		})), ck.CKM_AES_GMAC_OLD),
		proven("NIST SP 800-38C; NIST CAVP; Wycheproof", c.ccm(ck.CKM_AES_CCM, aesCCMAnswers...)),
		alias(proven("RFC 3394; NIST CAVP; Wycheproof", c.keyWrap(ck.CKM_AES_KEY_WRAP, aesKWAnswer)), ck.CKM_AES_KW),
		alias(proven("RFC 5649; Wycheproof", c.keyWrapPad(ck.CKM_AES_KEY_WRAP_KWP, aesKWPAnswers...)), ck.CKM_AES_KWP),
		proven("RFC 5649; Wycheproof", aesKeyWrapPad()),
		proven("RFC 3394, for the wrapping of padded data", aesKeyWrapPKCS7()),
		proven("IEEE 1619; NIST CAVP; Wycheproof", aesXTSOld()),
	)
	registerBlockCipher(aesXTS,
		proven("NIST FIPS 197 C", aesXTSKeyGen()),
		proven("IEEE 1619; NIST CAVP; Wycheproof", aesXTS.xts(ck.CKM_AES_XTS, aesXTSAnswers...)),
	)
}

// aesXTSKeyGen makes keys of two halves; they are two AES keys.
func aesXTSKeyGen() *Mechanism {
	return aesXTS.keyGen(ck.CKM_AES_XTS_KEY_GEN, ck.CKK_AES_XTS, known{
		key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + strings.Repeat("00", 32),
		in:  "00112233445566778899aabbccddeeff", out: "8ea2b7ca516745bfeafc49904b496089",
	})
}

// differentHalves is what NIST SP 800-38E wants of new keys.
func differentHalves(key []byte) bool {
	return ct.Reveal(ct.Equal(key[:len(key)/2], key[len(key)/2:])) != 1
}

// aesXTSOld is the form of XTS that devices had before the standard had one,
// with two keys.
func aesXTSOld() *Mechanism {
	m := aesFamily.xtsTwoKeys(ck.CKM_AES_XTS_OLD)
	m.SelfTest = func() error {
		for _, a := range aesXTSAnswers {
			key := unhex(a.key)
			one, two := secretKey(ck.CKK_AES, key[:len(key)/2]), secretKey(ck.CKK_AES, key[len(key)/2:])
			p := &WithKeys{&AESXTSParams{CB: [16]byte(a.p.([]byte))}, []*Key{two}}
			if err := testOp(m.Type, m.Encrypt, one, p, a.in, a.out); err != nil {
				return err
			}
			if err := testOp(m.Type, m.Decrypt, one, p, a.out, a.in); err != nil {
				return err
			}
		}
		return nil
	}
	return m
}

// aesKeyWrapPad is CKM_AES_KEY_WRAP_PAD. It is deprecated, because 2.40
// described it as what is CKM_AES_KEY_WRAP_PKCS7 now, while most tokens (and
// the users of the name) mean RFC 5649. This one writes RFC 5649 and reads both:
// the integrity check tells them apart.
func aesKeyWrapPad() *Mechanism {
	return aesFamily.keyWrapWith(ck.CKM_AES_KEY_WRAP_PAD, wrapOp{pad: kwp, either: true}, aesKWPAnswers)
}

func aesKeyWrapPKCS7() *Mechanism {
	m := aesFamily.keyWrapWith(ck.CKM_AES_KEY_WRAP_PKCS7, wrapOp{pad: pkcs7}, nil)
	m.FIPS, m.SelfTest = false, testKWPKCS7
	return m
}

// Known answers of NIST SP 800-38A, appendix F (AES-128), and for CBC with
// padding case 21 of Wycheproof's aes_cbc_pkcs5_test.json.

const (
	aesIV         = "000102030405060708090a0b0c0d0e0f"
	aesCTRCounter = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	sp80038aKey   = "2b7e151628aed2a6abf7158809cf4f3c"
	sp80038aPlain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)

var (
	aesECBAnswer = known{sp80038aKey, nil, sp80038aPlain,
		"3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf" +
			"43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4"}
	aesCBCAnswer = known{sp80038aKey, unhex(aesIV), sp80038aPlain,
		"7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" +
			"73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"}
	aesPadAnswer = known{"cbffc6c8c7f76f46349c32d666f4efb0", unhex("088e01c2c65b26e7ad6af7b92ea09d73"),
		"6df067add738195fd55ac2e76b476971b9a0e6d8",
		"e9199842355ea0c3dbf1b2a94fef1c802a95d024df9e407883cf5bf1f02c3cdc"}
	aesCTRAnswer = known{sp80038aKey, &CTRParams{CounterBits: 128, CB: [16]byte(unhex(aesCTRCounter))}, sp80038aPlain,
		"874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff" +
			"5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"}
)

// Known answers of NIST SP 800-38A, sections F.3 and F.4.
var (
	aesOFBAnswer = known{sp80038aKey, unhex(aesIV), sp80038aPlain,
		"3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825" +
			"9740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e"}
	aesCFB1Answer   = known{sp80038aKey, unhex(aesIV), "6bc1", "68b3"}
	aesCFB8Answer   = known{sp80038aKey, unhex(aesIV), sp80038aPlain[:36], "3b79424c9c0dd436bace9e0ed4586a4f32b9"}
	aesCFB128Answer = known{sp80038aKey, unhex(aesIV), sp80038aPlain,
		"3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b" +
			"26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6"}
)

// aesCFB64Answer: nobody seems to have published one. IV and ciphertext are
// chosen so that the blocks that get encrypted are those of NIST's CAVP file
// ECBVarTxt128 with 128, 65 and 1 leading ones, and the plaintext is the
// ciphertext with the halves of their encryptions added.
var aesCFB64Answer = known{
	"00000000000000000000000000000000", unhex("ffffffffffffffffffffffffffffffff"),
	"bf5b8cc9ea855a0a" + "41f992a856fb278b" + "3ad78e726c1ec02b",
	"8000000000000000" + "0000000000000000" + "0000000000000000",
}

// aesIPsecAnswer is a block of NIST SP 800-38A, section F.1, with the IV that
// makes eleven bytes and their padding of it.
var aesIPsecAnswer = known{
	sp80038aKey, xorBytes(unhex(sp80038aPlain[:32]), unhex("a0a1a2a3a4a5a6a7a8a9aa0102030405")),
	"a0a1a2a3a4a5a6a7a8a9aa", aesECBAnswer.out[:32],
}

// aesMACAnswers are CBC, whose last block is the MAC if the IV is zero: NIST SP
// 800-38A, section F.2, with its IV added to the first block, and NIST's CAVP
// file CBCVarTxt128, whose first plaintext is one byte and zeros.
func aesMACAnswers(p any, n int) []known {
	return []known{
		{sp80038aKey, p, hex.EncodeToString(xorBytes(unhex(sp80038aPlain[:32]), unhex(aesIV))) + sp80038aPlain[32:],
			"3ff1caa1681fac09120eca307586e1a7"[:2*n]},
		{"00000000000000000000000000000000", p, "80", "3ad78e726c1ec02b7ebfe92b23d9ec34"[:2*n]},
	}
}

// aesXCBCAnswers are test cases 1, 3 and 4 of RFC 3566, section 4.
func aesXCBCAnswers(n int) []known {
	const key, message = "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f10111213"
	return []known{
		{key, nil, "", "75f0251d528ac01c4573dfd584d79f29"[:2*n]},
		{key, nil, message[:32], "d2a246fa349b68a79998a4394ff7a263"[:2*n]},
		{key, nil, message, "47f51b4564966215b8985c63055ed308"[:2*n]},
	}
}

// aesCTSAnswers are the first three of RFC 3962, appendix B, which has CBC-CS3:
// the last whole block has changed places with what is left of the one before.
var aesCTSAnswers = []known{
	{"636869636b656e207465726979616b69", make([]byte, 16), "4920776f756c64206c696b652074686520",
		"97" + "c6353568f2bf8cb4d8a580362da7ff7f"},
	{"636869636b656e207465726979616b69", make([]byte, 16), "4920776f756c64206c696b65207468652047656e6572616c20476175277320",
		"97687268d6ecccc0c07b25e25ecfe5" + "fc00783e0efdb2c1d445d4c8eff7ed22"},
	{"636869636b656e207465726979616b69", make([]byte, 16), "4920776f756c64206c696b65207468652047656e6572616c2047617527732043",
		"97687268d6ecccc0c07b25e25ecfe584" + "39312523a78662d5be7fcbcc98ebf5a8"},
}

// aesXTSAnswers are vectors 2 and 15 of IEEE 1619, annex B.
var aesXTSAnswers = []known{
	{strings.Repeat("11", 16) + strings.Repeat("22", 16), unhex("33333333330000000000000000000000"),
		strings.Repeat("44", 32), "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"},
	{"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0", unhex("9a785634120000000000000000000000"),
		"000102030405060708090a0b0c0d0e0f10", "6c1625db4671522d3d7599601de7ca09ed"},
}

// aesCMACAnswers are examples 1 and 3 of RFC 4493, section 4, cut to n bytes.
func aesCMACAnswers(p any, n int) []known {
	return []known{
		{sp80038aKey, p, "", "bb1d6929e95937287fa37d129b756746"[:2*n]},
		{sp80038aKey, p, sp80038aPlain[:80], "dfa66747de9ae63030ca32611497c827"[:2*n]},
	}
}

// aesGCMAnswer is test case 4 of the paper that proposed GCM (McGrew and Viega,
// "The Galois/Counter Mode of Operation", appendix B), with the tag cut to a
// number of bits. Full tags go through the standard library, short ones do not.
func aesGCMAnswer(tagBits uint64) known {
	return known{
		"feffe9928665731c6d6a8f9467308308",
		&GCMParams{
			IV:      unhex("cafebabefacedbaddecaf888"),
			AAD:     unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
			TagBits: tagBits,
		},
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
			"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" +
			"5bc94fbc3221a5db94fae95ae7121a47"[:tagBits/4],
	}
}

// aesCCMAnswers are examples 1 to 3 of NIST SP 800-38C, appendix C.
var aesCCMAnswers = []known{
	{"404142434445464748494a4b4c4d4e4f",
		&CCMParams{4, unhex("10111213141516"), unhex("0001020304050607"), 4},
		"20212223", "7162015b4dac255d"},
	{"404142434445464748494a4b4c4d4e4f",
		&CCMParams{16, unhex("1011121314151617"), unhex("000102030405060708090a0b0c0d0e0f"), 6},
		"202122232425262728292a2b2c2d2e2f", "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd"},
	{"404142434445464748494a4b4c4d4e4f",
		&CCMParams{24, unhex("101112131415161718191a1b"), unhex("000102030405060708090a0b0c0d0e0f10111213"), 8},
		"202122232425262728292a2b2c2d2e2f3031323334353637",
		"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951"},
}

// aesKWAnswer is RFC 3394, section 4.6.
var aesKWAnswer = known{
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", nil,
	"00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
	"28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
}

// aesKWPAnswers are both examples of RFC 5649, section 6.
var aesKWPAnswers = []known{
	{"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", nil,
		"c37b7e6492584340bed12207808941155068f738",
		"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
	{"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", nil,
		"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
}

// testKWPKCS7 checks that what comes out is the key wrap (which has a published
// answer) of the data and its padding: nobody seems to have published an answer
// for the two together.
func testKWPKCS7() error {
	k := secretKey(ck.CKK_AES, unhex("000102030405060708090a0b0c0d0e0f"))
	m := Find(ck.CKM_AES_KEY_WRAP_PKCS7)
	data := unhex("00112233445566778899aabbcc")
	op, err := m.Encrypt(k, nil)
	out, err := runOp(op, err, data)
	if err != nil {
		return err
	}
	op, err = Find(ck.CKM_AES_KEY_WRAP).Decrypt(k, nil)
	plain, err := runOp(op, err, out)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, append(data, 3, 3, 3)) {
		return errSelfTest(ck.CKM_AES_KEY_WRAP_PKCS7)
	}
	op, err = m.Decrypt(k, nil)
	plain, err = runOp(op, err, out)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, data) {
		return errSelfTest(ck.CKM_AES_KEY_WRAP_PKCS7)
	}
	return nil
}
