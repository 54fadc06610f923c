package engine

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Digests (PKCS#11 v3.1 sections 6.20 to 6.32; FIPS 180-4, FIPS 202) and the
// derivation of keys by them.

// hashFamily is a digest with the mechanisms that are built on it and a known
// answer for the message "abc" (FIPS 180-4 and FIPS 202, as in NIST's example
// values).
type hashFamily struct {
	digest, hmac, general, keyGen, derive ck.MechanismType
	key                                   ck.KeyType
	abc                                   string
}

var hashFamilies = []hashFamily{
	{ck.CKM_SHA_1, ck.CKM_SHA_1_HMAC, ck.CKM_SHA_1_HMAC_GENERAL, ck.CKM_SHA_1_KEY_GEN,
		ck.CKM_SHA1_KEY_DERIVATION, ck.CKK_SHA_1_HMAC,
		"a9993e364706816aba3e25717850c26c9cd0d89d"},
	{ck.CKM_SHA224, ck.CKM_SHA224_HMAC, ck.CKM_SHA224_HMAC_GENERAL, ck.CKM_SHA224_KEY_GEN,
		ck.CKM_SHA224_KEY_DERIVATION, ck.CKK_SHA224_HMAC,
		"23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
	{ck.CKM_SHA256, ck.CKM_SHA256_HMAC, ck.CKM_SHA256_HMAC_GENERAL, ck.CKM_SHA256_KEY_GEN,
		ck.CKM_SHA256_KEY_DERIVATION, ck.CKK_SHA256_HMAC,
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{ck.CKM_SHA384, ck.CKM_SHA384_HMAC, ck.CKM_SHA384_HMAC_GENERAL, ck.CKM_SHA384_KEY_GEN,
		ck.CKM_SHA384_KEY_DERIVATION, ck.CKK_SHA384_HMAC,
		"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed" +
			"8086072ba1e7cc2358baeca134c825a7"},
	{ck.CKM_SHA512, ck.CKM_SHA512_HMAC, ck.CKM_SHA512_HMAC_GENERAL, ck.CKM_SHA512_KEY_GEN,
		ck.CKM_SHA512_KEY_DERIVATION, ck.CKK_SHA512_HMAC,
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
			"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
	{ck.CKM_SHA512_224, ck.CKM_SHA512_224_HMAC, ck.CKM_SHA512_224_HMAC_GENERAL, ck.CKM_SHA512_224_KEY_GEN,
		ck.CKM_SHA512_224_KEY_DERIVATION, ck.CKK_SHA512_224_HMAC,
		"4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa"},
	{ck.CKM_SHA512_256, ck.CKM_SHA512_256_HMAC, ck.CKM_SHA512_256_HMAC_GENERAL, ck.CKM_SHA512_256_KEY_GEN,
		ck.CKM_SHA512_256_KEY_DERIVATION, ck.CKK_SHA512_256_HMAC,
		"53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"},
	{ck.CKM_SHA3_224, ck.CKM_SHA3_224_HMAC, ck.CKM_SHA3_224_HMAC_GENERAL, ck.CKM_SHA3_224_KEY_GEN,
		ck.CKM_SHA3_224_KEY_DERIVATION, ck.CKK_SHA3_224_HMAC,
		"e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"},
	{ck.CKM_SHA3_256, ck.CKM_SHA3_256_HMAC, ck.CKM_SHA3_256_HMAC_GENERAL, ck.CKM_SHA3_256_KEY_GEN,
		ck.CKM_SHA3_256_KEY_DERIVATION, ck.CKK_SHA3_256_HMAC,
		"3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
	{ck.CKM_SHA3_384, ck.CKM_SHA3_384_HMAC, ck.CKM_SHA3_384_HMAC_GENERAL, ck.CKM_SHA3_384_KEY_GEN,
		ck.CKM_SHA3_384_KEY_DERIVATION, ck.CKK_SHA3_384_HMAC,
		"ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2" +
			"98d88cea927ac7f539f1edf228376d25"},
	{ck.CKM_SHA3_512, ck.CKM_SHA3_512_HMAC, ck.CKM_SHA3_512_HMAC_GENERAL, ck.CKM_SHA3_512_KEY_GEN,
		ck.CKM_SHA3_512_KEY_DERIVATION, ck.CKK_SHA3_512_HMAC,
		"b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e" +
			"10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
}

func init() {
	for _, f := range hashFamilies {
		h := findHash(f.digest)
		register(
			&Mechanism{
				Type: f.digest, FIPS: true,
				Digest: func(p any) (Op, error) {
					if err := noParam(p); err != nil {
						return nil, err
					}
					return &digestOp{h.new()}, nil
				},
				SelfTest: func() error { return testDigest(f.digest, nil, f.abc) },
			},
			&Mechanism{
				Type: f.derive, Keys: anySecretKey, Min: 1, Max: maxSecret,
				Derive:   func(k *Key, p any, d *Derivation) ([]byte, error) { return deriveDigest(h, k, p, d) },
				SelfTest: func() error { return testDerive(f.derive, []byte("abc"), nil, f.abc) },
			},
		)
	}
	register(&Mechanism{
		Type: ck.CKM_SHA512_T, Param: uint64(0), FIPS: true,
		Digest: newSHA512T,
		SelfTest: func() error {
			if err := testDigest(ck.CKM_SHA512_T, uint64(224), hashFamilies[5].abc); err != nil {
				return err
			}
			return testDigest(ck.CKM_SHA512_T, uint64(256), hashFamilies[6].abc)
		},
	})
}

// digestOp is a digest under way.
type digestOp struct{ hash.Hash }

// newSHA512T is SHA-512/t for the two t that FIPS 180-4 approves.
func newSHA512T(p any) (Op, error) {
	switch p {
	case uint64(224):
		return &digestOp{findHash(ck.CKM_SHA512_224).new()}, nil
	case uint64(256):
		return &digestOp{findHash(ck.CKM_SHA512_256).new()}, nil
	}
	return nil, fmt.Errorf("SHA-512/t is here for t = 224 and 256: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

func (o *digestOp) UpdateLen(int) int { return 0 }

func (o *digestOp) Update(_, src []byte) (int, error) {
	o.Write(src)
	return 0, nil
}

func (o *digestOp) FinishLen(int) (int, bool) { return o.Size(), true }

func (o *digestOp) Finish(dst, src []byte) (int, error) {
	o.Write(src)
	return len(o.Sum(dst[:0])), nil
}

// Save returns the state of the digest.
func (o *digestOp) Save() ([]byte, error) {
	return o.Hash.(encoding.BinaryMarshaler).MarshalBinary()
}

// Load takes what Save returned.
func (o *digestOp) Load(state []byte) error {
	if err := o.Hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}

// deriveDigest digests the value of the base key (PKCS#11 v3.1, "SHA-1 key
// derivation" and its kin).
func deriveDigest(h *hashFunction, base *Key, p any, d *Derivation) ([]byte, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	x := h.new()
	x.Write(base.Value())
	return leading(x.Sum(nil), d)
}

// testDigest checks the digest of "abc".
func testDigest(t ck.MechanismType, p any, digest string) error {
	op, err := Find(t).Digest(p)
	out, err := runOp(op, err, []byte("abc"))
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != digest {
		return errSelfTest(t)
	}
	return nil
}

// testDerive checks a known answer of a derivation from a secret key.
func testDerive(t ck.MechanismType, base []byte, p any, want string, keys ...*Key) error {
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: len(want) / 2, Keys: keys}
	out, err := Find(t).Derive(secretKey(ck.CKK_GENERIC_SECRET, base), p, d)
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != want {
		return errSelfTest(t)
	}
	return nil
}
