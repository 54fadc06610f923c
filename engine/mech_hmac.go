package engine

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"sync/atomic"

	"golang.org/x/crypto/blake2b"

	"github.com/perilune/perilune/cryptoki/ck"
)

// HMAC (PKCS#11 v3.1 sections 6.20 to 6.32; FIPS 198-1, RFC 2104), and what goes
// by its name for BLAKE2b (sections 6.33 to 6.36).

// The shortest keys of HMAC in FIPS mode, in bytes (SP 800-131A, section 10).
const (
	hmacFIPSMin   = 112 / 8
	hmacLegacyMin = 80 / 8
)

func init() { later(hmacMechanisms) }

func hmacMechanisms() {
	for i := range hashFamilies {
		registerHMAC(&hashFamilies[i], familyMAC(i))
	}
	registerHMACSHA512T()
}

// familyMAC makes codes of n bytes with the hash function of a family.
func familyMAC(family int) func(k *Key, n int) (mac, error) {
	f := &hashFamilies[family]
	hash := findHash(f.digest)
	if f.keyed {
		return func(k *Key, n int) (mac, error) { return newKeyedBLAKE2b(k, hash.size, n) }
	}
	h := &hmacHash{index: family, hashFunction: hash}
	return func(k *Key, n int) (mac, error) { return newHMAC(h, k, n) }
}

func registerHMAC(f *hashFamily, newMAC func(k *Key, n int) (mac, error)) {
	size := findHash(f.digest).size
	full := func(k *Key, p any) (mac, error) {
		if err := noParam(p); err != nil {
			return nil, err
		}
		return newMAC(k, size)
	}
	general := func(k *Key, p any) (mac, error) {
		n, err := macGeneralLen(p, size)
		if err != nil {
			return nil, err
		}
		return newMAC(k, n)
	}
	test := func(t ck.MechanismType, p any, n int) func() error {
		if f.keyed {
			return testBLAKE2b
		}
		a := hmacAnswers[f.hmac]
		return func() error {
			return testMAC(t, secretKey(ck.CKK_GENERIC_SECRET, unhex(a.key)), p, a.message, a.code[:2*n])
		}
	}
	register(
		hmacRow(f, &Mechanism{
			Type:     f.hmac,
			Sign:     func(k *Key, p any) (Op, error) { return newSign(full(k, p)) },
			Verify:   func(k *Key, p any) (Verifier, error) { return newVerify(full(k, p)) },
			SelfTest: test(f.hmac, nil, size),
		}),
		hmacRow(f, &Mechanism{
			Type: f.general, Param: uint64(0),
			Sign:     func(k *Key, p any) (Op, error) { return newSign(general(k, p)) },
			Verify:   func(k *Key, p any) (Verifier, error) { return newVerify(general(k, p)) },
			SelfTest: test(f.general, uint64(10), 10),
		}),
	)
	if f.keyGen != 0 {
		m := hmacRow(f, hmacKeyGen(f.keyGen, f.key))
		if f.keyed {
			m.Generate = generateBLAKE2bKey
		}
		register(m)
	}
}

// hmacKeyGen is the row that makes keys for one HMAC.
func hmacKeyGen(t ck.MechanismType, key ck.KeyType) *Mechanism {
	return &Mechanism{
		Type: t, Makes: key,
		Generate: generateSecret, Vectors: formOnly,
		SelfTest: func() error { return testSecretGen(t) },
	}
}

// hmacRow completes a row with what those of a family have in common.
func hmacRow(f *hashFamily, m *Mechanism) *Mechanism {
	if m.Generate == nil {
		m.Keys = []ck.KeyType{ck.CKK_GENERIC_SECRET}
		if f.key != 0 {
			m.Keys = append(m.Keys, f.key)
		}
		m.Vectors = f.macVectors
	}
	m.Korean, m.Min, m.Max = f.korean, 1, maxSecret
	if f.keyed {
		m.Max = blake2b.Size
	}
	if f.fips {
		m.FIPS, m.FIPSMin, m.LegacyMin = true, hmacFIPSMin, hmacLegacyMin
	}
	m.Leaks = f.leaks
	return m
}

// registerHMACSHA512T adds the HMAC of SHA-512/t, whose parameter is t. There
// is no row for CKM_SHA512_T_HMAC_GENERAL: its parameter is the length of the
// code, and nothing says what t is.
func registerHMACSHA512T() {
	f := &hashFamily{key: ck.CKK_SHA512_T_HMAC, fips: true, macVectors: "Wycheproof"}
	makers := map[*hashFunction]func(*Key, int) (mac, error){}
	for i, g := range hashFamilies {
		if g.digest == ck.CKM_SHA512_224 || g.digest == ck.CKM_SHA512_256 {
			makers[findHash(g.digest)] = familyMAC(i)
		}
	}
	begin := func(k *Key, p any) (mac, error) {
		h, err := sha512T(p)
		if err != nil {
			return nil, err
		}
		return makers[h](k, h.size)
	}
	register(
		hmacRow(f, &Mechanism{
			Type: ck.CKM_SHA512_T_HMAC, Param: uint64(0),
			Sign:   func(k *Key, p any) (Op, error) { return newSign(begin(k, p)) },
			Verify: func(k *Key, p any) (Verifier, error) { return newVerify(begin(k, p)) },
			SelfTest: func() error {
				a := hmacAnswers[ck.CKM_SHA512_224_HMAC]
				return testMAC(ck.CKM_SHA512_T_HMAC, secretKey(f.key, unhex(a.key)), uint64(224), a.message, a.code)
			},
		}),
		hmacRow(f, hmacKeyGen(ck.CKM_SHA512_T_KEY_GEN, f.key)),
	)
}

// hmacHash is a hash function that HMAC uses.
type hmacHash struct {
	*hashFunction
	index int
	ended recycler[hmacOp]
}

// resumable is a hash that can be put into a state.
type resumable interface {
	hash.Hash
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// hmacKey holds the states of both hashes after they took in the padded key,
// so that a message costs two compressions less.
type hmacKey struct{ inner, outer []byte }

// hmacKeys holds these for every hash function that a key is used with.
type hmacKeys [len(hashFamilies)]atomic.Pointer[hmacKey]

func (h *hmacHash) parse(k *Key) (*hmacKey, error) {
	keys, err := Parsed(k, func(*Key) (*hmacKeys, error) { return new(hmacKeys), nil })
	if err != nil {
		return nil, err
	}
	if key := keys[h.index].Load(); key != nil {
		return key, nil
	}
	x, key := h.new().(resumable), new(hmacKey)
	if err := key.prepare(x, make([]byte, x.BlockSize()), k.Value()); err != nil {
		return nil, err
	}
	keys[h.index].Store(key)
	return key, nil
}

// prepare computes the states for a key, by a hash that is free, in a block of its
// that is all zeros before and after.
func (key *hmacKey) prepare(x resumable, block, value []byte) (err error) {
	if len(value) == 0 {
		return ck.CKR_KEY_SIZE_RANGE
	}
	defer x.Reset()
	defer clear(block)
	if len(value) > len(block) {
		x.Reset()
		x.Write(value)
		x.Sum(block[:0])
	} else {
		copy(block, value)
	}
	if key.inner, err = padState(key.inner[:0], x, block, 0x36); err != nil {
		return err
	}
	key.outer, err = padState(key.outer[:0], x, block, 0x36^0x5c)
	return err
}

// padState adds (XOR) pad to block and appends the state of x after it to state.
func padState(state []byte, x resumable, block []byte, pad byte) ([]byte, error) {
	for i := range block {
		block[i] ^= pad
	}
	x.Reset()
	x.Write(block)
	if a, ok := x.(encoding.BinaryAppender); ok {
		return a.AppendBinary(state)
	}
	return x.MarshalBinary()
}

// wipe keeps the memory.
func (key *hmacKey) wipe() {
	clear(key.inner)
	clear(key.outer)
}

// hmacOp is an HMAC under way. The states of both hashes are worth keeping for
// the next one.
type hmacOp struct {
	hash         *hmacHash
	inner, outer resumable
	key          *hmacKey // nil after the end
	len          int
	buf          [maxMAC]byte
}

func newHMAC(h *hmacHash, k *Key, n int) (mac, error) {
	key, err := h.parse(k)
	if err != nil {
		return nil, err
	}
	o := h.ended.get()
	if o.hash == nil {
		o.hash, o.inner, o.outer = h, h.new().(resumable), h.new().(resumable)
	}
	o.begin(key, n)
	return o, nil
}

// begin starts a code of n bytes.
func (o *hmacOp) begin(key *hmacKey, n int) {
	if err := o.inner.UnmarshalBinary(key.inner); err != nil {
		panic(err) // the state is from MarshalBinary of the same hash
	}
	o.key, o.len = key, n
}

// wipe makes o forget the key and the message.
func (o *hmacOp) wipe() {
	wipeHash(o.inner)
	wipeHash(o.outer)
	clear(o.buf[:])
	o.key = nil
}

// Release implements Releaser.
func (o *hmacOp) Release() {
	o.inner.Reset()
	o.outer.Reset()
	clear(o.buf[:])
	o.key = nil
	o.hash.ended.put(o)
}

func (o *hmacOp) write(src []byte) error {
	if o.key == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	o.inner.Write(src)
	return nil
}

func (o *hmacOp) size() int { return o.len }

func (o *hmacOp) sum(dst []byte) []byte {
	if err := o.outer.UnmarshalBinary(o.key.outer); err != nil {
		panic(err) // the state is from MarshalBinary of the same hash
	}
	o.key = nil
	o.outer.Write(o.inner.Sum(o.buf[:0]))
	return append(dst, o.outer.Sum(o.buf[:0])[:o.len]...)
}

func (o *hmacOp) save() ([]byte, error) {
	if o.key == nil {
		return nil, ck.CKR_OPERATION_NOT_INITIALIZED
	}
	return o.inner.MarshalBinary()
}

func (o *hmacOp) load(state []byte) error {
	if o.key == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	if err := o.inner.UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}

// keyedBLAKE2b is BLAKE2b with a key (RFC 7693, section 2.9). Its state cannot
// be saved.
type keyedBLAKE2b struct {
	hash.Hash
	len int
}

func newKeyedBLAKE2b(k *Key, size, n int) (mac, error) {
	v := k.Value()
	if len(v) < 1 || len(v) > blake2b.Size {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	h, err := blake2b.New(size, v)
	if err != nil {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return &keyedBLAKE2b{h, n}, nil
}

func (b *keyedBLAKE2b) write(src []byte) error {
	b.Write(src)
	return nil
}

func (b *keyedBLAKE2b) size() int { return b.len }

func (b *keyedBLAKE2b) sum(dst []byte) []byte {
	var buf [blake2b.Size]byte
	return append(dst, b.Sum(buf[:0])[:b.len]...)
}

// generateBLAKE2bKey makes a random key that is not too long for BLAKE2b.
func generateBLAKE2bKey(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	n, err := valueLen(template)
	if err == nil && n > blake2b.Size {
		err = fmt.Errorf("a key of BLAKE2b has at most %d bytes: %w", blake2b.Size, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	if err != nil {
		return nil, err
	}
	return generateSecret(p, template)
}

// testBLAKE2b is the self-test of RFC 7693, appendix E: the digest of digests
// and codes of all four sizes.
func testBLAKE2b() error {
	const want = "c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475"
	all := findHash(ck.CKM_BLAKE2B_256).new()
	for _, f := range hashFamilies {
		if !f.keyed {
			continue
		}
		size := findHash(f.digest).size
		for _, n := range []int{0, 3, 128, 129, 255, 1024} {
			message := blake2bTestData(n, uint32(n))
			op, err := Find(f.digest).Digest(nil)
			digest, err := runOp(op, err, message)
			if err != nil {
				return err
			}
			key := secretKey(ck.CKK_GENERIC_SECRET, blake2bTestData(size, uint32(size)))
			op, err = Find(f.general).Sign(key, uint64(size))
			code, err := runOp(op, err, message)
			if err != nil {
				return err
			}
			v, err := Find(f.hmac).Verify(key, nil)
			if err != nil {
				return err
			}
			if err := v.Verify(message, code); err != nil {
				return err
			}
			all.Write(digest)
			all.Write(code)
		}
	}
	if hex.EncodeToString(all.Sum(nil)) != want {
		return errSelfTest(ck.CKM_BLAKE2B_512_HMAC)
	}
	return nil
}

// blake2bTestData is the sequence of that appendix.
func blake2bTestData(n int, seed uint32) []byte {
	a, b := 0xdead4bad*seed, uint32(1)
	out := make([]byte, n)
	for i := range out {
		a, b = b, a+b
		out[i] = byte(b >> 24)
	}
	return out
}

// hmacAnswers are test case 2 of RFC 2202, sections 2 and 3, of RFC 2286, and of
// RFC 4231, section 4.3; for MD2 the answer of Bouncy Castle's HMacTest, for
// HAS-160 that of the project crypto-api, and for the others case 9 or 10 ("short message") of Wycheproof's hmac_*_test.json.
var hmacAnswers = map[ck.MechanismType]struct{ key, message, code string }{
	ck.CKM_MD2_HMAC: {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		"dc1923ef5f161d35bef839ca8c807808"},
	ck.CKM_MD5_HMAC:       {jefe, jefeMessage, "750c783e6ab0b503eaa86e310a5db738"},
	ck.CKM_RIPEMD128_HMAC: {jefe, jefeMessage, "875f828862b6b334b427c55f9f7ff09b"},
	ck.CKM_RIPEMD160_HMAC: {jefe, jefeMessage, "dda6c0213a485a9e24f4742064a7f033b43c4069"},
	ck.CKM_SHA_1_HMAC:     {jefe, jefeMessage, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
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
	ck.CKM_HAS160_HMAC: {jefe, jefeMessage, "a74547c1ef0aa147c7428ab7e71664549be2a412"},
	ck.CKM_SM3_HMAC: {"233e4fdee70bcc20235b6977ddfc05b0df66f5635d827c66e5a63cdb16a24938", "fdb2ee4b6d1a0ac2",
		"6c72360f97cb252a3e673afd51402845f04cc7e41ebbfc0821e7ce77adbb4f0d"},
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
