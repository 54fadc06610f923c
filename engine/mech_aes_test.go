package engine

import (
	"fmt"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// benchCipher measures single-part operations with a new Op each time, as
// C_EncryptInit and C_Encrypt make them.
func benchCipher(b *testing.B, begin func(*Key, any) (Op, error), k *Key, p any, extra int) {
	for _, n := range []int{16, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src, dst := make([]byte, n), make([]byte, n+extra)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				op, err := begin(k, p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := op.Finish(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchKey(n int) *Key { return secretKey(ck.CKK_AES, make([]byte, n)) }

func BenchmarkAESGCM(b *testing.B) {
	benchCipher(b, newGCMEncrypt, benchKey(32), &GCMParams{IV: make([]byte, 12), TagBits: 128}, 16)
}

func BenchmarkAESGCMShortTag(b *testing.B) {
	benchCipher(b, newGCMEncrypt, benchKey(32), &GCMParams{IV: make([]byte, 12), TagBits: 64}, 16)
}

func BenchmarkAESCCM(b *testing.B) {
	benchCipher(b, func(k *Key, p any) (Op, error) { return newCCM(k, p, ccmOp{anyLen: true}) },
		benchKey(32), &CCMParams{Nonce: make([]byte, 12), MACLen: 16}, 16)
}

func BenchmarkAESCBC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CBC).Encrypt, benchKey(32), make([]byte, 16), 0)
}

func BenchmarkAESCBCDecrypt(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CBC).Decrypt, benchKey(32), make([]byte, 16), 0)
}

func BenchmarkAESECB(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_ECB).Encrypt, benchKey(32), nil, 0)
}

func BenchmarkAESCTR(b *testing.B) {
	benchCipher(b, newCTR, benchKey(32), &CTRParams{CounterBits: 128}, 0)
}

func BenchmarkAESCMAC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CMAC).Sign, benchKey(32), nil, 16)
}

func BenchmarkAESGMAC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_GMAC).Sign, benchKey(32), &GCMParams{IV: make([]byte, 12), TagBits: 128}, 16)
}

func BenchmarkAESKeyWrap(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_KEY_WRAP).Encrypt, benchKey(32), nil, 8)
}
