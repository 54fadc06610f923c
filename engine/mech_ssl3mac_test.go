package engine

import (
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestSSL3MAC checks the vectors of Botan's ssl3mac.vec.
func TestSSL3MAC(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10)
	for _, v := range []struct {
		m             ck.MechanismType
		key           string
		message, code string
	}{
		{ck.CKM_SSL3_MD5_MAC, long[:32], "01", "96279d16e7812edda2ec64dac996348f"},
		{ck.CKM_SSL3_MD5_MAC, long[:32], long, "475006c7dc7a3f371352d948b4be950e"},
		{ck.CKM_SSL3_SHA1_MAC, long[:40], "01", "cd6289a1fec0bb104c271be488343ba92328b073"},
		{ck.CKM_SSL3_SHA1_MAC, long[:40], long, "98e523eade38b3bf4ebf51d7ee814316c9eb3159"},
	} {
		k := secretKey(ck.CKK_GENERIC_SECRET, unhex(v.key))
		for n := 1; n <= len(v.code)/2; n++ {
			checkMAC(t, v.m, k, uint64(n), unhex(v.message), unhex(v.code)[:n])
		}
		for _, p := range []any{nil, uint64(0), uint64(len(v.code)/2 + 1), ^uint64(0), pattern(3)} {
			wantError(t, beginError(Find(v.m).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		}
		wantError(t, beginError(Find(v.m).Sign(&Key{}, uint64(4))), ck.CKR_KEY_SIZE_RANGE)
	}
}
