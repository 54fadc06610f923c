package engine

import (
	"crypto/sha256"

	"github.com/perilune/perilune/cryptoki/ck"
)

// CKM_ECDSA_GBCS_SHA256 is the device's ECDSA for the Great Britain Companion
// Specification (GBCS) of smart meters, which wants SHA-256 and P-256. The
// signature is r and s of 32 bytes each, and takes a key of any curve of that
// size. What tells it from CKM_ECDSA_SHA256 is, by the account of its users,
// that it is deterministic; by which method is not published. Here it is that of
// RFC 6979 with SHA-256 and nothing added. To verify makes no difference.

func init() { later(ecGbcsMechanisms) }

func ecGbcsMechanisms() {
	m := notApproved(ecRow(&Mechanism{
		Type:    ck.CKM_ECDSA_GBCS_SHA256,
		Vectors: "RFC 6979 A.2.5",
		Sign: func(k *Key, p any) (Op, error) {
			s, err := gbcsPrivate(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedOp(findHash(ck.CKM_SHA256).start(), 64, s), nil
		},
		Verify:   ecdsaHashVerify(findHash(ck.CKM_SHA256)),
		SelfTest: testGBCS,
	}))
	m.Min, m.Max = 256, 256
	register(m)
}

// gbcsSigner signs deterministically, on all curves with our own arithmetic.
type gbcsSigner struct{ *ecdsaPrivateKey }

func gbcsPrivate(k *Key, p any) (*gbcsSigner, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*gbcsSigner, error) {
		c, value, err := parseECPrivate(k)
		if err != nil {
			return nil, err
		}
		if c.scalarSize() != 32 {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		own, err := newECDSAPrivateKey(c.group(), value)
		if err != nil {
			return nil, errUnusablePrivate
		}
		return &gbcsSigner{own}, nil
	})
}

func (s *gbcsSigner) sign(dst, digest []byte) (int, error) {
	return s.ecdsaPrivateKey.sign(dst, digest, s.deterministic(sha256.New, digest))
}
