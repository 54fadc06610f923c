package engine

import (
	"fmt"

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
			s, err := newPSSSigner(k, p, h)
			if err != nil {
				return nil, err
			}
			return newHashedOp(s.h.start(), s.priv.Size(), s), nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			c, err := newPSSChecker(k, p, h)
			if err != nil {
				return nil, err
			}
			return newHashedVerifier(c.h.start(), c), nil
		},
		Vectors:  pssVectors,
		SelfTest: func() error { return testPSS(m, h) },
	}
}

func pssSign(k *Key, p any) (Op, error) { return opOf(newPSSSigner(k, p, anyHash)) }

func pssVerify(k *Key, p any) (Verifier, error) { return verifierOf(newPSSChecker(k, p, anyHash)) }

// pssSigner signs digests: an Op, and what signs of the rows with a hash.
type pssSigner struct {
	onePart
	pss
	priv *rsaPrivateKey
}

var pssSigners recycler[pssSigner]

func newPSSSigner(k *Key, p any, h ck.MechanismType) (*pssSigner, error) {
	priv, err := rsaPrivate(k)
	if err != nil {
		return nil, err
	}
	s := pssSigners.get()
	s.priv = priv
	if err := s.init(p, h, priv.Bits()); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

// Release implements Releaser.
func (s *pssSigner) Release() {
	*s = pssSigner{}
	pssSigners.put(s)
}

func (s *pssSigner) FinishLen(int) (int, bool) { return s.priv.Size(), true }

func (s *pssSigner) Finish(dst, src []byte) (int, error) {
	if len(src) != s.h.size {
		return 0, ck.CKR_DATA_LEN_RANGE
	}
	return s.sign(dst, src)
}

// pssChecker verifies signatures of digests, as pssSigner makes them.
type pssChecker struct {
	pss
	pub *rsacore.PublicKey
}

var pssCheckers recycler[pssChecker]

func newPSSChecker(k *Key, p any, h ck.MechanismType) (*pssChecker, error) {
	pub, err := rsaPublic(k)
	if err != nil {
		return nil, err
	}
	c := pssCheckers.get()
	c.pub = pub
	if err := c.init(p, h, pub.Bits()); err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// Release implements Releaser.
func (c *pssChecker) Release() {
	*c = pssChecker{}
	pssCheckers.put(c)
}

func (*pssChecker) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (c *pssChecker) Verify(src, sig []byte) error {
	if len(src) != c.h.size {
		return ck.CKR_DATA_LEN_RANGE
	}
	return c.verify(src, sig)
}

// anyHash stands for the hash that the parameter names.
const anyHash = ^ck.MechanismType(0)

// pss is the encoding EMSA-PSS (RFC 8017, section 9.1) with its parameters.
type pss struct {
	h, mgf *hashFunction
	sLen   int // of the salt
	emBits int
}

func (s *pss) init(p any, want ck.MechanismType, modBits int) error {
	params, err := structParam[PSSParams](p)
	if err != nil {
		return err
	}
	s.h, s.mgf = shaFor(params.HashAlg), mgfHash(params.MGF)
	if s.h == nil || s.mgf == nil || want != anyHash && params.HashAlg != want {
		return fmt.Errorf("wrong hash or MGF for PSS: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s.emBits = modBits - 1
	room := s.emLen() - s.h.size - 2
	if room < 0 {
		return fmt.Errorf("RSA key too short for this PSS hash: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	if params.SaltLen > uint64(room) {
		return fmt.Errorf("PSS salt longer than %d bytes: %w", room, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s.sLen = int(params.SaltLen)
	return nil
}

// emLen is the length of an encoded message: one less than the modulus where
// that has one bit more than whole bytes.
func (s *pss) emLen() int { return (s.emBits + 7) / 8 }

// mask keeps the bits of the first byte that are in use.
func (s *pss) mask() byte { return 0xff >> (8*s.emLen() - s.emBits) }

// sign makes a signature; its encoded message and salt can be told from it.
func (s *pssSigner) sign(dst, digest []byte) (int, error) {
	b, c := rsaScratch.get(), rsaScratch.get()
	defer rsaScratch.put(b)
	defer rsaScratch.put(c)
	salt := c[:s.sLen]
	if err := Random(salt); err != nil {
		return 0, err
	}
	em := b[:s.emLen()]
	s.encode(em, digest, salt)
	size := s.priv.Size()
	return size, privateRSA(s.priv, dst[:size], em, ck.CKR_DATA_INVALID)
}

// encode makes em masked data block, H, 0xbc; the data block is zeros, 1, salt.
func (s *pss) encode(em, digest, salt []byte) {
	db, h := s.split(em)
	em[len(em)-1] = 0xbc
	x := s.h.start()
	defer x.release()
	copy(h, s.hash(x, digest, salt))
	clear(db)
	db[len(db)-s.sLen-1] = 1
	copy(db[len(db)-s.sLen:], salt)
	s.unmask(db, h)
}

// unmask adds (XOR) the mask that h makes to a data block, or takes it off.
func (s *pss) unmask(db, h []byte) {
	mgf := s.mgf.start()
	defer mgf.release()
	mgf1XOR(db, mgf, h)
	db[0] &= s.mask()
}

// split returns the data block and the hash of an encoded message.
func (s *pss) split(em []byte) (db, h []byte) {
	at := len(em) - s.h.size - 1
	return em[:at], em[at : len(em)-1 : len(em)-1]
}

// hash is the hash of eight zeros, digest and salt, in x.
func (s *pss) hash(x *hasher, digest, salt []byte) []byte {
	x.Write(nothing[:8])
	x.Write(digest)
	x.Write(salt)
	return x.sum()
}

func (c *pssChecker) verify(digest, sig []byte) error {
	b := rsaScratch.get()
	defer rsaScratch.put(b)
	m := b[:c.pub.Size()]
	if err := rsaRecover(c.pub, m, sig); err != nil {
		return err
	}
	over := len(m) - c.emLen()
	if !allZero(m[:over]) || !c.check(m[over:], digest) {
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
	s.unmask(db, h)
	zeros := len(db) - s.sLen - 1
	if !allZero(db[:zeros]) || db[zeros] != 1 {
		return false
	}
	x := s.h.start()
	defer x.release()
	return string(s.hash(x, digest, db[zeros+1:])) == string(h)
}
