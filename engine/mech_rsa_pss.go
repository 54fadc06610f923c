package engine

import (
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// RSASSA-PSS (RFC 8017, section 8.1; PKCS#11 v3.1, section 6.1).

// PSSParams is CK_RSA_PKCS_PSS_PARAMS (PKCS#11 v3.1, section 6.1).
type PSSParams struct {
	HashAlg ck.MechanismType
	MGF     ck.MGF
	SaltLen uint64
}

func init() { later(rsaPssMechanisms) }

func rsaPssMechanisms() {
	register(approvedRSA(&Mechanism{
		Type:  ck.CKM_RSA_PKCS_PSS,
		Param: (*PSSParams)(nil),
		Keys:  rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Approve:  approvePSS,
		Sign:     pssSign,
		Verify:   pssVerify,
		Vectors:  pssVectors,
		SelfTest: testRawPSS,
	}, ck.CKM_RSA_PKCS_PSS))
	for m, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_SHA1_RSA_PKCS_PSS:     ck.CKM_SHA_1,
		ck.CKM_SHA224_RSA_PKCS_PSS:   ck.CKM_SHA224,
		ck.CKM_SHA256_RSA_PKCS_PSS:   ck.CKM_SHA256,
		ck.CKM_SHA384_RSA_PKCS_PSS:   ck.CKM_SHA384,
		ck.CKM_SHA512_RSA_PKCS_PSS:   ck.CKM_SHA512,
		ck.CKM_SHA3_224_RSA_PKCS_PSS: ck.CKM_SHA3_224,
		ck.CKM_SHA3_256_RSA_PKCS_PSS: ck.CKM_SHA3_256,
		ck.CKM_SHA3_384_RSA_PKCS_PSS: ck.CKM_SHA3_384,
		ck.CKM_SHA3_512_RSA_PKCS_PSS: ck.CKM_SHA3_512,
	} {
		register(approvedRSA(pssHashRow(m, h), h))
	}
}

const pssVectors = "Wycheproof; NIST CAVP SigVerPSS; SHA-3 against OpenSSL"

// pssMinBits is the shortest of the usual key sizes that a hash fits into.
func pssMinBits(h ck.MechanismType) uint64 {
	switch size := findHash(h).size; {
	case size > 48:
		return 1024
	case size > 20:
		return 512
	}
	return rsaMinBits
}

// pssHashRow is PSS of a message whose digest the mechanism h makes; the
// parameter must name the same.
func pssHashRow(m, h ck.MechanismType) *Mechanism {
	return &Mechanism{
		Type:  m,
		Param: (*PSSParams)(nil),
		Keys:  rsaKeys, Min: pssMinBits(h), Max: rsaMaxBits,
		Approve: approvePSS,
		Sign: func(k *Key, p any) (Op, error) {
			s, priv, err := pssSigner(k, p, h)
			if err != nil {
				return nil, err
			}
			return &hashedOp{hashed: hashed{h: s.new()}, size: priv.Size(), sign: func(dst, digest []byte) (int, error) {
				return s.sign(priv, dst, digest)
			}}, nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			s, pub, err := pssChecker(k, p, h)
			if err != nil {
				return nil, err
			}
			return &hashedVerifier{hashed: hashed{h: s.new()}, verify: func(digest, sig []byte) error {
				return s.verify(pub, digest, sig)
			}}, nil
		},
		Vectors:  pssVectors,
		SelfTest: func() error { return testPSS(m, h) },
	}
}

func pssSign(k *Key, p any) (Op, error) {
	s, priv, err := pssSigner(k, p, anyHash)
	if err != nil {
		return nil, err
	}
	return &once{max: priv.Size(), exact: true, run: func(dst, src []byte) (int, error) {
		if len(src) != s.hLen {
			return 0, ck.CKR_DATA_LEN_RANGE
		}
		return s.sign(priv, dst, src)
	}}, nil
}

func pssVerify(k *Key, p any) (Verifier, error) {
	s, pub, err := pssChecker(k, p, anyHash)
	if err != nil {
		return nil, err
	}
	return onceVerifier(func(src, sig []byte) error {
		if len(src) != s.hLen {
			return ck.CKR_DATA_LEN_RANGE
		}
		return s.verify(pub, src, sig)
	}), nil
}

func pssSigner(k *Key, p any, h ck.MechanismType) (*pss, *rsaPrivateKey, error) {
	priv, err := rsaPrivate(k)
	if err != nil {
		return nil, nil, err
	}
	s, err := newPSS(p, h, priv.Bits())
	return s, priv, err
}

func pssChecker(k *Key, p any, h ck.MechanismType) (*pss, *rsacore.PublicKey, error) {
	pub, err := rsaPublic(k)
	if err != nil {
		return nil, nil, err
	}
	s, err := newPSS(p, h, pub.Bits())
	return s, pub, err
}

// anyHash stands for the hash that the parameter names.
const anyHash = ^ck.MechanismType(0)

// pss is the encoding EMSA-PSS (RFC 8017, section 9.1) with its parameters.
type pss struct {
	new, mgf   func() hash.Hash
	hLen, sLen int
	emBits     int
}

func newPSS(p any, want ck.MechanismType, modBits int) (*pss, error) {
	params, err := structParam[PSSParams](p)
	if err != nil {
		return nil, err
	}
	h := shaFor(params.HashAlg)
	mgf, ok := mgfHash(params.MGF)
	if h == nil || !ok || want != anyHash && params.HashAlg != want {
		return nil, fmt.Errorf("wrong hash or MGF for PSS: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s := &pss{new: h.new, mgf: mgf, hLen: h.size, emBits: modBits - 1}
	room := s.emLen() - s.hLen - 2
	if room < 0 {
		return nil, fmt.Errorf("RSA key too short for this PSS hash: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	if params.SaltLen > uint64(room) {
		return nil, fmt.Errorf("PSS salt longer than %d bytes: %w", room, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s.sLen = int(params.SaltLen)
	return s, nil
}

// emLen is the length of an encoded message: one less than the modulus where
// that has one bit more than whole bytes.
func (s *pss) emLen() int { return (s.emBits + 7) / 8 }

// mask keeps the bits of the first byte that are in use.
func (s *pss) mask() byte { return 0xff >> (8*s.emLen() - s.emBits) }

func (s *pss) sign(priv *rsaPrivateKey, dst, digest []byte) (int, error) {
	salt := make([]byte, s.sLen)
	if err := Random(salt); err != nil {
		return 0, err
	}
	size := priv.Size()
	return size, privateRSA(priv, dst[:size], s.encode(digest, salt), ck.CKR_DATA_INVALID)
}

// encode returns masked data block, H, 0xbc; the data block is zeros, 1, salt.
func (s *pss) encode(digest, salt []byte) []byte {
	em := make([]byte, s.emLen())
	db, h := s.split(em)
	em[len(em)-1] = 0xbc
	s.hash(h[:0], digest, salt)
	db[len(db)-s.sLen-1] = 1
	copy(db[len(db)-s.sLen:], salt)
	mgf1XOR(db, s.mgf(), h)
	db[0] &= s.mask()
	return em
}

// split returns the data block and the hash of an encoded message.
func (s *pss) split(em []byte) (db, h []byte) {
	at := len(em) - s.hLen - 1
	return em[:at], em[at : len(em)-1 : len(em)-1]
}

// hash appends the hash of eight zeros, digest and salt to dst.
func (s *pss) hash(dst, digest, salt []byte) []byte {
	h := s.new()
	h.Write(make([]byte, 8))
	h.Write(digest)
	h.Write(salt)
	return h.Sum(dst)
}

func (s *pss) verify(pub *rsacore.PublicKey, digest, sig []byte) error {
	m := make([]byte, pub.Size())
	if err := rsaRecover(pub, m, sig); err != nil {
		return err
	}
	over := len(m) - s.emLen()
	if !allZero(m[:over]) || !s.check(m[over:], digest) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// check is EMSA-PSS-VERIFY for exactly the salt length of the parameters.
func (s *pss) check(em, digest []byte) bool {
	if em[len(em)-1] != 0xbc || em[0]&^s.mask() != 0 {
		return false
	}
	db, h := s.split(em)
	mgf1XOR(db, s.mgf(), h)
	db[0] &= s.mask()
	zeros := len(db) - s.sLen - 1
	if !allZero(db[:zeros]) || db[zeros] != 1 {
		return false
	}
	return string(s.hash(nil, digest, db[zeros+1:])) == string(h)
}
