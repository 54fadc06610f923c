package engine

import (
	"math"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestCMACVectors: RFC 4493, section 4, and NIST SP 800-38B, appendix D, for
// messages of 0, 16, 40 and 64 bytes.
func TestCMACVectors(t *testing.T) {
	for key, codes := range map[string][4]string{
		sp80038a[0].key: {"bb1d6929e95937287fa37d129b756746", "070a16b46b4d4144f79bdd9dd04a287c",
			"dfa66747de9ae63030ca32611497c827", "51f0bebf7e3b9d92fc49741779363cfe"},
		sp80038a[1].key: {"d17ddf46adaacde531cac483de7a9367", "9e99a7bf31e710900662f65e617c5184",
			"8a1de5be2eb31aad089a82e6ee908b0e", "a1d5df0eed790f794d77589659f39a11"},
		sp80038a[2].key: {"028962f61b7bf89efc6b551f4667d983", "28a7023f452e8f82bd4bf28d8c37c35c",
			"aaf3d8f1de5640c232f5b169b9c911e6", "e1992190549f6ed5696a2c056c315410"},
	} {
		for i, n := range []int{0, 16, 40, 64} {
			message, code := unhex(sp80038aPlain)[:n], unhex(codes[i])
			checkMAC(t, ck.CKM_AES_CMAC, aesKey(key), nil, message, code)
			for size := 1; size <= 16; size++ {
				checkMAC(t, ck.CKM_AES_CMAC_GENERAL, aesKey(key), uint64(size), message, code[:size])
			}
		}
	}
	k := aesKey(sp80038aKey)
	for _, p := range []any{nil, uint64(0), uint64(17), uint64(math.MaxUint64), pattern(8)} {
		wantError(t, beginError(Find(ck.CKM_AES_CMAC_GENERAL).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	wantError(t, beginError(Find(ck.CKM_AES_CMAC).Sign(k, uint64(8))), ck.CKR_MECHANISM_PARAM_INVALID)
}
