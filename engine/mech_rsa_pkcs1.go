package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// RSA with the paddings of PKCS #1 version 1.5 (RFC 8017, sections 7.2 and
// 8.2; PKCS#11 v3.1, section 6.1).

func init() { later(rsaPkcs1Mechanisms) }

func rsaPkcs1Mechanisms() {
	register(approvedRSA(encapsulating(&Mechanism{
		Type: ck.CKM_RSA_PKCS, RSAPKCS: true,
		Keys: rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Encrypt:       pkcs1Encrypt,
		Decrypt:       pkcs1Decrypt,
		Sign:          pkcs1Sign,
		Verify:        pkcs1Verify,
		SignRecover:   pkcs1Sign,
		VerifyRecover: pkcs1VerifyRecover,
		Wrap:          wrapping(pkcs1Encrypt),
		Unwrap:        pkcs1Unwrap,
		Wrapped:       Wrapped{SecretOnly: true},
		Vectors:       "OpenSSL, evppkey_rsa_common.txt, with implicit rejection; Wycheproof",
		SelfTest:      testPKCS1,
	}), ck.CKM_RSA_PKCS))
	for m, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_SHA1_RSA_PKCS:     ck.CKM_SHA_1,
		ck.CKM_SHA224_RSA_PKCS:   ck.CKM_SHA224,
		ck.CKM_SHA256_RSA_PKCS:   ck.CKM_SHA256,
		ck.CKM_SHA384_RSA_PKCS:   ck.CKM_SHA384,
		ck.CKM_SHA512_RSA_PKCS:   ck.CKM_SHA512,
		ck.CKM_SHA3_224_RSA_PKCS: ck.CKM_SHA3_224,
		ck.CKM_SHA3_256_RSA_PKCS: ck.CKM_SHA3_256,
		ck.CKM_SHA3_384_RSA_PKCS: ck.CKM_SHA3_384,
		ck.CKM_SHA3_512_RSA_PKCS: ck.CKM_SHA3_512,
	} {
		row := pkcs1HashRow(m, findHash(h))
		row.Vectors = "Wycheproof; NIST CAVP SigVer15 (SHA-1, SHA-2)"
		register(approvedRSA(row, h))
	}
	for m, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_MD2_RSA_PKCS:       ck.CKM_MD2,
		ck.CKM_MD5_RSA_PKCS:       ck.CKM_MD5,
		ck.CKM_RIPEMD160_RSA_PKCS: ck.CKM_RIPEMD160,
	} {
		row := pkcs1HashRow(m, findHash(h))
		if row.Vectors = "Botan, rsa_sig.vec"; h == ck.CKM_MD2 {
			row.Vectors, row.Leaks = "RSA Laboratories, Some Examples of the PKCS Standards", sboxLeaks
		}
		register(row)
	}
}

func pkcs1HashRow(m ck.MechanismType, h *hashFunction) *Mechanism {
	return &Mechanism{
		Type: m,
		Keys: rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Sign: func(k *Key, p any) (Op, error) {
			priv, err := barePrivate(k, p)
			if err != nil {
				return nil, err
			}
			if err := pkcs1Room(priv.Size(), h); err != nil {
				return nil, err
			}
			s := pkcs1InfoSigners.get()
			*s = pkcs1InfoSigner{priv, h.info}
			return newHashedOp(h.start(), priv.Size(), s), nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			pub, err := barePublic(k, p)
			if err != nil {
				return nil, err
			}
			if err := pkcs1Room(pub.Size(), h); err != nil {
				return nil, err
			}
			v := pkcs1InfoVerifiers.get()
			*v = pkcs1InfoVerifier{pub, h.info}
			return newHashedVerifier(h.start(), v), nil
		},
		SelfTest: func() error { return testPKCS1Hash(m) },
	}
}

// pkcs1InfoSigner signs digests that follow a DigestInfo.
type pkcs1InfoSigner struct {
	priv *rsaPrivateKey
	info string
}

var pkcs1InfoSigners recycler[pkcs1InfoSigner]

// Release implements Releaser.
func (s *pkcs1InfoSigner) Release() {
	*s = pkcs1InfoSigner{}
	pkcs1InfoSigners.put(s)
}

func (s *pkcs1InfoSigner) sign(dst, digest []byte) (int, error) {
	return pkcs1SignInfo(s.priv, dst, s.info, digest)
}

// pkcs1InfoVerifier verifies them.
type pkcs1InfoVerifier struct {
	pub  *rsacore.PublicKey
	info string
}

var pkcs1InfoVerifiers recycler[pkcs1InfoVerifier]

// Release implements Releaser.
func (v *pkcs1InfoVerifier) Release() {
	*v = pkcs1InfoVerifier{}
	pkcs1InfoVerifiers.put(v)
}

func (v *pkcs1InfoVerifier) verify(digest, sig []byte) error {
	return pkcs1VerifyInfo(v.pub, v.info, digest, sig)
}

// pkcs1Overhead is the least padding: 0, type, eight bytes, 0.
const pkcs1Overhead = 11

// pkcs1Room refuses keys that are too short for signatures with h.
func pkcs1Room(size int, h *hashFunction) error {
	if size < pkcs1Overhead+len(h.info)+h.size {
		return fmt.Errorf("RSA key too short for this hash: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	return nil
}

// pkcs1SignInfo signs prefix and data, together the DigestInfo or whatever
// the caller of CKM_RSA_PKCS put in its place.
func pkcs1SignInfo(priv *rsaPrivateKey, dst []byte, prefix string, data []byte) (int, error) {
	b := rsaScratch.get()
	defer rsaScratch.put(b)
	em := b[:priv.Size()]
	if err := pkcs1Type1(em, prefix, data); err != nil {
		return 0, err
	}
	return len(em), privateRSA(priv, dst[:len(em)], em, ck.CKR_DATA_INVALID)
}

// pkcs1VerifyInfo makes the encoded message anew and compares: there is no
// parsing to be fooled.
func pkcs1VerifyInfo(pub *rsacore.PublicKey, prefix string, data, sig []byte) error {
	b, c := rsaScratch.get(), rsaScratch.get()
	defer rsaScratch.put(b)
	defer rsaScratch.put(c)
	em, m := b[:pub.Size()], c[:pub.Size()]
	if err := pkcs1Type1(em, prefix, data); err != nil {
		return err
	}
	if err := rsaRecover(pub, m, sig); err != nil {
		return err
	}
	if string(m) != string(em) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// rsaNumber is memory for a number as long as a modulus.
type rsaNumber [rsaMaxBits / 8]byte

// rsaScratch is memory for numbers, none of which is a secret when it is put there.
var rsaScratch recycler[rsaNumber]

// putSecret gives back memory whose first n bytes were a secret.
func putSecret(b *rsaNumber, n int) {
	clear(b[:n])
	rsaScratch.put(b)
}

// pkcs1Type1 makes em, of the modulus's length, EMSA-PKCS1-v1_5: 0, 1, 0xff...,
// 0, prefix, data.
func pkcs1Type1(em []byte, prefix string, data []byte) error {
	start := len(em) - len(prefix) - len(data)
	if start < pkcs1Overhead {
		return ck.CKR_DATA_LEN_RANGE
	}
	em[0], em[1], em[start-1] = 0, 1, 0
	for i := 2; i < start-1; i++ {
		em[i] = 0xff
	}
	copy(em[start:], prefix)
	copy(em[start+len(prefix):], data)
	return nil
}

// pkcs1Signer signs what the caller padded as far as the DigestInfo: an Op that
// has no state, and is kept with the key.
type pkcs1Signer struct {
	onePart
	priv *rsaPrivateKey
}

func (s *pkcs1Signer) FinishLen(int) (int, bool) { return s.priv.Size(), true }

func (s *pkcs1Signer) Finish(dst, src []byte) (int, error) {
	return pkcs1SignInfo(s.priv, dst, "", src)
}

func pkcs1Sign(k *Key, p any) (Op, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return opOf(Parsed(k, func(k *Key) (*pkcs1Signer, error) {
		priv, err := rsaPrivate(k)
		return &pkcs1Signer{priv: priv}, err
	}))
}

// pkcs1Verifier verifies such signatures; it has no state either.
type pkcs1Verifier struct{ pub *rsacore.PublicKey }

func (*pkcs1Verifier) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (v *pkcs1Verifier) Verify(src, sig []byte) error { return pkcs1VerifyInfo(v.pub, "", src, sig) }

func pkcs1Verify(k *Key, p any) (Verifier, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return verifierOf(Parsed(k, func(k *Key) (*pkcs1Verifier, error) {
		pub, err := rsaPublic(k)
		return &pkcs1Verifier{pub}, err
	}))
}

func pkcs1VerifyRecover(k *Key, p any) (Op, error) {
	pub, err := barePublic(k, p)
	if err != nil {
		return nil, err
	}
	max := pub.Size() - pkcs1Overhead
	return &once{max: max, run: func(dst, src []byte) (int, error) {
		em := make([]byte, pub.Size())
		if err := rsaRecover(pub, em, src); err != nil {
			return 0, err
		}
		if em[0] != 0 || em[1] != 1 {
			return 0, ck.CKR_SIGNATURE_INVALID
		}
		i := 2
		for i < len(em) && em[i] == 0xff {
			i++
		}
		if i < pkcs1Overhead-1 || i == len(em) || em[i] != 0 {
			return 0, ck.CKR_SIGNATURE_INVALID
		}
		return copy(dst, em[i+1:]), nil
	}}, nil
}

// pkcs1EncryptOp has no state and is kept with the key.
type pkcs1EncryptOp struct{ once }

func pkcs1Encrypt(k *Key, p any) (Op, error) {
	return keptBare(k, p, rsaPublic, func(pub *rsacore.PublicKey) *pkcs1EncryptOp {
		size := pub.Size()
		return &pkcs1EncryptOp{once{max: size, exact: true, run: func(dst, src []byte) (int, error) {
			b := rsaScratch.get()
			defer putSecret(b, size)
			em := b[:size]
			if err := pkcs1Type2(em, src); err != nil {
				return 0, err
			}
			return size, publicRSA(pub, dst[:size], em, ck.CKR_DATA_INVALID)
		}}}
	})
}

// pkcs1Type2 makes em 0, 2, eight random bytes other than zero or more, 0, data.
func pkcs1Type2(em, data []byte) error {
	start := len(em) - len(data)
	if start < pkcs1Overhead {
		return ck.CKR_DATA_LEN_RANGE
	}
	em[0], em[1], em[start-1] = 0, 2, 0
	copy(em[start:], data)
	return randomNonZero(em[2 : start-1])
}

// randomNonZero fills b with random bytes from 1 to 255.
func randomNonZero(b []byte) error {
	if err := Random(b); err != nil {
		return err
	}
	for i := range b {
		// That a byte was 0 tells nothing of the one that takes its place.
		for ct.Reveal(subtle.ConstantTimeByteEq(b[i], 0)) == 1 {
			if err := Random(b[i : i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejectionKey is what a private key adds to the messages that answer
// ciphertexts with a bad padding: a key of HMAC.
type rejectionKey struct{ hmacKey }

func pkcs1Rejection(k *Key, size int) (*rejectionKey, error) {
	return Parsed(k, func(k *Key) (*rejectionKey, error) {
		d := k.Bytes(ck.CKA_PRIVATE_EXPONENT)
		for len(d) > size {
			d = d[1:]
		}
		padded := append(make([]byte, size-len(d), size), d...)
		defer clear(padded)
		value := sha256.Sum256(padded)
		defer clear(value[:])
		key := new(rejectionKey)
		var block [sha256.BlockSize]byte
		return key, key.prepare(sha256.New().(resumable), block[:], value[:])
	})
}

// pkcs1Decrypt never tells a bad padding from a good one: instead of an error
// it returns bytes that depend on key and ciphertext, of a length that does
// so too (implicit rejection, draft-irtf-cfrg-rsa-guidance, as OpenSSL 3.2
// and NSS do). An error here, however carefully raised, would be the oracle
// that Bleichenbacher's attack needs, because whatever the caller does with
// it can be seen from outside. Callers that look for CKR_ENCRYPTED_DATA_INVALID
// to find out that a key is the wrong one do not get it; all protocols check
// what they decrypted in another way.
func pkcs1Decrypt(k *Key, p any) (Op, error) { return opOf(pkcs1Opener(k, p)) }

// pkcs1Unwrap is pkcs1Decrypt for keys.
func pkcs1Unwrap(k *Key, p any) (Op, error) {
	o, err := pkcs1Opener(k, p)
	if err != nil {
		return nil, err
	}
	own := *o
	return &pkcs1UnwrapOp{keyOp{&own, unwrapCodes}, &own}, nil
}

// Expecter is an Op of Unwrap that can be told how long the key is, before
// Finish. It is for mechanisms that must not show a padding gone wrong.
type Expecter interface {
	// Expect has Finish return n bytes, whatever comes.
	Expect(n int) error
}

// pkcs1UnwrapOp is an Expecter: with a length that is known beforehand, such as
// the 48 bytes of a premaster secret of TLS, there is not even a wrong length
// to be seen (RFC 8446's predecessor RFC 5246, section 7.4.7.1).
type pkcs1UnwrapOp struct {
	keyOp
	open *pkcs1Open
}

func (o *pkcs1UnwrapOp) Expect(n int) error {
	if n > o.open.priv.Size()-pkcs1Overhead {
		return ck.CKR_WRAPPED_KEY_LEN_RANGE
	}
	o.open.want = n
	return nil
}

// pkcs1Open is a decryption. It has no state but what Expect says; one that expects
// nothing is kept with the key.
type pkcs1Open struct {
	onePart
	priv      *rsaPrivateKey
	rejection *rejectionKey
	want      int // length of the message if not 0
}

func pkcs1Opener(k *Key, p any) (*pkcs1Open, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*pkcs1Open, error) {
		priv, err := rsaPrivate(k)
		if err != nil {
			return nil, err
		}
		rejection, err := pkcs1Rejection(k, priv.Size())
		return &pkcs1Open{priv: priv, rejection: rejection}, err
	})
}

func (o *pkcs1Open) FinishLen(int) (int, bool) {
	if o.want > 0 {
		return o.want, true
	}
	return o.priv.Size() - pkcs1Overhead, false
}

func (o *pkcs1Open) Finish(dst, src []byte) (int, error) {
	size := o.priv.Size()
	b := rsaScratch.get()
	defer putSecret(b, size)
	em := b[:size]
	if err := rsaOpen(o.priv, em, src); err != nil {
		return 0, err
	}
	r := startRejection(o.rejection, src)
	defer r.release()
	return pkcs1Unpad(dst, em, r, o.want), nil
}

// pkcs1Unpad copies the message of em, or the synthetic one if the padding is
// wrong, to dst and returns its length. A message of another length than want,
// unless that is 0, counts as a wrong padding. Apart from the length that it
// returns it is constant-time.
func pkcs1Unpad(dst, em []byte, r *rejection, want int) int {
	b := rsaScratch.get()
	defer putSecret(b, len(em))
	synthetic := b[:len(em)]
	r.fill(synthetic, labelMessage)

	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(em[1], 2)
	zero, looking := 0, 1 // index of the first zero byte after the type
	for i := 2; i < len(em); i++ {
		isZero := subtle.ConstantTimeByteEq(em[i], 0)
		zero = subtle.ConstantTimeSelect(looking&isZero, i, zero)
		looking &^= isZero
	}
	good &= subtle.ConstantTimeLessOrEq(pkcs1Overhead-1, zero) &^ looking

	n, other := len(em)-1-zero, r.syntheticLen(len(em))
	if want > 0 {
		good &= subtle.ConstantTimeEq(int32(n), int32(want))
		other = want
	}
	n = ct.Reveal(subtle.ConstantTimeSelect(good, n, other))
	subtle.ConstantTimeCopy(good, synthetic, em)
	return copy(dst, synthetic[len(em)-n:])
}

// syntheticLen is the length of the synthetic message: the last of 128
// candidates that is in range.
func (r *rejection) syntheticLen(size int) int {
	max := size - 2 - 8 // of the padded message, with its zero byte
	mask := 1<<bits.Len(uint(max)) - 1
	candidates := r.candidates[:]
	r.fill(candidates, labelLength)
	n := 0
	for i := 0; i < len(candidates); i += 2 {
		c := int(binary.BigEndian.Uint16(candidates[i:])) & mask
		n = subtle.ConstantTimeSelect(subtle.ConstantTimeLessOrEq(c, max-1), c, n)
	}
	return n
}

// rejection computes what answers one ciphertext if its padding is bad.
type rejection struct {
	mac        hmacOp  // HMAC-SHA-256
	key        hmacKey // of this ciphertext
	block      [sha256.BlockSize]byte
	kdk        [sha256.Size]byte
	number     [2]byte
	candidates [256]byte // see syntheticLen
}

var rejections recycler[rejection]

// startRejection derives the key of a ciphertext.
func startRejection(k *rejectionKey, ciphertext []byte) *rejection {
	r := rejections.get()
	if r.mac.inner == nil {
		r.mac.inner, r.mac.outer = sha256.New().(resumable), sha256.New().(resumable)
	}
	r.mac.begin(&k.hmacKey, sha256.Size)
	r.mac.inner.Write(ciphertext)
	kdk := r.mac.sum(r.kdk[:0])
	if err := r.key.prepare(r.mac.outer, r.block[:], kdk); err != nil {
		panic(err) // of an empty key
	}
	return r
}

func (r *rejection) release() {
	r.mac.wipe()
	r.key.wipe()
	clear(r.kdk[:])
	clear(r.candidates[:])
	rejections.put(r)
}

var labelMessage, labelLength = []byte("message"), []byte("length")

// fill fills dst with HMAC-SHA-256(key, counter || label || bits).
func (r *rejection) fill(dst, label []byte) {
	length := uint16(len(dst) * 8)
	for i := uint16(0); len(dst) > 0; i++ {
		r.mac.begin(&r.key, sha256.Size)
		r.write16(i)
		r.mac.inner.Write(label)
		r.write16(length)
		dst = dst[copy(dst, r.mac.sum(r.kdk[:0])):]
	}
}

func (r *rejection) write16(n uint16) {
	binary.BigEndian.PutUint16(r.number[:], n)
	r.mac.inner.Write(r.number[:])
}

// mgf1XOR adds (XOR) the output of MGF1 (RFC 8017, section B.2.1) to dst.
func mgf1XOR(dst []byte, h *hasher, seed []byte) {
	for i := uint32(0); len(dst) > 0; i++ {
		binary.BigEndian.PutUint32(h.counter[:], i)
		h.Reset()
		h.Write(seed)
		h.Write(h.counter[:])
		n := subtle.XORBytes(dst, dst, h.sum())
		dst = dst[n:]
	}
}
