package engine

import (
	"crypto/subtle"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/rsacore"
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
	h, mgf *hashFunction
	buf    [64]byte // the digest of the label
}

func newOAEP(p any) (*oaep, error) {
	o := new(oaep)
	return o, o.init(p)
}

func (o *oaep) init(p any) error {
	params, err := structParam[OAEPParams](p)
	if err != nil {
		return err
	}
	o.h, o.mgf = shaFor(params.HashAlg), mgfHash(params.MGF)
	if o.h == nil || o.mgf == nil {
		return fmt.Errorf("unknown hash or MGF for OAEP: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if err := params.checkSource(); err != nil {
		return err
	}
	x := o.h.start()
	defer x.release()
	x.Write(params.SourceData)
	copy(o.buf[:], x.sum())
	return nil
}

// label is the digest of the label.
func (o *oaep) label() []byte { return o.buf[:o.h.size] }

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
func (o *oaep) maxLen(size int) int { return size - 2*o.h.size - 2 }

func (o *oaep) fits(size int) error {
	if o.maxLen(size) < 0 {
		return fmt.Errorf("RSA key too short for this OAEP hash: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	return nil
}

// oaepSealer encrypts.
type oaepSealer struct {
	onePart
	oaep
	pub *rsacore.PublicKey
}

var oaepSealers recycler[oaepSealer]

func oaepEncrypt(k *Key, p any) (Op, error) {
	s := oaepSealers.get()
	if err := s.begin(k, p); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

func (s *oaepSealer) begin(k *Key, p any) (err error) {
	if err = s.init(p); err != nil {
		return err
	}
	if s.pub, err = rsaPublic(k); err != nil {
		return err
	}
	return s.fits(s.pub.Size())
}

// Release implements Releaser.
func (s *oaepSealer) Release() {
	*s = oaepSealer{}
	oaepSealers.put(s)
}

func (s *oaepSealer) FinishLen(int) (int, bool) { return s.pub.Size(), true }

func (s *oaepSealer) Finish(dst, src []byte) (int, error) {
	size := s.pub.Size()
	if len(src) > s.maxLen(size) {
		return 0, ck.CKR_DATA_LEN_RANGE
	}
	b := rsaScratch.get()
	defer putSecret(b, size)
	em := b[:size]
	if err := s.pad(em, src); err != nil {
		return 0, err
	}
	return size, publicRSA(s.pub, dst[:size], em, ck.CKR_DATA_INVALID)
}

// oaepOpener decrypts.
type oaepOpener struct {
	onePart
	oaep
	priv *rsaPrivateKey
}

var oaepOpeners recycler[oaepOpener]

func oaepDecrypt(k *Key, p any) (Op, error) {
	o := oaepOpeners.get()
	if err := o.begin(k, p); err != nil {
		o.Release()
		return nil, err
	}
	return o, nil
}

func (o *oaepOpener) begin(k *Key, p any) (err error) {
	if err = o.init(p); err != nil {
		return err
	}
	if o.priv, err = rsaPrivate(k); err != nil {
		return err
	}
	return o.fits(o.priv.Size())
}

// Release implements Releaser.
func (o *oaepOpener) Release() {
	*o = oaepOpener{}
	oaepOpeners.put(o)
}

func (o *oaepOpener) FinishLen(int) (int, bool) { return o.maxLen(o.priv.Size()), false }

func (o *oaepOpener) Finish(dst, src []byte) (int, error) {
	size := o.priv.Size()
	b := rsaScratch.get()
	defer putSecret(b, size)
	em := b[:size]
	if err := rsaOpen(o.priv, em, src); err != nil {
		return 0, err
	}
	return o.unpad(dst, em)
}

// pad makes em, of the modulus's length, the EME-OAEP encoding: 0, masked seed,
// masked data block.
func (o *oaep) pad(em, msg []byte) error {
	em[0] = 0
	seed, db := em[1:1+o.h.size], em[1+o.h.size:]
	clear(db)
	copy(db, o.label())
	db[len(db)-len(msg)-1] = 1
	copy(db[len(db)-len(msg):], msg)
	if err := Random(seed); err != nil {
		return err
	}
	mgf := o.mgf.start()
	defer mgf.release()
	mgf1XOR(db, mgf, seed)
	mgf1XOR(seed, mgf, db)
	return nil
}

// unpad copies the message of em to dst. All failures look alike, in their
// code and in time (Manger's attack).
func (o *oaep) unpad(dst, em []byte) (int, error) {
	hLen := o.h.size
	seed, db := em[1:1+hLen], em[1+hLen:]
	mgf := o.mgf.start()
	defer mgf.release()
	mgf1XOR(seed, mgf, db)
	mgf1XOR(db, mgf, seed)

	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeCompare(db[:hLen], o.label())
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
