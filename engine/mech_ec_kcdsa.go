package engine

import (
	"bytes"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
)

// EC-KCDSA (TTAK.KO-12.0015, ISO/IEC 14888-3), with numbers of our own. A
// signature is r, as long as a digest or as the order of the curve, whichever is
// shorter, and s, as long as the order.
//
// Keys are those of other mechanisms on curves. In the standard the public point
// is that of the inverse of the private value d; so CKA_VALUE, whose point is the
// public one, is the inverse of d, and d that of CKA_VALUE. Before the message
// goes the start of the point, as much as a block of the hash function.

func init() { later(ecKcdsaMechanisms) }

func ecKcdsaMechanisms() {
	for t, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_EC_KCDSA_SHA224: ck.CKM_SHA224,
		ck.CKM_EC_KCDSA_SHA256: ck.CKM_SHA256,
		ck.CKM_EC_KCDSA_SHA384: ck.CKM_SHA384,
		ck.CKM_EC_KCDSA_SHA512: ck.CKM_SHA512,
	} {
		f := ecKCDSA{findHash(h).new}
		vectors := "EC-KCDSA and the hash function have their own"
		if h == ck.CKM_SHA224 || h == ck.CKM_SHA256 {
			vectors = "TTAK.KO-12.0015/R3 annex II"
		}
		register(notApproved(ecRow(&Mechanism{
			Type: t, Korean: true, Vectors: vectors,
			Sign: f.sign, Verify: f.verify,
			SelfTest: func() error { return testECKCDSA(t, h, f) },
		})))
	}
}

// ecKCDSA is EC-KCDSA with a hash function.
type ecKCDSA struct{ newHash func() hash.Hash }

// ecKCDSAKey is a key ready to use.
type ecKCDSAKey struct {
	group   group
	n       *scalarField
	point   []byte
	private *ecdsaPrivateKey // nil for a public key
	d       mont.Element     // of a private key
}

func parseECKCDSA(k *Key, p any) (*ecKCDSAKey, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, newECKCDSAKey)
}

func newECKCDSAKey(k *Key) (*ecKCDSAKey, error) {
	c, err := parseCurve(k)
	if err != nil {
		return nil, err
	}
	if c.group == nil {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, err
	}
	key := &ecKCDSAKey{group: c.group(), point: point}
	if key.n, err = newScalarField(key.group); err != nil {
		return nil, fmt.Errorf("unusable curve: %w", ck.CKR_CURVE_NOT_SUPPORTED)
	}
	if k.Class != ck.CKO_PRIVATE_KEY {
		return key, nil
	}
	value, err := c.privateValue(k.Value())
	if err != nil {
		return nil, err
	}
	if key.private, err = newECDSAPrivateKey(key.group, value); err != nil {
		return nil, errUnusablePrivate
	}
	key.n.Invert(&key.d, &key.private.d)
	return key, nil
}

// start is the digest of a message, with the start of the point, filled up with
// zeros, before it.
func (f ecKCDSA) start(key *ecKCDSAKey) *hasher {
	h := f.newHash()
	block := make([]byte, h.BlockSize())
	copy(block, key.point[1:])
	h.Write(block)
	return &hasher{Hash: h}
}

// half is the length of r.
func (f ecKCDSA) half(key *ecKCDSAKey) int { return min(f.newHash().Size(), len(key.n.order)) }

func (f ecKCDSA) sign(k *Key, p any) (Op, error) {
	key, err := parseECKCDSA(k, p)
	if err != nil {
		return nil, err
	}
	if key.private == nil {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return newHashedOp(f.start(key), f.half(key)+len(key.n.order), signFunc(func(dst, digest []byte) (int, error) {
		var nonces hedgedNonces
		nonces.init(key.private, digest)
		defer nonces.done()
		for nonce := make([]byte, len(key.n.order)); ; {
			if nonces.next(nonce) != nil {
				return 0, errSign
			}
			if sig, ok := f.signature(key, nonce, digest); ok {
				return copy(dst, sig), nil
			}
		}
	})), nil
}

// signature is r = h(x) for the coordinate x of the nonce's point, and s = d (nonce
// - (r xor digest)) mod n.
func (f ecKCDSA) signature(key *ecKCDSAKey, nonce, digest []byte) ([]byte, bool) {
	point, ok := key.group.BaseMult(nonce)
	if !ok {
		return nil, false
	}
	r := f.witness(key, point)
	var e, s mont.Element
	key.n.Set(&e, f.mix(key, r, digest))
	key.n.Set(&s, nonce)
	key.n.Sub(&s, &s, &e)
	key.n.Mul(&s, &s, &key.d)
	clear(nonce)
	return append(r, key.n.bytes(&s)...), ct.Reveal(key.n.IsZero(&s)) == 0
}

// witness is the digest of the first coordinate, cut like all digests to its
// last bytes, as many as the order has.
func (f ecKCDSA) witness(key *ecKCDSAKey, point []byte) []byte {
	h := f.newHash()
	h.Write(point[1 : 1+len(point)/2])
	return f.cut(key, h.Sum(nil))
}

func (f ecKCDSA) cut(key *ecKCDSAKey, digest []byte) []byte {
	return digest[len(digest)-f.half(key):]
}

// mix is r xor the digest.
func (f ecKCDSA) mix(key *ecKCDSAKey, r, digest []byte) []byte {
	e := bytes.Clone(f.cut(key, digest))
	for i := range e {
		e[i] ^= r[i]
	}
	return e
}

func (f ecKCDSA) verify(k *Key, p any) (Verifier, error) {
	key, err := parseECKCDSA(k, p)
	if err != nil {
		return nil, err
	}
	return newHashedVerifier(f.start(key), verifyFunc(func(digest, sig []byte) error {
		if len(sig) != f.half(key)+len(key.n.order) {
			return ck.CKR_SIGNATURE_LEN_RANGE
		}
		if !f.isSignature(key, digest, sig[:f.half(key)], sig[f.half(key):]) {
			return ck.CKR_SIGNATURE_INVALID
		}
		return nil
	})), nil
}

func (f ecKCDSA) isSignature(key *ecKCDSAKey, digest, r, s []byte) bool {
	if !isScalar(key.group, s) {
		return false
	}
	var e mont.Element
	key.n.Set(&e, f.mix(key, r, digest))
	sum, ok := key.group.Combine(key.n.bytes(&e), s, key.point)
	return ok && bytes.Equal(r, f.witness(key, sum))
}
