package engine

import (
	"bytes"
	"crypto/pbkdf2"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// PBKDF2 (PKCS#11 v3.1 section 6.37; RFC 8018).

func init() { later(pbkdf2Mechanisms) }

func pbkdf2Mechanisms() {
	register(&Mechanism{
		// The template's CKA_KEY_TYPE says what it makes.
		Type: ck.CKM_PKCS5_PBKD2, Param: (*PBKDF2Params)(nil), Makes: AnySecret, Min: 1, Max: maxSecret,
		Generate: generatePBKDF2,
		SelfTest: testPBKDF2,
		Vectors:  "RFC 6070; RFC 7914 section 11; Wycheproof",
	})
}

// PBKDF2Params is CK_PKCS5_PBKD2_PARAMS2 (PKCS#11 v3.1 section 6.37.3), and the
// older CK_PKCS5_PBKD2_PARAMS, in which ulPasswordLen is a pointer to the length.
type PBKDF2Params struct {
	SaltSource ck.SourceType
	Salt       []byte `c:"ptr,len"`
	Iterations uint64
	PRF        ck.PRF
	PRFData    []byte `c:"ptr,len"`
	Password   []byte `c:"ptr,anylen"`
}

// maxPBKDF2Work bounds the calls of the pseudorandom function, so that a
// parameter gone wrong cannot keep the library busy for hours.
const maxPBKDF2Work = 1 << 28

// pbkdf2Hashes names the hash of each pseudorandom function.
var pbkdf2Hashes = map[ck.PRF]ck.MechanismType{
	ck.CKP_PKCS5_PBKD2_HMAC_SHA1:       ck.CKM_SHA_1,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA224:     ck.CKM_SHA224,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA256:     ck.CKM_SHA256,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA384:     ck.CKM_SHA384,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA512:     ck.CKM_SHA512,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA512_224: ck.CKM_SHA512_224,
	ck.CKP_PKCS5_PBKD2_HMAC_SHA512_256: ck.CKM_SHA512_256,
	ck.CKP_PKCS5_PBKD2_HMAC_SM3:        ck.CKM_SM3,
}

func generatePBKDF2(param any, template []ck.Attribute) ([]ck.Attribute, error) {
	p, err := structParam[PBKDF2Params](param)
	if err != nil {
		return nil, err
	}
	h := findHash(pbkdf2Hashes[p.PRF])
	if h == nil || len(p.PRFData) != 0 {
		return nil, fmt.Errorf("PBKDF2 does not know this function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if p.SaltSource != ck.CKZ_SALT_SPECIFIED {
		return nil, fmt.Errorf("unknown salt source: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	n, err := templateLen(template)
	if err != nil {
		return nil, err
	}
	blocks := uint64(n+h.size-1) / uint64(h.size)
	if p.Iterations < 1 || p.Iterations > maxPBKDF2Work/blocks {
		return nil, fmt.Errorf("too few or too many iterations: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	out, err := pbkdf2.Key(h.new, string(p.Password), p.Salt, int(p.Iterations), n)
	if err != nil {
		return nil, fmt.Errorf("PBKDF2: %w", ck.CKR_FUNCTION_FAILED)
	}
	return secretValue(out), nil
}

// testPBKDF2 checks the second test of RFC 6070, section 2, and the first of
// RFC 7914, section 11.
func testPBKDF2() error {
	for _, a := range []struct {
		prf            ck.PRF
		password, salt string
		iterations     uint64
		want           string
	}{
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA256, "passwd", "salt", 1,
			"55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" +
				"49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"[:64]},
	} {
		p := &PBKDF2Params{SaltSource: ck.CKZ_SALT_SPECIFIED, Salt: []byte(a.salt),
			Iterations: a.iterations, PRF: a.prf, Password: []byte(a.password)}
		attrs, err := generatePBKDF2(p, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(a.want)/2))})
		if err != nil {
			return err
		}
		if v := ck.Find(attrs, ck.CKA_VALUE); v == nil || !bytes.Equal(v.Value, unhex(a.want)) {
			return errSelfTest(ck.CKM_PKCS5_PBKD2)
		}
	}
	return nil
}
