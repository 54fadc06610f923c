package migrate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// A key is proven against a peer: a private key against its public key, a secret
// key against another object made of the same bytes. What one of them makes the
// other must accept. way is a way to do so; the object does what own says, or the
// other half of the pair, and the peer the rest.
type way struct {
	own, other ck.AttributeType
	said       string // of a proof by it
	// run makes with maker and checks with checker.
	run func(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error
	// maker is the half that makes something.
	maker ck.AttributeType
}

var (
	signing    = &way{ck.CKA_SIGN, ck.CKA_VERIFY, "signed and verified", signAndVerify, ck.CKA_SIGN}
	encrypting = &way{ck.CKA_DECRYPT, ck.CKA_ENCRYPT, "encrypted and decrypted", encryptAndDecrypt, ck.CKA_ENCRYPT}
	wrapping   = &way{ck.CKA_UNWRAP, ck.CKA_WRAP, "wrapped and unwrapped", wrapAndUnwrap, ck.CKA_WRAP}
	sealing    = &way{ck.CKA_DECAPSULATE, ck.CKA_ENCAPSULATE, "encapsulated and decapsulated", encapsulateAndDecapsulate, ck.CKA_ENCAPSULATE}
	deriving   = &way{ck.CKA_DERIVE, ck.CKA_DERIVE, "derived the same twice", deriveTwice, ck.CKA_DERIVE}
	agreeing   = &way{ck.CKA_DERIVE, ck.CKA_DERIVE, "agreed with a new key", nil, ck.CKA_DERIVE} // see agree
)

// trial is a mechanism by which keys of a type can be proven.
type trial struct {
	way *way
	m   ck.Mechanism
}

func by(w *way, t ck.MechanismType, param any) trial {
	return trial{w, ck.Mechanism{Type: t, Param: param}}
}

func mechs(w *way, list ...ck.MechanismType) (trials []trial) {
	for _, t := range list {
		trials = append(trials, by(w, t, nil))
	}
	return trials
}

// trials are tried in order: several mechanisms, since a key may be allowed some
// only.
var trials = map[ck.KeyType][]trial{
	ck.CKK_RSA: append(mechs(signing, ck.CKM_SHA256_RSA_PKCS, ck.CKM_SHA384_RSA_PKCS, ck.CKM_SHA512_RSA_PKCS, ck.CKM_SHA1_RSA_PKCS, ck.CKM_RSA_PKCS),
		by(signing, ck.CKM_SHA256_RSA_PKCS_PSS, &engine.PSSParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, SaltLen: 32}),
		by(encrypting, ck.CKM_RSA_PKCS_OAEP, oaep), by(encrypting, ck.CKM_RSA_PKCS_OAEP, oaepSHA1), by(encrypting, ck.CKM_RSA_PKCS, nil),
		by(wrapping, ck.CKM_RSA_PKCS_OAEP, oaep), by(wrapping, ck.CKM_RSA_PKCS_OAEP, oaepSHA1), by(wrapping, ck.CKM_RSA_PKCS, nil),
		by(encrypting, ck.CKM_RSA_X_509, nil)),
	ck.CKK_EC:            append(mechs(signing, ck.CKM_ECDSA_SHA256, ck.CKM_ECDSA_SHA384, ck.CKM_ECDSA_SHA512, ck.CKM_ECDSA_SHA1, ck.CKM_ECDSA), by(agreeing, ck.CKM_ECDH1_DERIVE, nil)),
	ck.CKK_EC_EDWARDS:    mechs(signing, ck.CKM_EDDSA),
	ck.CKK_EC_MONTGOMERY: mechs(agreeing, ck.CKM_ECDH1_DERIVE),
	ck.CKK_DSA:           mechs(signing, ck.CKM_DSA_SHA256, ck.CKM_DSA_SHA1, ck.CKM_DSA),
	ck.CKK_KCDSA:         mechs(signing, ck.CKM_KCDSA_SHA256, ck.CKM_KCDSA_SHA1),
	ck.CKK_DH:            mechs(agreeing, ck.CKM_DH_PKCS_DERIVE),
	ck.CKK_X9_42_DH:      mechs(agreeing, ck.CKM_X9_42_DH_DERIVE),
	ck.CKK_ML_DSA:        mechs(signing, ck.CKM_ML_DSA),
	ck.CKK_SLH_DSA:       mechs(signing, ck.CKM_SLH_DSA),
	ck.CKK_ML_KEM:        mechs(sealing, ck.CKM_ML_KEM),

	ck.CKK_AES: blockTrials(ck.CKM_AES_CBC_PAD, ck.CKM_AES_CBC, ck.CKM_AES_ECB, ck.CKM_AES_CMAC, ck.CKM_AES_ECB_ENCRYPT_DATA, 16,
		by(encrypting, ck.CKM_AES_CTR, &engine.CTRParams{CounterBits: 64}),
		by(encrypting, ck.CKM_AES_GCM, &engine.GCMParams{IV: make([]byte, 12), IVBits: 96, TagBits: 128}),
		by(wrapping, ck.CKM_AES_KEY_WRAP_KWP, nil), by(wrapping, ck.CKM_AES_KEY_WRAP, nil), by(wrapping, ck.CKM_AES_KEY_WRAP_PAD, nil)),
	ck.CKK_DES3:     blockTrials(ck.CKM_DES3_CBC_PAD, ck.CKM_DES3_CBC, ck.CKM_DES3_ECB, ck.CKM_DES3_CMAC, ck.CKM_DES3_ECB_ENCRYPT_DATA, 8),
	ck.CKK_DES2:     blockTrials(ck.CKM_DES3_CBC_PAD, ck.CKM_DES3_CBC, ck.CKM_DES3_ECB, ck.CKM_DES3_CMAC, ck.CKM_DES3_ECB_ENCRYPT_DATA, 8),
	ck.CKK_DES:      blockTrials(ck.CKM_DES_CBC_PAD, ck.CKM_DES_CBC, ck.CKM_DES_ECB, ck.CKM_DES_MAC, ck.CKM_DES_ECB_ENCRYPT_DATA, 8),
	ck.CKK_ARIA:     blockTrials(ck.CKM_ARIA_CBC_PAD, ck.CKM_ARIA_CBC, ck.CKM_ARIA_ECB, ck.CKM_ARIA_MAC, ck.CKM_ARIA_ECB_ENCRYPT_DATA, 16),
	ck.CKK_CAMELLIA: blockTrials(ck.CKM_CAMELLIA_CBC_PAD, ck.CKM_CAMELLIA_CBC, ck.CKM_CAMELLIA_ECB, ck.CKM_CAMELLIA_MAC, ck.CKM_CAMELLIA_ECB_ENCRYPT_DATA, 16),
	ck.CKK_SEED:     blockTrials(ck.CKM_SEED_CBC_PAD, ck.CKM_SEED_CBC, ck.CKM_SEED_ECB, ck.CKM_SEED_MAC, ck.CKM_SEED_ECB_ENCRYPT_DATA, 16),
	ck.CKK_SM4: {by(encrypting, ck.CKM_SM4_CBC_PAD, make([]byte, 16)), by(encrypting, ck.CKM_SM4_ECB, nil), by(signing, ck.CKM_SM4_CMAC, nil),
		by(wrapping, ck.CKM_SM4_CBC_PAD, make([]byte, 16))},
	ck.CKK_RC5:      {by(encrypting, ck.CKM_RC5_CBC_PAD, rc5), by(wrapping, ck.CKM_RC5_CBC_PAD, rc5)},
	ck.CKK_BLOWFISH: {by(encrypting, ck.CKM_BLOWFISH_CBC_PAD, make([]byte, 8)), by(wrapping, ck.CKM_BLOWFISH_CBC_PAD, make([]byte, 8))},
	ck.CKK_TWOFISH:  {by(encrypting, ck.CKM_TWOFISH_CBC_PAD, make([]byte, 16)), by(wrapping, ck.CKM_TWOFISH_CBC_PAD, make([]byte, 16))},
	ck.CKK_CAST128:  {by(encrypting, ck.CKM_CAST128_CBC_PAD, make([]byte, 8)), by(wrapping, ck.CKM_CAST128_CBC_PAD, make([]byte, 8)), by(signing, ck.CKM_CAST128_MAC, nil)},
	ck.CKK_RC2: {by(encrypting, ck.CKM_RC2_CBC_PAD, &engine.RC2CBCParams{EffectiveBits: 128}), by(wrapping, ck.CKM_RC2_CBC_PAD, &engine.RC2CBCParams{EffectiveBits: 128}),
		by(signing, ck.CKM_RC2_MAC, uint64(128))},
	ck.CKK_RC4:      mechs(encrypting, ck.CKM_RC4),
	ck.CKK_CHACHA20: {by(encrypting, ck.CKM_CHACHA20_POLY1305, &engine.ChaChaPolyParams{Nonce: make([]byte, 12)})},
	ck.CKK_SALSA20:  {by(encrypting, ck.CKM_SALSA20, &engine.Salsa20Params{BlockCounter: new([8]byte), Nonce: make([]byte, 8), NonceBits: 64})},
	ck.CKK_POLY1305: mechs(signing, ck.CKM_POLY1305),
	ck.CKK_AES_XTS:  {by(encrypting, ck.CKM_AES_XTS, make([]byte, 16))},
	ck.CKK_HKDF: {by(deriving, ck.CKM_HKDF_DERIVE, &engine.HKDFParams{Extract: true, Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_NULL}),
		by(deriving, ck.CKM_SHA256_KEY_DERIVATION, nil)},
	ck.CKK_GENERIC_SECRET: append(mechs(signing, ck.CKM_SHA256_HMAC, ck.CKM_SHA384_HMAC, ck.CKM_SHA512_HMAC, ck.CKM_SHA224_HMAC, ck.CKM_SHA_1_HMAC, ck.CKM_MD5_HMAC),
		by(deriving, ck.CKM_SHA256_KEY_DERIVATION, nil), by(deriving, ck.CKM_SHA1_KEY_DERIVATION, nil)),
	ck.CKK_MD5_HMAC:         mechs(signing, ck.CKM_MD5_HMAC),
	ck.CKK_SHA_1_HMAC:       mechs(signing, ck.CKM_SHA_1_HMAC),
	ck.CKK_SHA224_HMAC:      mechs(signing, ck.CKM_SHA224_HMAC),
	ck.CKK_SHA256_HMAC:      mechs(signing, ck.CKM_SHA256_HMAC),
	ck.CKK_SHA384_HMAC:      mechs(signing, ck.CKM_SHA384_HMAC),
	ck.CKK_SHA512_HMAC:      mechs(signing, ck.CKM_SHA512_HMAC),
	ck.CKK_SHA512_224_HMAC:  mechs(signing, ck.CKM_SHA512_224_HMAC),
	ck.CKK_SHA512_256_HMAC:  mechs(signing, ck.CKM_SHA512_256_HMAC),
	ck.CKK_SHA512_T_HMAC:    {by(signing, ck.CKM_SHA512_T_HMAC, uint64(256))},
	ck.CKK_SHA3_224_HMAC:    mechs(signing, ck.CKM_SHA3_224_HMAC),
	ck.CKK_SHA3_256_HMAC:    mechs(signing, ck.CKM_SHA3_256_HMAC),
	ck.CKK_SHA3_384_HMAC:    mechs(signing, ck.CKM_SHA3_384_HMAC),
	ck.CKK_SHA3_512_HMAC:    mechs(signing, ck.CKM_SHA3_512_HMAC),
	ck.CKK_RIPEMD128_HMAC:   mechs(signing, ck.CKM_RIPEMD128_HMAC),
	ck.CKK_RIPEMD160_HMAC:   mechs(signing, ck.CKM_RIPEMD160_HMAC),
	ck.CKK_BLAKE2B_160_HMAC: mechs(signing, ck.CKM_BLAKE2B_160_HMAC),
	ck.CKK_BLAKE2B_256_HMAC: mechs(signing, ck.CKM_BLAKE2B_256_HMAC),
	ck.CKK_BLAKE2B_384_HMAC: mechs(signing, ck.CKM_BLAKE2B_384_HMAC),
	ck.CKK_BLAKE2B_512_HMAC: mechs(signing, ck.CKM_BLAKE2B_512_HMAC),
}

var rc5 = &engine.RC5CBCParams{WordSize: 4, Rounds: 12, IV: make([]byte, 8)}

// blockTrials are those of a block cipher.
func blockTrials(cbcPad, cbc, ecb, mac, encryptData ck.MechanismType, size int, more ...trial) []trial {
	iv := make([]byte, size)
	list := []trial{by(encrypting, cbcPad, iv), by(encrypting, cbc, iv), by(encrypting, ecb, nil)}
	list = append(list, more...)
	return append(list, by(signing, mac, nil), by(wrapping, cbcPad, iv), by(wrapping, cbc, iv), by(wrapping, ecb, nil),
		by(deriving, encryptData, &engine.StringDataParams{Data: make([]byte, 32)}))
}

// prove uses the key in the HSM, and says how. A key that may be used for
// nothing is proven by a copy for the session that may.
func (j *job) prove(ctx context.Context, h ck.ObjectHandle) (string, error) {
	if j.class != ck.CKO_PRIVATE_KEY && j.class != ck.CKO_SECRET_KEY {
		return "", nil
	}
	why := j.cannotBeUsed(ctx, h)
	if why == nil {
		said, err := j.try(ctx, h)
		if !errors.Is(err, errRefused) {
			return said, err
		}
		why = errors.New("the key may not be used for any of what could prove it")
	}
	said, err := j.proveCopy(ctx, h)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, by a copy for the session: %v", said, why), nil
}

// cannotBeUsed says what stands in the way of each use of a key.
func (j *job) cannotBeUsed(ctx context.Context, h ck.ObjectHandle) error {
	always, err := j.flag(ctx, h, ck.CKA_ALWAYS_AUTHENTICATE)
	if err != nil || !always {
		return err
	}
	return errors.New("each use of the key needs a login of its own")
}

// proveCopy makes a session object of the same bytes for each use that the type
// has, proves it, and compares what can be read of both.
func (j *job) proveCopy(ctx context.Context, h ck.ObjectHandle) (string, error) {
	t := ck.CKA_PUBLIC_KEY_INFO
	if j.class == ck.CKO_SECRET_KEY {
		t = ck.CKA_CHECK_VALUE
	}
	first := errRefused
	note := func(err error) {
		if first == errRefused {
			first = err
		}
	}
	for _, w := range waysOf(j.keyType) {
		dup, err := j.copyFor(ctx, w.own)
		if err != nil {
			note(err)
			continue
		}
		said, err := j.tried(ctx, h, dup, t)
		gone := j.destroy(ctx, dup)
		if gone == nil && errors.Is(err, errRefused) {
			note(err)
			continue
		}
		return said, errors.Join(err, gone)
	}
	return "", fmt.Errorf("the key could not be proven, and so is not kept: %w", first)
}

func (j *job) tried(ctx context.Context, h, dup ck.ObjectHandle, t ck.AttributeType) (string, error) {
	said, err := j.try(ctx, dup)
	if err != nil {
		return "", err
	}
	a, err := j.attribute(ctx, h, t)
	if err != nil {
		return "", err
	}
	b, err := j.attribute(ctx, dup, t)
	if err != nil {
		return "", err
	}
	if a == nil || b == nil || !bytes.Equal(a.Value, b.Value) {
		return "", errMismatch
	}
	return said, nil
}

// waysOf are the ways to prove keys of a type.
func waysOf(t ck.KeyType) (list []*way) {
	for _, x := range trials[t] {
		if !slices.Contains(list, x.way) {
			list = append(list, x.way)
		}
	}
	return list
}

// copyFor makes a session object of the same bytes that may be used for one
// purpose only, since some policies allow no more.
func (j *job) copyFor(ctx context.Context, use ...ck.AttributeType) (ck.ObjectHandle, error) {
	attrs := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, j.class), ck.NewULong(ck.CKA_KEY_TYPE, j.keyType),
		ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_PRIVATE, true), ck.NewBool(ck.CKA_SENSITIVE, true), ck.NewBool(ck.CKA_EXTRACTABLE, false)}
	return j.bring(ctx, append(attrs, onlyFor(j.class, use...)...))
}

// onlyFor are the usage attributes of a class, true for some.
func onlyFor(class ck.ObjectClass, use ...ck.AttributeType) (list []ck.Attribute) {
	of := map[ck.ObjectClass][]ck.AttributeType{
		ck.CKO_PRIVATE_KEY: {ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_DECAPSULATE},
		ck.CKO_PUBLIC_KEY:  {ck.CKA_ENCRYPT, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER, ck.CKA_WRAP, ck.CKA_ENCAPSULATE},
		ck.CKO_SECRET_KEY:  {ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE},
	}[class]
	for _, t := range of {
		list = append(list, ck.NewBool(t, slices.Contains(use, t)))
	}
	return list
}

// errRefused says that the HSM did not let something be tried; a refusal is that,
// with its reason.
var errRefused = errors.New("the HSM has nothing to try it with")

type refusal struct{ why error }

func (r refusal) Error() string        { return r.why.Error() }
func (r refusal) Unwrap() error        { return r.why }
func (r refusal) Is(target error) bool { return target == errRefused }

// try proves a key by the first trial that the HSM lets happen, and says which.
func (j *job) try(ctx context.Context, h ck.ObjectHandle) (string, error) {
	first := errRefused // the first of the reasons tells most
	for _, t := range trials[j.keyType] {
		for _, use := range []ck.AttributeType{t.way.own, t.way.other} {
			may, err := j.flag(ctx, h, use)
			if err != nil {
				return "", err
			}
			if !may {
				continue
			}
			said, err := j.byAnyNumber(ctx, h, t, use)
			if !errors.Is(err, errRefused) {
				return said, err
			}
			if first == errRefused {
				first = err
			}
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
		}
	}
	return "", first
}

// byAnyNumber runs a trial by the number of the mechanism that the HSM knows.
func (j *job) byAnyNumber(ctx context.Context, h ck.ObjectHandle, t trial, use ck.AttributeType) (string, error) {
	var err error
	for _, t.m.Type = range numbers(t.m.Type) {
		if err = j.against(ctx, h, &t, use); err == nil {
			return j.says(&t), nil
		}
		if ck.RVOf(err) != ck.CKR_MECHANISM_INVALID {
			break
		}
	}
	return "", err
}

func (j *job) says(t *trial) string {
	text := fmt.Sprintf("%s with %v", t.way.said, t.m.Type)
	if j.knownPublic() {
		text += ", against the public key of the source"
	}
	return text
}

// against runs one trial: the key is used for use, and the peer for the other
// half.
func (j *job) against(ctx context.Context, h ck.ObjectHandle, t *trial, use ck.AttributeType) error {
	if t.way == agreeing {
		return j.agree(ctx, h, t.m.Type)
	}
	other := t.way.other
	if use == other {
		other = t.way.own
	}
	peer, err := j.peer(ctx, other)
	if err != nil {
		return refusal{err}
	}
	maker, checker := h, peer
	if use != t.way.maker {
		maker, checker = peer, h
	}
	m := t.m
	return errors.Join(t.way.run(ctx, j.Importer, &m, maker, checker), j.destroy(ctx, peer))
}

// peer is what the key is proven against.
func (j *job) peer(ctx context.Context, use ck.AttributeType) (ck.ObjectHandle, error) {
	if j.class == ck.CKO_SECRET_KEY {
		return j.copyFor(ctx, use)
	}
	t, values, err := engine.UnmarshalPublicKey(j.public)
	if err != nil {
		return 0, err
	}
	attrs := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, t), ck.NewBool(ck.CKA_TOKEN, false)}
	r, err := p11.Call(ctx, j.Module, &p11.CreateObject{Session: j.Session,
		Template: slices.Concat(attrs, onlyFor(ck.CKO_PUBLIC_KEY, use), values)})
	return r.Object, err
}

// newSecret is what a key wraps or derives: shown in the clear, and gone with the
// session at the latest.
func newSecret(more ...ck.Attribute) []ck.Attribute {
	return append([]ck.Attribute{ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}, more...)
}

func genericSecret() []ck.Attribute {
	return newSecret(ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET))
}

// begin starts an operation. An HSM that does not let it start proves nothing.
func (im *Importer) begin(ctx context.Context, op p11.Operation, m *ck.Mechanism, key ck.ObjectHandle) error {
	_, err := p11.Call(ctx, im.Module, &p11.Begin{Session: im.Session, Op: op, Mechanism: m, Key: key})
	if err != nil {
		return refusal{err}
	}
	return nil
}

const maxResult = 1 << 16

// oneShot runs an operation on one part.
func (im *Importer) oneShot(ctx context.Context, op p11.Operation, m *ck.Mechanism, key ck.ObjectHandle, in, signature []byte) ([]byte, error) {
	if err := im.begin(ctx, op, m, key); err != nil {
		return nil, err
	}
	out := make([]byte, maxResult)
	r, err := p11.Call(ctx, im.Module, &p11.Finish{Session: im.Session, Op: op, Single: true, In: in, Signature: signature, Out: p11.Output{Buf: out}})
	return out[:r.N], err
}

// sample is what is signed and encrypted: two blocks of most ciphers.
func sample() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

func signAndVerify(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	text := sample()
	if m.Type == ck.CKM_ECDSA || m.Type == ck.CKM_DSA {
		text = text[:20] // a digest no longer than the order
	}
	signature, err := im.oneShot(ctx, p11.OpSign, m, maker, text, nil)
	if err != nil {
		return refusal{err}
	}
	_, err = im.oneShot(ctx, p11.OpVerify, m, checker, text, signature)
	return mismatch(err)
}

func encryptAndDecrypt(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	text := sample()
	ciphertext, err := im.oneShot(ctx, p11.OpEncrypt, m, maker, text, nil)
	if err != nil {
		return refusal{err}
	}
	plain, err := im.oneShot(ctx, p11.OpDecrypt, m, checker, ciphertext, nil)
	if err == nil && !bytes.HasSuffix(plain, text) { // raw RSA has zeros before it
		err = errMismatch
	}
	return mismatch(err)
}

// mismatch is the error of who checks: a failed proof, unless it was not tried.
func mismatch(err error) error {
	if err == nil || errors.Is(err, errRefused) || errors.Is(err, errMismatch) {
		return err
	}
	return fmt.Errorf("%w: %w", errMismatch, err)
}

func wrapAndUnwrap(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	r, err := p11.Call(ctx, im.Module, &p11.GenerateKey{Session: im.Session, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: newSecret(ck.NewULong(ck.CKA_VALUE_LEN, uint64(32)))})
	if err != nil {
		return refusal{err}
	}
	err = im.wrapIt(ctx, r.Object, m, maker, checker)
	return errors.Join(err, im.destroy(ctx, r.Object))
}

// wrapIt wraps an AES key of 32 bytes and compares what is unwrapped.
func (im *Importer) wrapIt(ctx context.Context, key ck.ObjectHandle, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	out := make([]byte, maxResult)
	w, err := p11.Call(ctx, im.Module, &p11.WrapKey{Session: im.Session, Mechanism: m, WrappingKey: maker, Key: key, Out: p11.Output{Buf: out}})
	if err != nil {
		return refusal{err}
	}
	u, err := p11.Call(ctx, im.Module, &p11.UnwrapKey{Session: im.Session, Mechanism: m, UnwrappingKey: checker, Wrapped: out[:w.N],
		Template: newSecret(ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, uint64(32)))})
	switch ck.RVOf(err) {
	case ck.CKR_OK:
	case ck.CKR_WRAPPED_KEY_INVALID, ck.CKR_WRAPPED_KEY_LEN_RANGE, ck.CKR_ENCRYPTED_DATA_INVALID:
		return errors.Join(errMismatch, err)
	default:
		return refusal{err}
	}
	want, err := im.shown(ctx, key)
	if err != nil {
		return errors.Join(err, im.destroy(ctx, u.Object))
	}
	got, err := im.value(ctx, u.Object)
	if err == nil && !bytes.Equal(got, want) {
		err = errMismatch
	}
	return err
}

// value reads a new secret and destroys it.
func (im *Importer) value(ctx context.Context, h ck.ObjectHandle) ([]byte, error) {
	b, err := im.shown(ctx, h)
	return b, errors.Join(err, im.destroy(ctx, h))
}

// shown is the value of a new secret.
func (im *Importer) shown(ctx context.Context, h ck.ObjectHandle) ([]byte, error) {
	a, err := im.attribute(ctx, h, ck.CKA_VALUE)
	if err == nil && a == nil {
		err = refusal{errors.New("the HSM does not show what was made")}
	}
	if err != nil {
		return nil, err
	}
	return a.Value, nil
}

func (im *Importer) derive(ctx context.Context, m *ck.Mechanism, base ck.ObjectHandle) ([]byte, error) {
	r, err := p11.Call(ctx, im.Module, &p11.DeriveKey{Session: im.Session, Mechanism: m, BaseKey: base,
		Template: append(genericSecret(), ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))})
	if err != nil {
		return nil, refusal{err}
	}
	return im.value(ctx, r.Object)
}

func deriveTwice(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	a, err := im.derive(ctx, m, maker)
	if err != nil {
		return err
	}
	b, err := im.derive(ctx, m, checker)
	if err == nil && !bytes.Equal(a, b) {
		err = errMismatch
	}
	return err
}

func encapsulateAndDecapsulate(ctx context.Context, im *Importer, m *ck.Mechanism, maker, checker ck.ObjectHandle) error {
	out := make([]byte, maxResult)
	r, err := p11.Call(ctx, im.Module, &p11.EncapsulateKey{Session: im.Session, Mechanism: m, PublicKey: maker, Template: genericSecret(), Out: p11.Output{Buf: out}})
	if err != nil {
		return refusal{err}
	}
	a, err := im.value(ctx, r.Object)
	if err != nil {
		return err
	}
	d, err := p11.Call(ctx, im.Module, &p11.DecapsulateKey{Session: im.Session, Mechanism: m, PrivateKey: checker, Ciphertext: out[:r.N], Template: genericSecret()})
	if err != nil {
		return refusal{err}
	}
	b, err := im.value(ctx, d.Object)
	if err == nil && !bytes.Equal(a, b) {
		err = errMismatch
	}
	return err
}
