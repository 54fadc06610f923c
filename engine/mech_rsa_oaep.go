package engine

import (
	"crypto/subtle"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// RSAES-OAEP (RFC 8017, section 7.1; PKCS#11 v3.1, section 6.1).

// OAEPParams is CK_RSA_PKCS_OAEP_PARAMS (PKCS#11 v3.1, section 6.1).
type OAEPParams struct {
	HashAlg    ck.MechanismType
	MGF        ck.MGF
	Source     ck.SourceType
	SourceData []byte `c:"ptr,len"`
}

func init() { later(rsaOaepMechanisms) }

func rsaOaepMechanisms() {
	register(approvedRSA(encapsulating(&Mechanism{
		Type:  ck.CKM_RSA_PKCS_OAEP,
		Param: (*OAEPParams)(nil),
		Keys:  rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Encrypt:  oaepEncrypt,
		Decrypt:  oaepDecrypt,
		Wrap:     wrapping(oaepEncrypt),
		Unwrap:   unwrapping(oaepDecrypt),
		Wrapped:  Wrapped{SecretOnly: true},
		Vectors:  "OpenSSL, evppkey_rsa_common.txt; Wycheproof; SHA-3 against OpenSSL",
		SelfTest: testOAEP,
	}), ck.CKM_RSA_PKCS_OAEP))
}

// oaep is the padding with its parameters.
type oaep struct {
	new, mgf func() hash.Hash
	label    []byte // its digest
}

func newOAEP(p any) (*oaep, error) {
	params, err := structParam[OAEPParams](p)
	if err != nil {
		return nil, err
	}
	h := shaFor(params.HashAlg)
	mgf, ok := mgfHash(params.MGF)
	if h == nil || !ok {
		return nil, fmt.Errorf("unknown hash or MGF for OAEP: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if err := params.checkSource(); err != nil {
		return nil, err
	}
	digest := h.new()
	digest.Write(params.SourceData)
	return &oaep{h.new, mgf, digest.Sum(nil)}, nil
}

// checkSource accepts data specified and, because some callers leave the field
// at zero, no data at all.
func (p *OAEPParams) checkSource() error {
	if p.Source == ck.CKZ_DATA_SPECIFIED || p.Source == 0 && len(p.SourceData) == 0 {
		return nil
	}
	return fmt.Errorf("unknown source of the OAEP label: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// maxLen is the longest message for a modulus of size bytes, negative if not
// even an empty one fits.
func (o *oaep) maxLen(size int) int { return size - 2*len(o.label) - 2 }

func (o *oaep) fits(size int) error {
	if o.maxLen(size) < 0 {
		return fmt.Errorf("RSA key too short for this OAEP hash: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	return nil
}

func oaepEncrypt(k *Key, p any) (Op, error) {
	o, err := newOAEP(p)
	if err != nil {
		return nil, err
	}
	pub, err := rsaPublic(k)
	if err != nil {
		return nil, err
	}
	size := pub.Size()
	if err := o.fits(size); err != nil {
		return nil, err
	}
	return &once{max: size, exact: true, run: func(dst, src []byte) (int, error) {
		if len(src) > o.maxLen(size) {
			return 0, ck.CKR_DATA_LEN_RANGE
		}
		em, err := o.pad(size, src)
		if err != nil {
			return 0, err
		}
		return size, publicRSA(pub, dst[:size], em, ck.CKR_DATA_INVALID)
	}}, nil
}

func oaepDecrypt(k *Key, p any) (Op, error) {
	o, err := newOAEP(p)
	if err != nil {
		return nil, err
	}
	priv, err := rsaPrivate(k)
	if err != nil {
		return nil, err
	}
	size := priv.Size()
	if err := o.fits(size); err != nil {
		return nil, err
	}
	return &once{max: o.maxLen(size), run: func(dst, src []byte) (int, error) {
		em := make([]byte, size)
		defer clear(em)
		if err := rsaOpen(priv, em, src); err != nil {
			return 0, err
		}
		return o.unpad(dst, em)
	}}, nil
}

// pad is EME-OAEP encoding: 0, masked seed, masked data block.
func (o *oaep) pad(size int, msg []byte) ([]byte, error) {
	hLen := len(o.label)
	em := make([]byte, size)
	seed, db := em[1:1+hLen], em[1+hLen:]
	copy(db, o.label)
	db[len(db)-len(msg)-1] = 1
	copy(db[len(db)-len(msg):], msg)
	if err := Random(seed); err != nil {
		return nil, err
	}
	mgf := o.mgf()
	mgf1XOR(db, mgf, seed)
	mgf1XOR(seed, mgf, db)
	return em, nil
}

// unpad copies the message of em to dst. All failures look alike, in their
// code and in time (Manger's attack).
func (o *oaep) unpad(dst, em []byte) (int, error) {
	hLen := len(o.label)
	seed, db := em[1:1+hLen], em[1+hLen:]
	mgf := o.mgf()
	mgf1XOR(seed, mgf, db)
	mgf1XOR(db, mgf, seed)

	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeCompare(db[:hLen], o.label)
	rest := db[hLen:]
	one, looking := 0, 1 // index of the 1 after the zeros
	for i, b := range rest {
		isZero := subtle.ConstantTimeByteEq(b, 0)
		isOne := subtle.ConstantTimeByteEq(b, 1)
		one = subtle.ConstantTimeSelect(looking&isOne, i, one)
		looking &^= isOne
		good &^= looking &^ isZero
	}
	good &^= looking
	if ct.Reveal(good) != 1 {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return copy(dst, rest[ct.Reveal(one)+1:]), nil
}
