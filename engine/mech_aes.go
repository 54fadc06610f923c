package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// AES (PKCS#11 v3.1 sections 6.10 to 6.16): the cipher in all modes.

// aesFamily is AES, in constant time by the processor's instructions for it.
var aesFamily = &blockCipher{
	keys: []ck.KeyType{ck.CKK_AES}, size: 16, new: aes.NewCipher, ownGCM: true,
	row: Mechanism{Min: 16, Max: 32, FIPS: true},
}

func init() {
	c := aesFamily
	registerBlockCipher(c,
		c.keyGen(ck.CKM_AES_KEY_GEN, ck.CKK_AES, known{
			key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			in:  "00112233445566778899aabbccddeeff", out: "8ea2b7ca516745bfeafc49904b496089",
		}),
		c.ecb(ck.CKM_AES_ECB, aesECBAnswer),
		c.cbc(ck.CKM_AES_CBC, aesCBCAnswer),
		c.cbcPad(ck.CKM_AES_CBC_PAD, aesPadAnswer),
		c.ctr(ck.CKM_AES_CTR, aesCTRAnswer),
		c.ecbEncryptData(ck.CKM_AES_ECB_ENCRYPT_DATA, known{
			aesECBAnswer.key, &StringDataParams{unhex(sp80038aPlain)}, "", aesECBAnswer.out,
		}),
		c.cbcEncryptData(ck.CKM_AES_CBC_ENCRYPT_DATA, (*AESCBCEncryptDataParams)(nil), known{
			aesCBCAnswer.key, &AESCBCEncryptDataParams{[16]byte(unhex(aesIV)), unhex(sp80038aPlain)}, "", aesCBCAnswer.out,
		}),
		c.cmac(ck.CKM_AES_CMAC, aesCMACAnswers(nil, 16)...),
		c.cmacGeneral(ck.CKM_AES_CMAC_GENERAL, aesCMACAnswers(uint64(8), 8)...),
		c.gcm(ck.CKM_AES_GCM, aesGCMAnswer(128), aesGCMAnswer(64)),
		c.gmac(ck.CKM_AES_GMAC, known{
			"1d4a92394c7356a6f528cfb3adb8f253",
			&GMACParams{GCMParams{IV: unhex("02194ece3bc50c51c52bdd83"), TagBits: 128}},
			"19b69d4178d49c20b4ee5846cb440c99", "3790b32d5cda9f8ef72b643d701077d3",
		}),
		c.ccm(ck.CKM_AES_CCM, aesCCMAnswers...),
		c.keyWrap(ck.CKM_AES_KEY_WRAP, aesKWAnswer),
		c.keyWrapPad(ck.CKM_AES_KEY_WRAP_KWP, aesKWPAnswers...),
		aesKeyWrapPad(),
		aesKeyWrapPKCS7(),
	)
}

// aesCipher is the parsed form of an AES key.
func aesCipher(k *Key) (cipher.Block, error) {
	block, _, err := aesFamily.block(k, nil)
	return block, err
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

// unhex decodes a constant.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// secretKey makes a key for self-tests.
func secretKey(t ck.KeyType, value []byte) *Key {
	return &Key{Class: ck.CKO_SECRET_KEY, Type: t, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value)}}
}

// errSelfTest is what a failed self-test returns.
func errSelfTest(t ck.MechanismType) error {
	return fmt.Errorf("self-test of %v: wrong answer: %w", t, ck.CKR_GENERAL_ERROR)
}

// runOp finishes op over src in one part.
func runOp(op Op, err error, src []byte) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	n, _ := op.FinishLen(len(src))
	dst := make([]byte, n)
	n, err = op.Finish(dst, src)
	return dst[:n], err
}
