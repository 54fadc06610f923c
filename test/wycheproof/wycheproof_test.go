// Package wycheproof runs the Wycheproof test vectors through the C API: every
// file for a mechanism that the module has, every case that the API can
// express. Cases that it cannot are counted and the reason printed.
package wycheproof

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

var (
	mod     *c11.Module
	session uint64
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wycheproof")
	if err == nil {
		os.Setenv("PERILUNE_HOME", dir)
		err = openModule()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	mod.Finalize()
	os.RemoveAll(dir)
	os.Exit(code)
}

func openModule() (err error) {
	path := os.Getenv("PERILUNE_MODULE")
	if path == "" {
		path = "../../build/libperilune.so"
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if mod, err = c11.Open(path); err != nil {
		return fmt.Errorf("%w (run make build)", err)
	}
	if rv := mod.Initialize(); rv != ck.CKR_OK {
		return fmt.Errorf("C_Initialize: %w", rv)
	}
	session, err = mod.Token("so pin 1", "user pin")
	return err
}

// hexBytes is a byte string that JSON holds in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	if len(text)%2 == 1 { // big integers come without their leading zero
		text = append([]byte("0"), text...)
	}
	*b, err = hex.DecodeString(string(text))
	return err
}

// file is a file of vectors: the union of what the schemas used here hold.
type file struct {
	Algorithm     string
	NumberOfTests int
	TestGroups    []*group
}

type group struct {
	Type                     string
	KeySize, IvSize, TagSize int
	Sha, Mgf, MgfSha         string
	SLen                     uint64
	Curve                    string
	PublicKey                json.RawMessage
	PrivateKey               rsaPrivate
	Tests                    []*vector
}

type rsaPublic struct{ Modulus, PublicExponent hexBytes }

type ecPublic struct {
	Curve        string
	Uncompressed hexBytes
	Pk           hexBytes
}

type rsaPrivate struct {
	Modulus, PublicExponent, PrivateExponent          hexBytes
	Prime1, Prime2, Exponent1, Exponent2, Coefficient hexBytes
	OtherPrimeInfos                                   []any
}

type vector struct {
	TcID                                               int
	Comment                                            string
	Flags                                              []string
	Result                                             string
	Key, Iv, Aad, Msg, Ct, Tag, Sig, Label             hexBytes
	Ikm, Salt, Info, Okm, Password, Dk, Public, Shared hexBytes
	Private                                            hexBytes
	Size, IterationCount, DkLen                        uint64
}

func load(t *testing.T, name string) *file {
	t.Helper()
	dir, err := vectors()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, name+"_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := new(file)
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	n := 0
	for _, g := range f.TestGroups {
		n += len(g.Tests)
	}
	if n == 0 || n != f.NumberOfTests {
		t.Fatalf("%s: read %d cases of %d", name, n, f.NumberOfTests)
	}
	return f
}

// inexpressible is the answer of a case that the C API has no way to ask.
type inexpressible string

func (e inexpressible) Error() string { return string(e) }

// run puts every case of a file to check, which returns nil if the module did
// what a valid case asks for, CKR errors where it refused, and other errors
// where it did something wrong.
func run(t *testing.T, name string, check func(a *c11.Arena, g *group, v *vector) error) {
	t.Run(name, func(t *testing.T) {
		f := load(t, name)
		right, left := 0, map[string]int{}
		for _, g := range f.TestGroups {
			for _, v := range g.Tests {
				var a c11.Arena
				err := check(&a, g, v)
				a.Free()
				if why, ok := err.(inexpressible); ok {
					left[string(why)]++
					continue
				}
				_, refused := err.(ck.RV)
				switch {
				case err != nil && !refused:
					t.Errorf("case %d (%s, %v): %v", v.TcID, v.Comment, v.Flags, err)
				case v.Result == "valid" && refused:
					t.Errorf("case %d (%s, %v): valid, but refused with %v", v.TcID, v.Comment, v.Flags, err)
				case v.Result == "invalid" && !refused:
					t.Errorf("case %d (%s, %v): invalid, but accepted", v.TcID, v.Comment, v.Flags)
				default:
					right++
				}
			}
		}
		if right == 0 && len(left) == 0 {
			t.Error("no case was run")
		}
		for why, n := range left {
			t.Logf("%d cases cannot be asked: %s", n, why)
		}
		t.Logf("%d of %d cases right", right, f.NumberOfTests)
	})
}

func different(what string, got, want []byte) error {
	return fmt.Errorf("%s is %x, want %x", what, got, want)
}

func bools(value bool, types ...ck.AttributeType) (list []ck.Attribute) {
	for _, t := range types {
		list = append(list, ck.NewBool(t, value))
	}
	return list
}

// secret makes a session key that can do everything.
func secret(kind ck.KeyType, value []byte) (uint64, ck.RV) {
	t := append(bools(true, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE),
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_VALUE, value), ck.NewBool(ck.CKA_SENSITIVE, false))
	return mod.Create(session, t...)
}

// withSecret makes a key and runs fn with it.
func withSecret(kind ck.KeyType, value []byte, fn func(key uint64) error) error {
	key, rv := secret(kind, value)
	if rv != ck.CKR_OK {
		return rv
	}
	defer mod.Destroy(session, key)
	return fn(key)
}

func join(b ...[]byte) []byte { return bytes.Join(b, nil) }

// aead checks an AEAD both ways, in one part and in several.
func aead(a *c11.Arena, v *vector, mech c11.Mech, parts bool) error {
	return withSecret(ck.CKK_AES, v.Key, func(key uint64) error {
		plain, rv := mod.Single(a, mod.Decryption(), session, mech, key, join(v.Ct, v.Tag))
		if rv == ck.CKR_OK && !bytes.Equal(plain, v.Msg) {
			return different("plaintext", plain, v.Msg)
		}
		if parts {
			again, rv2 := mod.Parts(a, mod.Decryption(), session, mech, key, join(v.Ct, v.Tag), 7)
			if (rv2 == ck.CKR_OK) != (rv == ck.CKR_OK) || !bytes.Equal(again, plain) {
				return fmt.Errorf("in parts the answer is %v %x, in one %v %x", rv2, again, rv, plain)
			}
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
		if parts {
			if again, rv := mod.Parts(a, mod.Encryption(), session, mech, key, v.Msg, 7); rv != ck.CKR_OK || !bytes.Equal(again, sealed) {
				return fmt.Errorf("in parts the ciphertext is %v %x, in one %x", rv, again, sealed)
			}
		}
		return nil
	})
}

func TestAES(t *testing.T) {
	run(t, "aes_gcm", func(a *c11.Arena, g *group, v *vector) error {
		param := c11.Words(a.Ptr(v.Iv), uint64(len(v.Iv)), uint64(8*len(v.Iv)), a.Ptr(v.Aad), uint64(len(v.Aad)), uint64(g.TagSize))
		return aead(a, v, c11.Mech{Type: ck.CKM_AES_GCM, Param: param}, true)
	})
	run(t, "aes_ccm", func(a *c11.Arena, g *group, v *vector) error {
		param := c11.Words(uint64(len(v.Ct)), a.Ptr(v.Iv), uint64(len(v.Iv)), a.Ptr(v.Aad), uint64(len(v.Aad)), uint64(g.TagSize/8))
		return aead(a, v, c11.Mech{Type: ck.CKM_AES_CCM, Param: param}, true)
	})
	run(t, "aes_cbc_pkcs5", func(a *c11.Arena, g *group, v *vector) error {
		v.Tag = nil
		return aead(a, v, c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: v.Iv}, true)
	})
	run(t, "aes_cmac", func(a *c11.Arena, g *group, v *vector) error {
		return macCase(a, v, ck.CKK_AES, ck.CKM_AES_CMAC_GENERAL, c11.Words(uint64(g.TagSize/8)))
	})
	run(t, "aes_gmac", func(a *c11.Arena, g *group, v *vector) error {
		if g.TagSize != 128 {
			return inexpressible("CKM_AES_GMAC has tags of 128 bits only")
		}
		return macCase(a, v, ck.CKK_AES, ck.CKM_AES_GMAC, v.Iv)
	})
	run(t, "aes_wrap", keyWrap(ck.CKM_AES_KEY_WRAP))
	run(t, "aes_kwp", keyWrap(ck.CKM_AES_KEY_WRAP_KWP))
}

// keyWrap wraps and unwraps a generic secret.
func keyWrap(mech ck.MechanismType) func(*c11.Arena, *group, *vector) error {
	return func(a *c11.Arena, _ *group, v *vector) error {
		return withSecret(ck.CKK_AES, v.Key, func(key uint64) error {
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

func TestHMAC(t *testing.T) {
	for name, sha := range map[string]string{
		"sha1": "SHA-1", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512",
		"sha512_224": "SHA-512/224", "sha512_256": "SHA-512/256", "sm3": "SM3",
		"sha3_224": "SHA3-224", "sha3_256": "SHA3-256", "sha3_384": "SHA3-384", "sha3_512": "SHA3-512",
	} {
		run(t, "hmac_"+name, func(a *c11.Arena, g *group, v *vector) error {
			return macCase(a, v, ck.CKK_GENERIC_SECRET, hashes[sha].hmac, c11.Words(uint64(g.TagSize/8)))
		})
	}
}

func TestKMAC(t *testing.T) {
	for name, m := range map[string]ck.MechanismType{"kmac128": ck.CKM_KMAC_128, "kmac256": ck.CKM_KMAC_256} {
		run(t, name+"_no_customization", func(a *c11.Arena, g *group, v *vector) error {
			return macCase(a, v, ck.CKK_GENERIC_SECRET, m, c11.Words(0, 0, uint64(g.TagSize/8)))
		})
	}
}

func TestDerivation(t *testing.T) {
	for name, sha := range map[string]string{"sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"} {
		run(t, "hkdf_"+name, func(a *c11.Arena, _ *group, v *vector) error {
			if len(v.Ikm) == 0 {
				return inexpressible("there is no key of length 0")
			}
			return withSecret(ck.CKK_HKDF, v.Ikm, func(key uint64) error {
				salt := uint64(ck.CKF_HKDF_SALT_NULL)
				if len(v.Salt) > 0 {
					salt = ck.CKF_HKDF_SALT_DATA
				}
				// CK_BBOOL bExtract and bExpand share the first word.
				param := c11.Words(0x0101, uint64(hashes[sha].digest), salt, a.Ptr(v.Salt), uint64(len(v.Salt)), 0, a.Ptr(v.Info), uint64(len(v.Info)))
				return derived(a, c11.Mech{Type: ck.CKM_HKDF_DERIVE, Param: param}, key, v.Size, v.Okm)
			})
		})
	}
	for name, sha := range map[string]string{"sha1": "SHA-1", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"} {
		run(t, "pbkdf2_hmac"+name, func(a *c11.Arena, _ *group, v *vector) error {
			param := c11.Words(uint64(ck.CKZ_SALT_SPECIFIED), a.Ptr(v.Salt), uint64(len(v.Salt)), v.IterationCount, uint64(hashes[sha].prf), 0, 0, a.Ptr(v.Password), uint64(len(v.Password)))
			o, rv := mod.Generate(a, session, c11.Mech{Type: ck.CKM_PKCS5_PBKD2, Param: param}, readable(v.DkLen)...)
			return compare(o, rv, v.Dk)
		})
	}
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
