package wycheproof

import (
	"regexp"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// row says what is done with the files of some names.
type row struct {
	files string // a regular expression for the whole name
	// every thins out a file whose cases take long: one in so many of each
	// kind is run, and all with PERILUNE_SOAK=1.
	every int
	check func(name string) check
	// why, in place of check, says why the files cannot be run.
	why string
}

const (
	noMechanism = "no mechanism of PKCS#11, nor of any device known here"
	noJOSE      = "tests a parser of JSON Web Keys and the like; what it computes, other files test"
)

// rows lists all files of the module of vectors.
var rows = []row{
	// Secret keys
	{files: "aes_gcm", check: with(gcm(ck.CKK_AES, ck.CKM_AES_GCM))},
	{files: "aria_gcm", check: with(gcm(ck.CKK_ARIA, ck.CKM_ARIA_GCM))},
	{files: "seed_gcm", check: with(gcm(ck.CKK_SEED, ck.CKM_SEED_GCM))},
	{files: "sm4_gcm", check: with(gcm(ck.CKK_SM4, ck.CKM_SM4_GCM))},
	{files: "aes_ccm", check: with(ccm(ck.CKK_AES, ck.CKM_AES_CCM))},
	{files: "aria_ccm", check: with(ccm(ck.CKK_ARIA, ck.CKM_ARIA_CCM))},
	{files: "camellia_ccm", check: with(ccm(ck.CKK_CAMELLIA, ck.CKM_CAMELLIA_CCM))},
	{files: "seed_ccm", check: with(ccm(ck.CKK_SEED, ck.CKM_SEED_CCM))},
	{files: "sm4_ccm", check: with(ccm(ck.CKK_SM4, ck.CKM_SM4_CCM))},
	{files: "chacha20_poly1305", check: with(chachaPoly(ck.CKM_CHACHA20_POLY1305))},
	{files: "xchacha20_poly1305", check: with(chachaPoly(ck.CKM_XCHACHA20_POLY1305))},
	{files: "aes_cbc_pkcs5", check: with(cbcPad(ck.CKK_AES, ck.CKM_AES_CBC_PAD))},
	{files: "aria_cbc_pkcs5", check: with(cbcPad(ck.CKK_ARIA, ck.CKM_ARIA_CBC_PAD))},
	{files: "camellia_cbc_pkcs5", check: with(cbcPad(ck.CKK_CAMELLIA, ck.CKM_CAMELLIA_CBC_PAD))},
	{files: "aes_xts", check: with(xts)},
	{files: "aes_cmac", check: with(cmac(ck.CKK_AES, ck.CKM_AES_CMAC_GENERAL))},
	{files: "aria_cmac", check: with(cmac(ck.CKK_ARIA, ck.CKM_ARIA_CMAC_GENERAL))},
	{files: "camellia_cmac", check: with(wholeMAC(ck.CKK_CAMELLIA, ck.CKM_CAMELLIA_CMAC))},
	{files: "aes_gmac", check: with(gmac)},
	{files: "aes_wrap", check: with(keyWrap(ck.CKK_AES, ck.CKM_AES_KEY_WRAP))},
	{files: "aria_wrap", check: with(keyWrap(ck.CKK_ARIA, ck.CKM_ARIA_KEY_WRAP))},
	{files: "camellia_wrap", check: with(keyWrap(ck.CKK_CAMELLIA, ck.CKM_CAMELLIA_KEY_WRAP))},
	{files: "seed_wrap", check: with(keyWrap(ck.CKK_SEED, ck.CKM_SEED_KEY_WRAP))},
	{files: "aes_kwp", check: with(keyWrap(ck.CKK_AES, ck.CKM_AES_KEY_WRAP_KWP))},
	{files: "aria_kwp", check: with(keyWrap(ck.CKK_ARIA, ck.CKM_ARIA_KEY_WRAP_PAD))},
	{files: "hmac_.*", check: hmac},
	{files: "kmac(128|256)_no_customization", check: kmac},

	// Derivation
	{files: "hkdf_.*", check: hkdf},
	{files: "pbkdf2_.*", every: 8, check: pbkdf2},
	{files: "pbes2_.*", every: 4, check: pbes2},

	// RSA
	{files: "rsa_signature_8192_.*", every: 3, check: rsaVerify},
	{files: "rsa_signature_.*", check: rsaVerify},
	{files: "rsa_pkcs1_[0-9]+_sig_gen", every: 2, check: rsaSign},
	{files: "rsa_pkcs1_[0-9]+", every: 2, check: rsaDecrypt},
	{files: "rsa_pss_.*shake.*", why: "PKCS#11 names no mask function for SHAKE, and no hash"},
	{files: "rsa_pss_2048_sha512_(224|256)_mgf1_.*|rsa_oaep_.*_mgf1sha512_(224|256)", why: "PKCS#11 names no mask function for SHA-512/224 and SHA-512/256"},
	{files: "rsa_pss_.*", check: pss},
	{files: "rsa_oaep_misc", every: 20, check: oaep},
	{files: "rsa_three_primes_.*", every: 4, check: oaep},
	{files: "rsa_oaep_.*", check: oaep},

	// Finite fields
	{files: "dsa_.*", every: 3, check: with2(dsa)},
	{files: "primality", check: with(primality)},

	// Elliptic curves
	{files: "ecdsa_(secp224r1|secp384r1|secp521r1|brainpoolP[35].*)_.*", every: 6, check: with2(ecdsa)},
	{files: "ecdsa_.*", every: 2, check: with2(ecdsa)},
	{files: "ed(25519|448)", check: with2(eddsa)},
	{files: "ecdh_.*_ecpoint", every: 10, check: with(ecdhPoint)},
	{files: "ecdh_.*_pem", every: 10, check: with(ecdhPEM)},
	{files: "ecdh_.*_webcrypto", every: 10, check: with(ecdhJWK)},
	{files: "ecdh_.*", every: 10, check: with(ecdhSPKI)},
	{files: "x(25519|448)", check: with(xdhPoint)},
	{files: "x(25519|448)_asn", check: with(xdhASN)},
	{files: "x(25519|448)_pem", check: with(xdhPEM)},
	{files: "x(25519|448)_jwk", check: with(ecdhJWK)},
	{files: "ec_prime_order_curves", check: with(curveCase)},

	// Lattices
	{files: "mldsa_.*_verify", check: mldsaVerify},
	{files: "mldsa_.*_sign_(no)?seed", check: mldsaSign},
	{files: "mlkem_[0-9]+", check: mlkem},
	{files: "mlkem_.*_semi_expanded_decaps", check: mlkem},
	{files: "mlkem_.*_encaps", check: mlkemEncaps},
	{files: "mlkem_.*_keygen_seed", check: mlkemKeygen},

	// What is not run
	{files: "aes_eax|aes_gcm_siv|aes_siv_cmac|aead_aes_siv_cmac|aes_ff1_.*", why: noMechanism},
	{files: "aegis.*|ascon.*|morus.*|vmac_.*|siphash.*|bls_.*", why: noMechanism},
	{files: "a(128|192|256)cbc_hs(256|384|512)", why: "AES-CBC and HMAC put together, as a program may do with two mechanisms; other files test those"},
	{files: "c2sp_chunked_encryption_.*", why: "the format of a file, which a program makes of HKDF and AES-GCM; other files test those"},
	{files: "json_web_.*", why: noJOSE},
}

func with(c check) func(string) check            { return func(string) check { return c } }
func with2(make func() check) func(string) check { return func(string) check { return make() } }

// TestFiles runs every file, or logs why not. A file that no row names is an
// error, and so is a row without a file.
func TestFiles(t *testing.T) {
	used := make([]bool, len(rows))
	for _, name := range allFiles(t) {
		i := rowOf(name)
		if i < 0 {
			t.Errorf("nobody runs the file %s, nor says why not", name)
			continue
		}
		used[i] = true
		t.Run(name, func(t *testing.T) {
			if rows[i].check == nil {
				t.Logf("not run: %s", rows[i].why)
				return
			}
			run(t, name, rows[i].every, rows[i].check(name))
		})
	}
	for i, r := range rows {
		if !used[i] {
			t.Errorf("no file is named %s", r.files)
		}
	}
}

// rowOf is the first row that names the file.
func rowOf(name string) int {
	for i, r := range rows {
		if regexp.MustCompile("^(?:" + r.files + ")$").MatchString(name) {
			return i
		}
	}
	return -1
}
