package wycheproof

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// cipher checks a cipher both ways, in one part and in several.
func cipher(a *c11.Arena, v *vector, kind ck.KeyType, mech c11.Mech) error {
	return withSecret(kind, v.Key, func(key uint64) error {
		plain, rv := mod.Single(a, mod.Decryption(), session, mech, key, join(v.Ct, v.Tag))
		if rv == ck.CKR_OK && !bytes.Equal(plain, v.Msg) {
			return different("plaintext", plain, v.Msg)
		}
		again, rv2 := mod.Parts(a, mod.Decryption(), session, mech, key, join(v.Ct, v.Tag), 7)
		if (rv2 == ck.CKR_OK) != (rv == ck.CKR_OK) || !bytes.Equal(again, plain) {
			return fmt.Errorf("in parts the answer is %v %x, in one %v %x", rv2, again, rv, plain)
		}
		if rv != ck.CKR_OK {
			return rv
		}
		sealed, rv := mod.Single(a, mod.Encryption(), session, mech, key, v.Msg)
		if rv != ck.CKR_OK {
			return rv
		}
		if want := join(v.Ct, v.Tag); !bytes.Equal(sealed, want) {
			return different("ciphertext", sealed, want)
		}
		if again, rv := mod.Parts(a, mod.Encryption(), session, mech, key, v.Msg, 7); rv != ck.CKR_OK || !bytes.Equal(again, sealed) {
			return fmt.Errorf("in parts the ciphertext is %v %x, in one %x", rv, again, sealed)
		}
		return nil
	})
}

func gcm(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, g *group, v *vector) error {
		param := c11.Words(a.Ptr(v.Iv), uint64(len(v.Iv)), uint64(8*len(v.Iv)), a.Ptr(v.Aad), uint64(len(v.Aad)), uint64(g.TagSize))
		return cipher(a, v, kind, c11.Mech{Type: mech, Param: param})
	}
}

func ccm(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, g *group, v *vector) error {
		param := c11.Words(uint64(len(v.Ct)), a.Ptr(v.Iv), uint64(len(v.Iv)), a.Ptr(v.Aad), uint64(len(v.Aad)), uint64(g.TagSize/8))
		return cipher(a, v, kind, c11.Mech{Type: mech, Param: param})
	}
}

func chachaPoly(mech ck.MechanismType) check {
	return func(a *c11.Arena, _ *group, v *vector) error {
		param := c11.Words(a.Ptr(v.Iv), uint64(len(v.Iv)), a.Ptr(v.Aad), uint64(len(v.Aad)))
		return cipher(a, v, ck.CKK_CHACHA20, c11.Mech{Type: mech, Param: param})
	}
}

func cbcPad(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, _ *group, v *vector) error {
		return cipher(a, v, kind, c11.Mech{Type: mech, Param: v.Iv})
	}
}

// xts passes the number of the data unit, of which the vectors may tell the
// beginning only.
func xts(a *c11.Arena, _ *group, v *vector) error {
	if len(v.Key) == 48 {
		return inexpressible("XTS-AES has keys of 128 and 256 bits (IEEE 1619)")
	}
	return cipher(a, v, ck.CKK_AES_XTS, c11.Mech{Type: ck.CKM_AES_XTS, Param: append(bytes.Clone(v.Iv), make([]byte, 16-len(v.Iv))...)})
}

// keyWrap wraps and unwraps a generic secret.
func keyWrap(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, _ *group, v *vector) error {
		return withSecret(kind, v.Key, func(key uint64) error {
			m := c11.Mech{Type: mech}
			t := append(bools(true, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false),
				ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET))
			o, rv := mod.Unwrap(a, session, m, key, v.Ct, t...)
			if rv != ck.CKR_OK {
				if v.Result == "valid" && len(v.Msg) == 0 {
					return inexpressible("there is no key of length 0")
				}
				return rv
			}
			defer mod.Destroy(session, o)
			if got, rv := mod.Get(session, o, ck.CKA_VALUE); rv != ck.CKR_OK || !bytes.Equal(got, v.Msg) {
				return different("unwrapped key", got, v.Msg)
			}
			wrapped, rv := mod.Wrap(a, session, m, key, o)
			if rv != ck.CKR_OK {
				return rv
			}
			if !bytes.Equal(wrapped, v.Ct) {
				return different("wrapped key", wrapped, v.Ct)
			}
			return nil
		})
	}
}

// macCase makes and verifies a MAC, in one part and in several.
func macCase(a *c11.Arena, v *vector, kind ck.KeyType, mech ck.MechanismType, param []byte) error {
	if len(v.Key) == 0 {
		return inexpressible("there is no key of length 0")
	}
	return withSecret(kind, v.Key, func(key uint64) error {
		m := c11.Mech{Type: mech, Param: param}
		rv := mod.Verify(a, session, m, key, v.Msg, v.Tag)
		if rv2 := mod.VerifyParts(a, session, m, key, v.Msg, v.Tag, 5); (rv2 == ck.CKR_OK) != (rv == ck.CKR_OK) {
			return fmt.Errorf("in parts the answer is %v, in one %v", rv2, rv)
		}
		if rv != ck.CKR_OK {
			return rv
		}
		tag, rv := mod.Single(a, mod.Signing(), session, m, key, v.Msg)
		if rv != ck.CKR_OK {
			return rv
		}
		if !bytes.Equal(tag, v.Tag) {
			return different("tag", tag, v.Tag)
		}
		if again, rv := mod.SignParts(a, session, m, key, v.Msg, 5); rv != ck.CKR_OK || !bytes.Equal(again, tag) {
			return fmt.Errorf("in parts the tag is %v %x, in one %x", rv, again, tag)
		}
		return nil
	})
}

func cmac(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, g *group, v *vector) error {
		return macCase(a, v, kind, mech, c11.Words(uint64(g.TagSize/8)))
	}
}

// wholeMAC is for mechanisms without a form that cuts the tag.
func wholeMAC(kind ck.KeyType, mech ck.MechanismType) check {
	return func(a *c11.Arena, g *group, v *vector) error {
		if g.TagSize != 128 {
			return inexpressible("the mechanism has tags of 128 bits only")
		}
		return macCase(a, v, kind, mech, nil)
	}
}

func gmac(a *c11.Arena, g *group, v *vector) error {
	if g.TagSize != 128 {
		return inexpressible("CKM_AES_GMAC has tags of 128 bits only")
	}
	return macCase(a, v, ck.CKK_AES, ck.CKM_AES_GMAC, v.Iv)
}

// hashes names the hashes of the vectors: digest, general HMAC, RSA PKCS#1 and
// PSS, ECDSA, MGF and PBKDF2's PRF.
var hashes = map[string]struct {
	digest, hmac, pkcs1, pss, ecdsa ck.MechanismType
	mgf                             ck.MGF
	prf                             ck.PRF
}{
	"SHA-1":       {ck.CKM_SHA_1, ck.CKM_SHA_1_HMAC_GENERAL, ck.CKM_SHA1_RSA_PKCS, ck.CKM_SHA1_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA1, ck.CKG_MGF1_SHA1, ck.CKP_PKCS5_PBKD2_HMAC_SHA1},
	"SHA-224":     {ck.CKM_SHA224, ck.CKM_SHA224_HMAC_GENERAL, ck.CKM_SHA224_RSA_PKCS, ck.CKM_SHA224_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA224, ck.CKG_MGF1_SHA224, ck.CKP_PKCS5_PBKD2_HMAC_SHA224},
	"SHA-256":     {ck.CKM_SHA256, ck.CKM_SHA256_HMAC_GENERAL, ck.CKM_SHA256_RSA_PKCS, ck.CKM_SHA256_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA256, ck.CKG_MGF1_SHA256, ck.CKP_PKCS5_PBKD2_HMAC_SHA256},
	"SHA-384":     {ck.CKM_SHA384, ck.CKM_SHA384_HMAC_GENERAL, ck.CKM_SHA384_RSA_PKCS, ck.CKM_SHA384_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA384, ck.CKG_MGF1_SHA384, ck.CKP_PKCS5_PBKD2_HMAC_SHA384},
	"SHA-512":     {ck.CKM_SHA512, ck.CKM_SHA512_HMAC_GENERAL, ck.CKM_SHA512_RSA_PKCS, ck.CKM_SHA512_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA512, ck.CKG_MGF1_SHA512, ck.CKP_PKCS5_PBKD2_HMAC_SHA512},
	"SHA-512/224": {digest: ck.CKM_SHA512_224, hmac: ck.CKM_SHA512_224_HMAC_GENERAL},
	"SHA-512/256": {digest: ck.CKM_SHA512_256, hmac: ck.CKM_SHA512_256_HMAC_GENERAL},
	"SM3":         {digest: ck.CKM_SM3, hmac: ck.CKM_SM3_HMAC_GENERAL},
	"SHA3-224":    {ck.CKM_SHA3_224, ck.CKM_SHA3_224_HMAC_GENERAL, ck.CKM_SHA3_224_RSA_PKCS, ck.CKM_SHA3_224_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_224, ck.CKG_MGF1_SHA3_224, 0},
	"SHA3-256":    {ck.CKM_SHA3_256, ck.CKM_SHA3_256_HMAC_GENERAL, ck.CKM_SHA3_256_RSA_PKCS, ck.CKM_SHA3_256_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_256, ck.CKG_MGF1_SHA3_256, 0},
	"SHA3-384":    {ck.CKM_SHA3_384, ck.CKM_SHA3_384_HMAC_GENERAL, ck.CKM_SHA3_384_RSA_PKCS, ck.CKM_SHA3_384_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_384, ck.CKG_MGF1_SHA3_384, 0},
	"SHA3-512":    {ck.CKM_SHA3_512, ck.CKM_SHA3_512_HMAC_GENERAL, ck.CKM_SHA3_512_RSA_PKCS, ck.CKM_SHA3_512_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_512, ck.CKG_MGF1_SHA3_512, 0},
}

const noHash = inexpressible("PKCS#11 has no mechanism for this hash here")

// hashOf finds the hash in the name of a file, such as hmac_sha512_224.
func hashOf(name string) string {
	name = strings.TrimPrefix(name[strings.Index(name, "_")+1:], "hmac")
	switch {
	case name == "sm3":
		return "SM3"
	case strings.HasPrefix(name, "sha3_"):
		return "SHA3-" + name[5:]
	}
	return "SHA-" + strings.ReplaceAll(strings.TrimPrefix(name, "sha"), "_", "/")
}

func hmac(name string) check {
	mech := hashes[hashOf(name)].hmac
	return func(a *c11.Arena, g *group, v *vector) error {
		return macCase(a, v, ck.CKK_GENERIC_SECRET, mech, c11.Words(uint64(g.TagSize/8)))
	}
}

func kmac(name string) check {
	mech := ck.MechanismType(ck.CKM_KMAC_128)
	if strings.HasPrefix(name, "kmac256") {
		mech = ck.CKM_KMAC_256
	}
	return func(a *c11.Arena, g *group, v *vector) error {
		return macCase(a, v, ck.CKK_GENERIC_SECRET, mech, c11.Words(0, 0, uint64(g.TagSize/8)))
	}
}

func hkdf(name string) check {
	hash := hashes[hashOf(name)].digest
	return func(a *c11.Arena, _ *group, v *vector) error {
		if len(v.Ikm) == 0 {
			return inexpressible("there is no key of length 0")
		}
		return withSecret(ck.CKK_HKDF, v.Ikm, func(key uint64) error {
			salt := uint64(ck.CKF_HKDF_SALT_NULL)
			if len(v.Salt) > 0 {
				salt = ck.CKF_HKDF_SALT_DATA
			}
			// CK_BBOOL bExtract and bExpand share the first word.
			param := c11.Words(0x0101, uint64(hash), salt, a.Ptr(v.Salt), uint64(len(v.Salt)), 0, a.Ptr(v.Info), uint64(len(v.Info)))
			return derived(a, c11.Mech{Type: ck.CKM_HKDF_DERIVE, Param: param}, key, v.Size, v.Okm)
		})
	}
}

// fromPassword makes a key from the password of a vector.
func fromPassword(a *c11.Arena, v *vector, prf ck.PRF, template ...ck.Attribute) (uint64, ck.RV) {
	param := c11.Words(uint64(ck.CKZ_SALT_SPECIFIED), a.Ptr(v.Salt), uint64(len(v.Salt)), v.IterationCount, uint64(prf), 0, 0, a.Ptr(v.Password), uint64(len(v.Password)))
	return mod.Generate(a, session, c11.Mech{Type: ck.CKM_PKCS5_PBKD2, Param: param}, template...)
}

func pbkdf2(name string) check {
	prf := hashes[hashOf(name)].prf
	return func(a *c11.Arena, _ *group, v *vector) error {
		o, rv := fromPassword(a, v, prf, readable(v.DkLen)...)
		return compare(o, rv, v.Dk)
	}
}

// pbes2 is PBKDF2, and AES-CBC with its key.
func pbes2(name string) check {
	part := strings.Split(name, "_") // pbes2_hmacsha224_aes_128
	prf := hashes[hashOf(part[0]+"_"+part[1])].prf
	bytesOfKey := map[string]uint64{"128": 16, "192": 24, "256": 32}[part[3]]
	return func(a *c11.Arena, _ *group, v *vector) error {
		key, rv := fromPassword(a, v, prf, append(bools(true, ck.CKA_ENCRYPT, ck.CKA_DECRYPT),
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, bytesOfKey))...)
		if rv != ck.CKR_OK {
			return rv
		}
		defer mod.Destroy(session, key)
		return both(a, c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: v.Iv}, key, v)
	}
}

// both decrypts and encrypts.
func both(a *c11.Arena, mech c11.Mech, key uint64, v *vector) error {
	plain, rv := mod.Single(a, mod.Decryption(), session, mech, key, v.Ct)
	if rv != ck.CKR_OK {
		return rv
	}
	if !bytes.Equal(plain, v.Msg) {
		return different("plaintext", plain, v.Msg)
	}
	sealed, rv := mod.Single(a, mod.Encryption(), session, mech, key, v.Msg)
	if rv != ck.CKR_OK {
		return rv
	}
	if !bytes.Equal(sealed, v.Ct) {
		return different("ciphertext", sealed, v.Ct)
	}
	return nil
}

// readable is a template for a generic secret whose value can be read.
func readable(n uint64) []ck.Attribute {
	return []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET),
		ck.NewULong(ck.CKA_VALUE_LEN, n), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true),
	}
}

func derived(a *c11.Arena, mech c11.Mech, base, n uint64, want []byte) error {
	o, rv := mod.Derive(a, session, mech, base, readable(n)...)
	return compare(o, rv, want)
}

func compare(o uint64, rv ck.RV, want []byte) error {
	if rv != ck.CKR_OK {
		return rv
	}
	defer mod.Destroy(session, o)
	got, rv := mod.Get(session, o, ck.CKA_VALUE)
	if rv != ck.CKR_OK {
		return fmt.Errorf("reading the derived value: %v", rv)
	}
	if !bytes.Equal(got, want) {
		return different("derived value", got, want)
	}
	return nil
}
