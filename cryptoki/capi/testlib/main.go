// Command testlib is the shared library with a small fake behind it, for tests
// of the C layer: of its life, its barrier against panics, and fork. The fake
// computes and allocates in earnest, so that garbage is collected, but keeps
// no rule of PKCS#11 that these tests do not need.
package main

import (
	"github.com/perilune/perilune/cryptoki/capi"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// gcmParams is CK_GCM_PARAMS.
type gcmParams struct {
	IV      []byte `c:"ptr,len"`
	IVBits  uint64
	AAD     []byte `c:"ptr,len"`
	TagBits uint64
}

func prototypes(t ck.MechanismType) (param, message, wrap any, known bool) {
	switch t {
	case ck.CKM_AES_GCM:
		return (*gcmParams)(nil), nil, nil, true
	case ck.CKM_SHA256, ck.CKM_SHA256_HMAC, ck.CKM_AES_KEY_GEN:
		return nil, nil, nil, true
	}
	return nil, nil, nil, false
}

func init() {
	capi.Provide(func() (p11.Module, error) { return newFake(), nil }, prototypes)
}

func main() {}
