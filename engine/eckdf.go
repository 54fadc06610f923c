package engine

import (
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The functions that make a key of the shared secret of a key agreement
// (PKCS#11 v3.2, section 6.3.16).

// ecKDF is a key derivation function.
type ecKDF struct {
	hash func() hash.Hash
	// counterFirst tells the function of SP 800-56C, one-step, from that of
	// ANSI X9.63: the counter goes before the shared secret.
	counterFirst bool
	// der says that the other information is the DER structure of ANSI X9.42,
	// which has the counter in it.
	der bool
	// foreign says that the hash function is none of NIST's.
	foreign bool
}

// ecKDFs lists the standard's functions, and then the device's. The device has
// no number of its own for one-step with SHA-1: its 0x12 is another function in
// the standard.
var ecKDFs = map[ck.KDF]ecKDF{
	ck.CKD_SHA1_KDF:             x963KDF(ck.CKM_SHA_1),
	ck.CKD_SHA1_KDF_ASN1:        {hash: findHash(ck.CKM_SHA_1).new, der: true},
	ck.CKD_SHA1_KDF_CONCATENATE: x963KDF(ck.CKM_SHA_1), // X9.42 hashes the same
	ck.CKD_SHA224_KDF:           x963KDF(ck.CKM_SHA224),
	ck.CKD_SHA256_KDF:           x963KDF(ck.CKM_SHA256),
	ck.CKD_SHA384_KDF:           x963KDF(ck.CKM_SHA384),
	ck.CKD_SHA512_KDF:           x963KDF(ck.CKM_SHA512),
	ck.CKD_SHA3_224_KDF:         x963KDF(ck.CKM_SHA3_224),
	ck.CKD_SHA3_256_KDF:         x963KDF(ck.CKM_SHA3_256),
	ck.CKD_SHA3_384_KDF:         x963KDF(ck.CKM_SHA3_384),
	ck.CKD_SHA3_512_KDF:         x963KDF(ck.CKM_SHA3_512),
	ck.CKD_SHA1_KDF_SP800:       oneStepKDF(ck.CKM_SHA_1),
	ck.CKD_SHA224_KDF_SP800:     oneStepKDF(ck.CKM_SHA224),
	ck.CKD_SHA256_KDF_SP800:     oneStepKDF(ck.CKM_SHA256),
	ck.CKD_SHA384_KDF_SP800:     oneStepKDF(ck.CKM_SHA384),
	ck.CKD_SHA512_KDF_SP800:     oneStepKDF(ck.CKM_SHA512),
	ck.CKD_SHA3_224_KDF_SP800:   oneStepKDF(ck.CKM_SHA3_224),
	ck.CKD_SHA3_256_KDF_SP800:   oneStepKDF(ck.CKM_SHA3_256),
	ck.CKD_SHA3_384_KDF_SP800:   oneStepKDF(ck.CKM_SHA3_384),
	ck.CKD_SHA3_512_KDF_SP800:   oneStepKDF(ck.CKM_SHA3_512),
	ck.CKD_BLAKE2B_160_KDF:      oneStepKDF(ck.CKM_BLAKE2B_160),
	ck.CKD_BLAKE2B_256_KDF:      oneStepKDF(ck.CKM_BLAKE2B_256),
	ck.CKD_BLAKE2B_384_KDF:      oneStepKDF(ck.CKM_BLAKE2B_384),
	ck.CKD_BLAKE2B_512_KDF:      oneStepKDF(ck.CKM_BLAKE2B_512),

	ck.CKD_SHA224_KDF_OLD:     x963KDF(ck.CKM_SHA224),
	ck.CKD_SHA256_KDF_OLD:     x963KDF(ck.CKM_SHA256),
	ck.CKD_SHA384_KDF_OLD:     x963KDF(ck.CKM_SHA384),
	ck.CKD_SHA512_KDF_OLD:     x963KDF(ck.CKM_SHA512),
	ck.CKD_RIPEMD160_KDF:      x963KDF(ck.CKM_RIPEMD160),
	ck.CKD_SHA224_NIST_KDF:    oneStepKDF(ck.CKM_SHA224),
	ck.CKD_SHA256_NIST_KDF:    oneStepKDF(ck.CKM_SHA256),
	ck.CKD_SHA384_NIST_KDF:    oneStepKDF(ck.CKM_SHA384),
	ck.CKD_SHA512_NIST_KDF:    oneStepKDF(ck.CKM_SHA512),
	ck.CKD_RIPEMD160_NIST_KDF: oneStepKDF(ck.CKM_RIPEMD160),
}

func x963KDF(h ck.MechanismType) ecKDF {
	return ecKDF{hash: findHash(h).new, foreign: shaFor(h) == nil}
}

func oneStepKDF(h ck.MechanismType) ecKDF {
	return ecKDF{hash: findHash(h).new, counterFirst: true, foreign: shaFor(h) == nil}
}

// checkECKDF checks a function and what goes with it before the secret is there.
func checkECKDF(kdf ck.KDF, info []byte, n int) error {
	f, known := ecKDFs[kdf]
	plain := kdf == ck.CKD_NULL
	if !known && !plain || plain && len(info) > 0 || f.der && !isX942Info(info) {
		return fmt.Errorf("unknown key derivation function, or wrong shared data for it: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if n < 0 || n > maxDerived {
		return ck.CKR_KEY_SIZE_RANGE
	}
	if n == 0 && !plain {
		return fmt.Errorf("CKA_VALUE_LEN is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	return nil
}

// deriveECKey makes n bytes of a shared secret, which it may overwrite.
func deriveECKey(kdf ck.KDF, secret, info []byte, n int) ([]byte, error) {
	if kdf == ck.CKD_NULL {
		return lastBytes(secret, n)
	}
	defer clear(secret)
	return ecKDFs[kdf].derive(secret, info, n), nil
}

// lastBytes truncates a shared secret to n bytes (all of it for 0), from the
// leading end as the standard says.
func lastBytes(secret []byte, n int) ([]byte, error) {
	if n == 0 {
		return secret, nil
	}
	if n > len(secret) {
		return nil, fmt.Errorf("the shared secret has %d bytes only: %w", len(secret), ck.CKR_KEY_SIZE_RANGE)
	}
	return secret[len(secret)-n:], nil
}

func (f ecKDF) derive(secret, info []byte, n int) []byte {
	if f.der {
		return x942KDF(f.hash(), secret, info, n)
	}
	return concatKDF(f.hash(), secret, info, n, f.counterFirst)
}

// concatKDF hashes secret, a counter from 1 and info until there are n bytes:
// ANSI X9.63 (SEC 1, section 3.6.1), or with the counter in front NIST SP
// 800-56C, section 4.1, option 1.
func concatKDF(h hash.Hash, secret, info []byte, n int, counterFirst bool) []byte {
	out := make([]byte, 0, n+h.Size())
	var counter [4]byte
	for i := uint32(1); len(out) < n; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		h.Reset()
		if counterFirst {
			h.Write(counter[:])
			h.Write(secret)
		} else {
			h.Write(secret)
			h.Write(counter[:])
		}
		h.Write(info)
		out = h.Sum(out)
	}
	return out[:n:n]
}

// x942KDF hashes secret and info until there are n bytes, with a counter from 1
// in the place that info has for it (RFC 2631, section 2.1.2).
func x942KDF(h hash.Hash, secret, info []byte, n int) []byte {
	before, after, _ := splitX942Info(info)
	out := make([]byte, 0, n+h.Size())
	var counter [4]byte
	for i := uint32(1); len(out) < n; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		h.Reset()
		h.Write(secret)
		h.Write(before)
		h.Write(counter[:])
		h.Write(after)
		out = h.Sum(out)
	}
	return out[:n:n]
}

func isX942Info(info []byte) bool {
	_, _, ok := splitX942Info(info)
	return ok
}

// splitX942Info returns what is before and after the counter in the DER
// OtherInfo of X9.42: a sequence that begins with a sequence of the algorithm
// and the counter, an OCTET STRING of 4 bytes.
func splitX942Info(info []byte) (before, after []byte, ok bool) {
	s := cryptobyte.String(info)
	var seq, key, counter cryptobyte.String
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&key, asn1.SEQUENCE) ||
		!key.SkipASN1(asn1.OBJECT_IDENTIFIER) || !key.ReadASN1(&counter, asn1.OCTET_STRING) ||
		!key.Empty() || len(counter) != 4 {
		return nil, nil, false
	}
	at := len(info) - len(seq) // where the inner sequence ends, with the counter
	return info[:at-4], info[at:], true
}
