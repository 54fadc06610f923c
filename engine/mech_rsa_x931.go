package engine

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// Signatures of ANSI X9.31 (PKCS#11 v3.1, sections 6.1.15 and 6.1.16): the block
// that gets signed is 6 b...b a, the digest, the number of the hash function in
// ISO/IEC 10118, cc; and of the two numbers s and n-s the smaller is the
// signature. Verification takes either: NIST's own vectors of one edition (CAVS
// 10.1) have both, and OpenSSL takes both.
//
// The device has each mechanism a second time, as "non-FIPS". Its documentation
// does not say what for. X9.31 and FIPS 186 have a rule of their own for keys,
// 1024 + 256k bits; so the first kind of mechanisms insists on it, and the
// second takes any key of whole bytes. Neither insists on primes made by X9.31:
// this cannot be seen in a key, FIPS 186-4 does without it, and who wants to
// know it asks for CKA_X9_31_GENERATED.

// x931Hashes are the numbers of the hash functions.
var x931Hashes = []struct {
	hash            ck.MechanismType
	id              byte
	strict, relaxed ck.MechanismType
}{
	{ck.CKM_SHA_1, 0x33, ck.CKM_SHA1_RSA_X9_31, ck.CKM_SHA1_RSA_X9_31_NON_FIPS},
	{ck.CKM_SHA224, 0x38, ck.CKM_SHA224_RSA_X9_31, ck.CKM_SHA224_RSA_X9_31_NON_FIPS},
	{ck.CKM_SHA256, 0x34, ck.CKM_SHA256_RSA_X9_31, ck.CKM_SHA256_RSA_X9_31_NON_FIPS},
	{ck.CKM_SHA384, 0x36, ck.CKM_SHA384_RSA_X9_31, ck.CKM_SHA384_RSA_X9_31_NON_FIPS},
	{ck.CKM_SHA512, 0x35, ck.CKM_SHA512_RSA_X9_31, ck.CKM_SHA512_RSA_X9_31_NON_FIPS},
}

func init() { later(rsaX931Mechanisms) }

func rsaX931Mechanisms() {
	for _, x := range x931Hashes {
		register(
			approvedRSA(x931HashRow(x.strict, x931{h: findHash(x.hash), id: x.id, strict: true}), x.hash),
			x931HashRow(x.relaxed, x931{h: findHash(x.hash), id: x.id}),
		)
	}
	register(
		approvedRSA(x931Row(ck.CKM_RSA_X9_31, x931{strict: true}), ck.CKM_RSA_X9_31),
		x931Row(ck.CKM_RSA_X9_31_NON_FIPS, x931{}),
	)
}

const x931Vectors = "NIST CAVP SigGen RSA and SigVer RSA (X9.31); SHA-224: Botan; OpenSSL"

func x931HashRow(m ck.MechanismType, x x931) *Mechanism {
	return &Mechanism{
		Type: m,
		Keys: rsaKeys, Min: 1024, Max: rsaMaxBits,
		Sign: func(k *Key, p any) (Op, error) {
			priv, err := x.private(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedOp(x.h.start(), priv.Size(), signFunc(func(dst, digest []byte) (int, error) {
				return x.sign(priv, dst, append(digest, x.id))
			})), nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			pub, err := x.public(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedVerifier(x.h.start(), verifyFunc(func(digest, sig []byte) error {
				return x.verify(pub, append(digest, x.id), sig)
			})), nil
		},
		Vectors:  x931Vectors,
		SelfTest: func() error { return testX931Hash(m, x) },
	}
}

// x931Row is the mechanism that is given the digest and the number of the hash
// function (PKCS#11 v3.1, section 6.1.15).
func x931Row(m ck.MechanismType, x x931) *Mechanism {
	return &Mechanism{
		Type: m,
		Keys: rsaKeys, Min: 1024, Max: rsaMaxBits,
		Sign: func(k *Key, p any) (Op, error) {
			priv, err := x.private(k, p)
			if err != nil {
				return nil, err
			}
			return &once{max: priv.Size(), exact: true, run: func(dst, src []byte) (int, error) {
				return x.sign(priv, dst, src)
			}}, nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			pub, err := x.public(k, p)
			if err != nil {
				return nil, err
			}
			return onceVerifier(func(src, sig []byte) error { return x.verify(pub, src, sig) }), nil
		},
		Vectors:  x931Vectors,
		SelfTest: func() error { return testX931(m) },
	}
}

// x931 is the padding with what it takes.
type x931 struct {
	h      *hashFunction // nil if the caller hashes
	id     byte
	strict bool // about key sizes
}

func (x *x931) private(k *Key, p any) (*rsaPrivateKey, error) {
	priv, err := barePrivate(k, p)
	if err != nil {
		return nil, err
	}
	return priv, x.check(priv.Bits())
}

func (x *x931) public(k *Key, p any) (*rsacore.PublicKey, error) {
	pub, err := barePublic(k, p)
	if err != nil {
		return nil, err
	}
	return pub, x.check(pub.Bits())
}

func (x *x931) check(bits int) error {
	if bits < 1024 || bits%8 != 0 || x.strict && bits%256 != 0 {
		return fmt.Errorf("X9.31 and RSA keys of %d bits: %w", bits, ck.CKR_KEY_SIZE_RANGE)
	}
	return nil
}

// block is the block of a digest with its number, or of anything that is as long
// as a digest with its number.
func (x *x931) block(size int, digest []byte) ([]byte, error) {
	start := size - len(digest) - 1
	if start < 2 || len(digest) == 0 {
		return nil, ck.CKR_DATA_LEN_RANGE
	}
	b := make([]byte, size)
	b[0] = 0x6b
	for i := 1; i < start-1; i++ {
		b[i] = 0xbb
	}
	b[start-1] = 0xba
	copy(b[start:], digest)
	b[size-1] = 0xcc
	return b, nil
}

func (x *x931) sign(priv *rsaPrivateKey, dst, digest []byte) (int, error) {
	b, err := x.block(priv.Size(), digest)
	if err != nil {
		return 0, err
	}
	if err := privateRSA(priv, b, b, ck.CKR_DATA_INVALID); err != nil {
		return 0, err
	}
	ct.Public(b) // which of the two it is, the verifier sees
	if other := priv.Negative(b); string(other) < string(b) {
		b = other
	}
	return copy(dst, b), nil
}

// verify compares with the block made anew, and with n minus that: only one of
// the two ends with c, because the modulus is odd.
func (x *x931) verify(pub *rsacore.PublicKey, digest, sig []byte) error {
	want, err := x.block(pub.Size(), digest)
	if err != nil {
		return err
	}
	b := make([]byte, pub.Size())
	if err := rsaRecover(pub, b, sig); err != nil {
		return err
	}
	if string(b) != string(want) && string(pub.Negative(b)) != string(want) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}
