package engine

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Digests (PKCS#11 v3.1 sections 6.20 to 6.36, historical mechanisms
// v3.1) and the derivation of keys by them. The functions are those of FIPS 180-4, FIPS 202,
// RFC 1319 (MD2), RFC 1321 (MD5), ISO/IEC 10118-3 (RIPEMD), RFC 7693 (BLAKE2b),
// TTAS.KO-12.0011 (HAS-160) and GB/T 32905 (SM3).

// hashFamily is a digest with the mechanisms that are built on it, 0 where there
// is none, and a known answer for the message "abc".
type hashFamily struct {
	digest, hmac, general, keyGen, derive ck.MechanismType
	// key is the type of the keys for this HMAC alone, 0 if there is none.
	key ck.KeyType
	// keyed says that what is called HMAC is the hash function's own keyed form.
	keyed bool
	fips  bool
	// korean is as in Mechanism.
	korean bool

	leaks, vectors, macVectors string

	abc string
}

var hashFamilies = [...]hashFamily{
	{digest: ck.CKM_MD2, hmac: ck.CKM_MD2_HMAC, general: ck.CKM_MD2_HMAC_GENERAL,
		derive:  ck.CKM_MD2_KEY_DERIVATION,
		leaks:   sboxLeaks,
		vectors: "RFC 1319 A.5", macVectors: "Bouncy Castle's HMacTest",
		abc: "da853b0d3f88d99b30283a69e6ded6bb"},
	{digest: ck.CKM_MD5, hmac: ck.CKM_MD5_HMAC, general: ck.CKM_MD5_HMAC_GENERAL,
		derive: ck.CKM_MD5_KEY_DERIVATION, key: ck.CKK_MD5_HMAC,
		vectors: "RFC 1321 A.5", macVectors: "RFC 2202 section 2",
		abc: "900150983cd24fb0d6963f7d28e17f72"},
	{digest: ck.CKM_SHA_1, hmac: ck.CKM_SHA_1_HMAC, general: ck.CKM_SHA_1_HMAC_GENERAL, keyGen: ck.CKM_SHA_1_KEY_GEN,
		derive: ck.CKM_SHA1_KEY_DERIVATION, key: ck.CKK_SHA_1_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "RFC 2202 section 3; Wycheproof",
		abc: "a9993e364706816aba3e25717850c26c9cd0d89d"},
	{digest: ck.CKM_SHA224, hmac: ck.CKM_SHA224_HMAC, general: ck.CKM_SHA224_HMAC_GENERAL, keyGen: ck.CKM_SHA224_KEY_GEN,
		derive: ck.CKM_SHA224_KEY_DERIVATION, key: ck.CKK_SHA224_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "RFC 4231; Wycheproof",
		abc: "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
	{digest: ck.CKM_SHA256, hmac: ck.CKM_SHA256_HMAC, general: ck.CKM_SHA256_HMAC_GENERAL, keyGen: ck.CKM_SHA256_KEY_GEN,
		derive: ck.CKM_SHA256_KEY_DERIVATION, key: ck.CKK_SHA256_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "RFC 4231; Wycheproof",
		abc: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{digest: ck.CKM_SHA384, hmac: ck.CKM_SHA384_HMAC, general: ck.CKM_SHA384_HMAC_GENERAL, keyGen: ck.CKM_SHA384_KEY_GEN,
		derive: ck.CKM_SHA384_KEY_DERIVATION, key: ck.CKK_SHA384_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "RFC 4231; Wycheproof",
		abc: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed" +
			"8086072ba1e7cc2358baeca134c825a7"},
	{digest: ck.CKM_SHA512, hmac: ck.CKM_SHA512_HMAC, general: ck.CKM_SHA512_HMAC_GENERAL, keyGen: ck.CKM_SHA512_KEY_GEN,
		derive: ck.CKM_SHA512_KEY_DERIVATION, key: ck.CKK_SHA512_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "RFC 4231; Wycheproof",
		abc: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
			"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
	{digest: ck.CKM_SHA512_224, hmac: ck.CKM_SHA512_224_HMAC, general: ck.CKM_SHA512_224_HMAC_GENERAL, keyGen: ck.CKM_SHA512_224_KEY_GEN,
		derive: ck.CKM_SHA512_224_KEY_DERIVATION, key: ck.CKK_SHA512_224_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "Wycheproof",
		abc: "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa"},
	{digest: ck.CKM_SHA512_256, hmac: ck.CKM_SHA512_256_HMAC, general: ck.CKM_SHA512_256_HMAC_GENERAL, keyGen: ck.CKM_SHA512_256_KEY_GEN,
		derive: ck.CKM_SHA512_256_KEY_DERIVATION, key: ck.CKK_SHA512_256_HMAC, fips: true,
		vectors: "FIPS 180-4 example values", macVectors: "Wycheproof",
		abc: "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"},
	{digest: ck.CKM_SHA3_224, hmac: ck.CKM_SHA3_224_HMAC, general: ck.CKM_SHA3_224_HMAC_GENERAL, keyGen: ck.CKM_SHA3_224_KEY_GEN,
		derive: ck.CKM_SHA3_224_KEY_DERIVATION, key: ck.CKK_SHA3_224_HMAC, fips: true,
		vectors: "FIPS 202 example values", macVectors: "Wycheproof",
		abc: "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"},
	{digest: ck.CKM_SHA3_256, hmac: ck.CKM_SHA3_256_HMAC, general: ck.CKM_SHA3_256_HMAC_GENERAL, keyGen: ck.CKM_SHA3_256_KEY_GEN,
		derive: ck.CKM_SHA3_256_KEY_DERIVATION, key: ck.CKK_SHA3_256_HMAC, fips: true,
		vectors: "FIPS 202 example values", macVectors: "Wycheproof",
		abc: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
	{digest: ck.CKM_SHA3_384, hmac: ck.CKM_SHA3_384_HMAC, general: ck.CKM_SHA3_384_HMAC_GENERAL, keyGen: ck.CKM_SHA3_384_KEY_GEN,
		derive: ck.CKM_SHA3_384_KEY_DERIVATION, key: ck.CKK_SHA3_384_HMAC, fips: true,
		vectors: "FIPS 202 example values", macVectors: "Wycheproof",
		abc: "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2" +
			"98d88cea927ac7f539f1edf228376d25"},
	{digest: ck.CKM_SHA3_512, hmac: ck.CKM_SHA3_512_HMAC, general: ck.CKM_SHA3_512_HMAC_GENERAL, keyGen: ck.CKM_SHA3_512_KEY_GEN,
		derive: ck.CKM_SHA3_512_KEY_DERIVATION, key: ck.CKK_SHA3_512_HMAC, fips: true,
		vectors: "FIPS 202 example values", macVectors: "Wycheproof",
		abc: "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e" +
			"10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
	{digest: ck.CKM_RIPEMD128, hmac: ck.CKM_RIPEMD128_HMAC, general: ck.CKM_RIPEMD128_HMAC_GENERAL,
		key:     ck.CKK_RIPEMD128_HMAC,
		vectors: "the authors' vectors", macVectors: "RFC 2286",
		abc: "c14a12199c66e4ba84636b0f69144c77"},
	{digest: ck.CKM_RIPEMD160, hmac: ck.CKM_RIPEMD160_HMAC, general: ck.CKM_RIPEMD160_HMAC_GENERAL,
		derive: ck.CKM_RIPEMD160_KEY_DERIVATION, key: ck.CKK_RIPEMD160_HMAC,
		vectors: "the authors' vectors", macVectors: "RFC 2286",
		abc: "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
	{digest: ck.CKM_HAS160, hmac: ck.CKM_HAS160_HMAC, general: ck.CKM_HAS160_HMAC_GENERAL,
		derive: ck.CKM_HAS160_KEY_DERIVATION, korean: true,
		vectors: "TTAS.KO-12.0011/R1", macVectors: "crypto-api (github.com/nf404/crypto-api)",
		abc: "975e810488cf2a3d49838478124afce4b1c78804"},
	{digest: ck.CKM_SM3, hmac: ck.CKM_SM3_HMAC, general: ck.CKM_SM3_HMAC_GENERAL,
		derive:  ck.CKM_SM3_KEY_DERIVATION,
		vectors: "GB/T 32905-2016 A.1", macVectors: "Wycheproof",
		abc: "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
	{digest: ck.CKM_BLAKE2B_160, hmac: ck.CKM_BLAKE2B_160_HMAC, general: ck.CKM_BLAKE2B_160_HMAC_GENERAL, keyGen: ck.CKM_BLAKE2B_160_KEY_GEN,
		derive: ck.CKM_BLAKE2B_160_KEY_DERIVE, key: ck.CKK_BLAKE2B_160_HMAC, keyed: true,
		vectors: "RFC 7693 A and E", macVectors: "RFC 7693 E",
		abc: "384264f676f39536840523f284921cdc68b6846b"},
	{digest: ck.CKM_BLAKE2B_256, hmac: ck.CKM_BLAKE2B_256_HMAC, general: ck.CKM_BLAKE2B_256_HMAC_GENERAL, keyGen: ck.CKM_BLAKE2B_256_KEY_GEN,
		derive: ck.CKM_BLAKE2B_256_KEY_DERIVE, key: ck.CKK_BLAKE2B_256_HMAC, keyed: true,
		vectors: "RFC 7693 A and E", macVectors: "RFC 7693 E",
		abc: "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
	{digest: ck.CKM_BLAKE2B_384, hmac: ck.CKM_BLAKE2B_384_HMAC, general: ck.CKM_BLAKE2B_384_HMAC_GENERAL, keyGen: ck.CKM_BLAKE2B_384_KEY_GEN,
		derive: ck.CKM_BLAKE2B_384_KEY_DERIVE, key: ck.CKK_BLAKE2B_384_HMAC, keyed: true,
		vectors: "RFC 7693 A and E", macVectors: "RFC 7693 E",
		abc: "6f56a82c8e7ef526dfe182eb5212f7db9df1317e57815dbda46083fc30f54ee6" +
			"c66ba83be64b302d7cba6ce15bb556f4"},
	{digest: ck.CKM_BLAKE2B_512, hmac: ck.CKM_BLAKE2B_512_HMAC, general: ck.CKM_BLAKE2B_512_HMAC_GENERAL, keyGen: ck.CKM_BLAKE2B_512_KEY_GEN,
		derive: ck.CKM_BLAKE2B_512_KEY_DERIVE, key: ck.CKK_BLAKE2B_512_HMAC, keyed: true,
		vectors: "RFC 7693 A and E", macVectors: "RFC 7693 E",
		abc: "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1" +
			"7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
}

func init() { later(digestMechanisms) }

func digestMechanisms() {
	for _, f := range hashFamilies {
		h, ended := findHash(f.digest), new(recycler[digestOp])
		register(&Mechanism{
			Type: f.digest, FIPS: f.fips, Korean: f.korean,
			Digest: func(p any) (Op, error) {
				if err := noParam(p); err != nil {
					return nil, err
				}
				o := ended.get()
				if o.home == nil {
					o.Hash, o.home = h.new(), ended
				}
				return o, nil
			},
			SelfTest: func() error { return testDigest(f.digest, nil, f.abc) },
			Leaks:    f.leaks, Vectors: f.vectors,
		})
		if f.derive != 0 {
			register(&Mechanism{
				Type: f.derive, Korean: f.korean, Keys: anySecretKey, Min: 1, Max: maxSecret,
				Derive: func(k *Key, p any, d *Derivation) ([]byte, error) {
					if err := noParam(p); err != nil {
						return nil, err
					}
					return deriveDigest(h, k, d)
				},
				SelfTest: func() error { return testDerive(f.derive, []byte("abc"), nil, f.abc) },
				Leaks:    f.leaks, Vectors: f.vectors,
			})
		}
	}
	register(
		&Mechanism{
			Type: ck.CKM_SHA512_T, Param: uint64(0), FIPS: true,
			Digest: func(p any) (Op, error) {
				h, err := sha512T(p)
				if err != nil {
					return nil, err
				}
				return &digestOp{Hash: h.new()}, nil
			},
			SelfTest: func() error {
				if err := testDigest(ck.CKM_SHA512_T, uint64(224), abc(ck.CKM_SHA512_224)); err != nil {
					return err
				}
				return testDigest(ck.CKM_SHA512_T, uint64(256), abc(ck.CKM_SHA512_256))
			},
			Vectors: "FIPS 180-4 example values",
		},
		&Mechanism{
			Type: ck.CKM_SHA512_T_KEY_DERIVATION, Param: uint64(0), Keys: anySecretKey, Min: 1, Max: maxSecret,
			Derive: func(k *Key, p any, d *Derivation) ([]byte, error) {
				h, err := sha512T(p)
				if err != nil {
					return nil, err
				}
				return deriveDigest(h, k, d)
			},
			SelfTest: func() error {
				return testDerive(ck.CKM_SHA512_T_KEY_DERIVATION, []byte("abc"), uint64(224), abc(ck.CKM_SHA512_224))
			},
			Vectors: "FIPS 180-4 example values",
		},
	)
}

// abc is the known answer of a digest.
func abc(t ck.MechanismType) string {
	for _, f := range hashFamilies {
		if f.digest == t {
			return f.abc
		}
	}
	return ""
}

// sha512T is SHA-512/t for the two t that FIPS 180-4 approves.
func sha512T(p any) (*hashFunction, error) {
	switch p {
	case uint64(224):
		return findHash(ck.CKM_SHA512_224), nil
	case uint64(256):
		return findHash(ck.CKM_SHA512_256), nil
	}
	return nil, fmt.Errorf("SHA-512/t is here for t = 224 and 256: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// digestOp is a digest under way.
type digestOp struct {
	hash.Hash
	home *recycler[digestOp] // nil if it is not used again
}

// Release implements Releaser.
func (o *digestOp) Release() {
	if o.home != nil {
		o.Reset()
		o.home.put(o)
	}
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
func deriveDigest(h *hashFunction, base *Key, d *Derivation) ([]byte, error) {
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
	return testDeriveFrom(t, secretKey(ck.CKK_GENERIC_SECRET, base), p, want, keys...)
}

// testDeriveFrom does so for a key of any type.
func testDeriveFrom(t ck.MechanismType, base *Key, p any, want string, keys ...*Key) error {
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: len(want) / 2, Keys: keys}
	out, err := Find(t).Derive(base, p, d)
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != want {
		return errSelfTest(t)
	}
	return nil
}
