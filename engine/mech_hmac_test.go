package engine

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func BenchmarkSHA256(b *testing.B) {
	digest := Find(ck.CKM_SHA256).Digest
	benchCipher(b, func(_ *Key, p any) (Op, error) { return digest(p) }, nil, nil, 32)
}

func BenchmarkHMACSHA256(b *testing.B) {
	benchCipher(b, Find(ck.CKM_SHA256_HMAC).Sign, secretKey(ck.CKK_GENERIC_SECRET, make([]byte, 32)), nil, 32)
}
