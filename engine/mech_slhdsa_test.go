package engine

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestSLHDSARoot imports keys with parts of two keys.
func TestSLHDSARoot(t *testing.T) {
	_, priv := pqcPair(t, ck.CKM_SLH_DSA_KEY_PAIR_GEN, ck.CKP_SLH_DSA_SHA2_128F)
	for _, at := range []int{0, 32, 48} { // SK.seed, PK.seed, PK.root
		bad := with(priv, ck.CKA_VALUE, flip(priv.Value(), at))
		wantRV(t, "part of another key", completeRV(bad), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	wantRV(t, "a seed", completeRV(with(priv, ck.CKA_SEED, make([]byte, 48))), ck.CKR_ATTRIBUTE_VALUE_INVALID)
}
