package engine

import (
	"encoding"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
)

// HMAC (PKCS#11 v3.1 sections 6.20 to 6.32; FIPS 198-1, RFC 2104).

func init() {
	for i, f := range hashFamilies {
		h := &hmacHash{index: i, hashFunction: findHash(f.digest)}
		full := func(k *Key, p any) (mac, error) {
			if err := noParam(p); err != nil {
				return nil, err
			}
			return newHMAC(h, k, h.size)
		}
		general := func(k *Key, p any) (mac, error) {
			n, err := macGeneralLen(p, h.size)
			if err != nil {
				return nil, err
			}
			return newHMAC(h, k, n)
		}
		keys := []ck.KeyType{ck.CKK_GENERIC_SECRET, f.key}
		a := hmacAnswers[f.hmac]
		register(
			&Mechanism{
				Type: f.hmac, Keys: keys, Min: 1, Max: maxSecret, FIPS: true,
				Sign:   func(k *Key, p any) (Op, error) { return newSign(full(k, p)) },
				Verify: func(k *Key, p any) (Verifier, error) { return newVerify(full(k, p)) },
				SelfTest: func() error {
					return testMAC(f.hmac, secretKey(f.key, unhex(a.key)), nil, a.message, a.code)
				},
			},
			&Mechanism{
				Type: f.general, Param: uint64(0), Keys: keys, Min: 1, Max: maxSecret, FIPS: true,
				Sign:   func(k *Key, p any) (Op, error) { return newSign(general(k, p)) },
				Verify: func(k *Key, p any) (Verifier, error) { return newVerify(general(k, p)) },
				SelfTest: func() error {
					return testMAC(f.general, secretKey(f.key, unhex(a.key)), uint64(10), a.message, a.code[:20])
				},
			},
			&Mechanism{
				Type: f.keyGen, Makes: f.key, Min: 1, Max: maxSecret, FIPS: true,
				Generate: generateSecret,
				SelfTest: func() error { return testSecretGen(f.keyGen) },
			},
		)
	}
}

// hmacHash is a hash function that HMAC uses.
type hmacHash struct {
	*hashFunction
	index int
	pool  sync.Pool // of *hmacPair
}

// hmacPair is what one computation works with.
type hmacPair struct {
	inner, outer resumable
	sum          [maxMAC]byte
}

// resumable is a hash that can be put into a state.
type resumable interface {
	hash.Hash
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

func (h *hmacHash) get() *hmacPair {
	if p, ok := h.pool.Get().(*hmacPair); ok {
		return p
	}
	return &hmacPair{inner: h.new().(resumable), outer: h.new().(resumable)}
}

// hmacKey holds the states of both hashes after they took in the padded key,
// so that a message costs two compressions less.
type hmacKey struct{ inner, outer []byte }

// hmacKeys holds these for every hash function that a key is used with.
type hmacKeys [16]atomic.Pointer[hmacKey]

func (h *hmacHash) parse(k *Key) (*hmacKey, error) {
	keys, err := Parsed(k, func(*Key) (*hmacKeys, error) { return new(hmacKeys), nil })
	if err != nil {
		return nil, err
	}
	if key := keys[h.index].Load(); key != nil {
		return key, nil
	}
	key, err := h.prepare(k.Value())
	if err != nil {
		return nil, err
	}
	keys[h.index].Store(key)
	return key, nil
}

// prepare computes the states for a key.
func (h *hmacHash) prepare(value []byte) (key *hmacKey, err error) {
	if len(value) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	p := h.get()
	defer h.pool.Put(p)
	block := make([]byte, p.inner.BlockSize())
	defer clear(block)
	if len(value) > len(block) {
		p.inner.Reset()
		p.inner.Write(value)
		p.inner.Sum(block[:0])
	} else {
		copy(block, value)
	}
	key = new(hmacKey)
	if key.inner, err = padState(p.inner, block, 0x36); err != nil {
		return nil, err
	}
	key.outer, err = padState(p.outer, block, 0x36^0x5c)
	return key, err
}

// padState adds (XOR) pad to block and returns the state of x after it.
func padState(x resumable, block []byte, pad byte) ([]byte, error) {
	for i := range block {
		block[i] ^= pad
	}
	x.Reset()
	x.Write(block)
	return x.MarshalBinary()
}

// hmacOp is an HMAC under way.
type hmacOp struct {
	hash *hmacHash
	key  *hmacKey
	pair *hmacPair // nil after the end
	len  int
}

func newHMAC(h *hmacHash, k *Key, n int) (mac, error) {
	key, err := h.parse(k)
	if err != nil {
		return nil, err
	}
	p := h.get()
	if err := p.inner.UnmarshalBinary(key.inner); err != nil {
		return nil, err
	}
	return &hmacOp{h, key, p, n}, nil
}

func (o *hmacOp) write(src []byte) error {
	if o.pair == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	o.pair.inner.Write(src)
	return nil
}

func (o *hmacOp) size() int { return o.len }

func (o *hmacOp) sum(dst []byte) []byte {
	p := o.pair
	o.pair = nil
	if err := p.outer.UnmarshalBinary(o.key.outer); err != nil {
		panic(err) // the state is from MarshalBinary of the same hash
	}
	p.outer.Write(p.inner.Sum(p.sum[:0]))
	dst = append(dst, p.outer.Sum(p.sum[:0])[:o.len]...)
	o.hash.pool.Put(p)
	return dst
}

func (o *hmacOp) save() ([]byte, error) {
	if o.pair == nil {
		return nil, ck.CKR_OPERATION_NOT_INITIALIZED
	}
	return o.pair.inner.MarshalBinary()
}

func (o *hmacOp) load(state []byte) error {
	if o.pair == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	if err := o.pair.inner.UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}

// hmacAnswers are test case 2 of RFC 2202, section 3, and of RFC 4231, section
// 4.3, and for the others case 9 or 10 ("short message") of Wycheproof's
// hmac_*_test.json.
var hmacAnswers = map[ck.MechanismType]struct{ key, message, code string }{
	ck.CKM_SHA_1_HMAC: {jefe, jefeMessage, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
	ck.CKM_SHA224_HMAC: {jefe, jefeMessage,
		"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
	ck.CKM_SHA256_HMAC: {jefe, jefeMessage,
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	ck.CKM_SHA384_HMAC: {jefe, jefeMessage,
		"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e" +
			"8e2240ca5e69e2c78b3239ecfab21649"},
	ck.CKM_SHA512_HMAC: {jefe, jefeMessage,
		"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" +
			"9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
	ck.CKM_SHA512_224_HMAC: {"31d9cae2c3df064018209b121f9e883976ea757942ecda9d92fdadfd", "b844289529206f5a",
		"9f7209e0d880c1bcd9af1379ac84bf0d10230b8a2f84fd653bddda9e"},
	ck.CKM_SHA512_256_HMAC: {"233e4fdee70bcc20235b6977ddfc05b0df66f5635d827c66e5a63cdb16a24938", "fdb2ee4b6d1a0ac2",
		"37597f0aeba2c247c3bf3ecc6ec5e6beb0efe1c08499daa98428c03c5f8e8504"},
	ck.CKM_SHA3_224_HMAC: {"31d9cae2c3df064018209b121f9e883976ea757942ecda9d92fdadfd", "b844289529206f5a",
		"2e44f4d141c338a4c882be2c8d326dda3ab53dcb02536a2096392726"},
	ck.CKM_SHA3_256_HMAC: {"233e4fdee70bcc20235b6977ddfc05b0df66f5635d827c66e5a63cdb16a24938", "fdb2ee4b6d1a0ac2",
		"799b30418ec2619936b0260bb50264ef4c8233997418604d04f8e8d318d4ff3c"},
	ck.CKM_SHA3_384_HMAC: {"44b79852cabcf3fe93d2fff55d2afe6a46c35b7ad1954ce0888de7b459b98272" +
		"2faf8b490e6b00e7bcabbd36f18443f5", "9398cd251deafe8b",
		"8968d5e0f3d170c0d1977c7df67a3ec0bb637b19ee73150f84d35c8da9dd02fd" +
			"bf563c5737834edf790765ba2b478ef0"},
	ck.CKM_SHA3_512_HMAC: {"dd4e05933d09711ee88cb4c1ceb3600b2b33808bc08d499387b331d9c7af49bc" +
		"65b55172cf8083385a940e4b864b7b4b73ddf3bd513a6cbcac73878a879b4d06", "66948029351432c3",
		"88db64f580e7e2bcf9329007e2831c6764541331679ea4493b24507dc72a3f9a" +
			"c8fb5dac7e08799d139f74a0c163cf0456552ff12d14785f3deb29278c3ba679"},
}

// The key "Jefe" and the message "what do ya want for nothing?".
const (
	jefe        = "4a656665"
	jefeMessage = "7768617420646f2079612077616e7420666f72206e6f7468696e673f"
)
