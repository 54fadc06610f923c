package engine

import (
	"crypto/sha3"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// SHAKE128 and SHAKE256 (FIPS 202): as digests, by numbers of our own because
// the standard has none, and as derivations of keys (PKCS#11 v3.1 section
// 6.32).

// shake is one of the two functions.
type shake struct {
	digest, derive ck.MechanismType
	new            func() *sha3.SHAKE
	// size is the length of a digest where the caller asks for none: that
	// with the full strength against collisions.
	size int
	abc  string
}

var shakes = []shake{
	{ck.CKM_SHAKE_128, ck.CKM_SHAKE_128_KEY_DERIVATION, sha3.NewSHAKE128, 32,
		"5881092dd818bf5cf8a3ddb793fbcba74097d5c526a6d35f97b83351940f2cc8"},
	{ck.CKM_SHAKE_256, ck.CKM_SHAKE_256_KEY_DERIVATION, sha3.NewSHAKE256, 64,
		"483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739" +
			"d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4"},
}

func init() { later(shakeMechanisms) }

func shakeMechanisms() {
	for _, s := range shakes {
		register(
			&Mechanism{
				Type: s.digest, Param: uint64(0), Optional: true, FIPS: true,
				Digest:   s.begin,
				SelfTest: func() error { return testDigest(s.digest, nil, s.abc) },
				Vectors:  "FIPS 202 example values; libgcrypt",
			},
			&Mechanism{
				Type: s.derive, Keys: anySecretKey, Min: 1, Max: maxSecret,
				Derive:   s.deriveKey,
				SelfTest: func() error { return testDerive(s.derive, []byte("abc"), nil, s.abc) },
				Vectors:  "FIPS 202 example values; libgcrypt",
			},
		)
	}
}

// begin starts a digest. The parameter is its length in bytes.
func (s *shake) begin(p any) (Op, error) {
	if noParam(p) == nil {
		return &shakeOp{s.new(), s.size}, nil
	}
	n, ok := p.(uint64)
	if !ok || n < 1 || n > maxSecret {
		return nil, fmt.Errorf("the digest must be of 1 to %d bytes: %w", maxSecret, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return &shakeOp{s.new(), int(n)}, nil
}

// deriveKey digests the value of the base key to as many bytes as the template
// says; in contrast to other digests there is no length by itself.
func (s *shake) deriveKey(base *Key, p any, d *Derivation) ([]byte, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	x := s.new()
	x.Write(base.Value())
	out := make([]byte, n)
	x.Read(out)
	return out, nil
}

// shakeOp is a digest under way.
type shakeOp struct {
	x    *sha3.SHAKE
	size int
}

func (o *shakeOp) UpdateLen(int) int { return 0 }

func (o *shakeOp) Update(_, src []byte) (int, error) {
	o.x.Write(src)
	return 0, nil
}

func (o *shakeOp) FinishLen(int) (int, bool) { return o.size, true }

func (o *shakeOp) Finish(dst, src []byte) (int, error) {
	o.x.Write(src)
	return o.x.Read(dst[:o.size])
}

// Save implements Saver.
func (o *shakeOp) Save() ([]byte, error) { return o.x.MarshalBinary() }

// Load implements Saver.
func (o *shakeOp) Load(state []byte) error {
	if err := o.x.UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}
