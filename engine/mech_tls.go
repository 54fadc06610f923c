package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// SSL 3.0 (PKCS#11 v3.1 section 6.39; RFC 6101) and TLS 1.0 to 1.2 (section
// 6.40; RFC 2246, RFC 4346, RFC 5246): pre-master and master secrets, keys of a
// connection, the pseudo-random function, and the codes of Finished messages.

const (
	premasterLen = 48
	finishedLen  = 12
)

func init() { later(tlsMechanisms) }

func tlsMechanisms() {
	const (
		jdk  = "test data of OpenJDK's TLS key material"
		nist = "NIST SP 800-135 vectors"
	)
	for _, t := range []ck.MechanismType{ck.CKM_SSL3_PRE_MASTER_KEY_GEN, ck.CKM_TLS_PRE_MASTER_KEY_GEN} {
		register(&Mechanism{
			Type: t, Param: (*SSLVersion)(nil), Makes: ck.CKK_GENERIC_SECRET, Min: premasterLen, Max: premasterLen,
			Generate: generatePremaster, Vectors: formOnly,
			SelfTest: func() error { return testPremaster(t) },
		})
	}
	master := func(t ck.MechanismType, prf tlsPRF, dh bool, vectors string) *Mechanism {
		m := &Mechanism{
			Type: t, Param: (*SSL3MasterKeyDeriveParams)(nil), Keys: anySecretKey, Min: premasterLen, Max: premasterLen,
			Derive:  func(k *Key, p any, d *Derivation) ([]byte, error) { return deriveMaster(k, p, d, prf, dh) },
			Vectors: vectors, SelfTest: func() error {
				return testMaster(prf, t == ck.CKM_SSL3_MASTER_KEY_DERIVE || t == ck.CKM_SSL3_MASTER_KEY_DERIVE_DH)
			},
		}
		if dh {
			m.Min, m.Max = 1, maxSecret
		}
		return m
	}
	keys := func(t ck.MechanismType, param any, prf tlsPRF, vectors string) *Mechanism {
		return &Mechanism{
			Type: t, Param: param, Keys: anySecretKey, Min: premasterLen, Max: premasterLen, Inherits: true, InParam: true,
			DeriveKeys: func(k *Key, p any, d *Derivation) ([]Derived, error) { return deriveKeyMaterial(k, p, d, prf) },
			Vectors:    vectors, SelfTest: func() error { return testKeyMaterial(t) },
		}
	}
	register(
		master(ck.CKM_SSL3_MASTER_KEY_DERIVE, prfSSL3, false, jdk),
		master(ck.CKM_SSL3_MASTER_KEY_DERIVE_DH, prfSSL3, true, jdk),
		master(ck.CKM_TLS_MASTER_KEY_DERIVE, prfTLS1, false, jdk),
		master(ck.CKM_TLS_MASTER_KEY_DERIVE_DH, prfTLS1, true, jdk),
		keys(ck.CKM_SSL3_KEY_AND_MAC_DERIVE, (*SSL3KeyMatParams)(nil), prfSSL3, jdk),
		keys(ck.CKM_TLS_KEY_AND_MAC_DERIVE, (*SSL3KeyMatParams)(nil), prfTLS1, jdk),
		approved(keys(ck.CKM_TLS12_KEY_AND_MAC_DERIVE, (*TLS12KeyMatParams)(nil), prfTLS12, nist)),
		approved(keys(ck.CKM_TLS12_KEY_SAFE_DERIVE, (*TLS12KeyMatParams)(nil), prfTLS12, nist)),
		&Mechanism{
			Type: ck.CKM_TLS_PRF, Param: (*TLSPRFParams)(nil), Keys: anySecretKey, Min: 1, Max: maxSecret, InParam: true,
			DeriveKeys: deriveTLSPRF, Vectors: "test vector of the TLS working group's first PRF", SelfTest: testTLSPRF,
		},
	)
	// What a master secret of TLS 1.2 is good for, the mechanism says.
	confined := func(derive func(k *Key, p any, d *Derivation) ([]byte, error)) func(*Key, any, *Derivation) ([]Derived, error) {
		return func(k *Key, p any, d *Derivation) ([]Derived, error) {
			secret, err := derive(k, p, d)
			if err != nil {
				return nil, err
			}
			return []Derived{{Template: tls12MasterUses, Values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, secret)}}}, nil
		}
	}
	for _, dh := range []bool{false, true} {
		plain, extended := ck.CKM_TLS12_MASTER_KEY_DERIVE, ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE
		low, high := uint64(premasterLen), uint64(premasterLen)
		if dh {
			plain, extended = ck.CKM_TLS12_MASTER_KEY_DERIVE_DH, ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH
			low, high = 1, maxSecret
		}
		register(
			&Mechanism{
				Type: plain, Param: (*TLS12MasterKeyDeriveParams)(nil), Keys: anySecretKey, Min: low, Max: high,
				DeriveKeys: confined(func(k *Key, p any, d *Derivation) ([]byte, error) { return deriveTLS12Master(k, p, d, dh) }),
				Vectors:    nist, SelfTest: func() error { return testTLS12Master(plain) },
			},
			approved(&Mechanism{
				Type: extended, Param: (*TLS12ExtendedMasterKeyDeriveParams)(nil), Keys: anySecretKey, Min: low, Max: high,
				DeriveKeys: confined(func(k *Key, p any, d *Derivation) ([]byte, error) { return deriveExtendedMaster(k, p, d, dh) }),
				Vectors:    "OpenSSL's TLS 1.2 PRF vectors", SelfTest: func() error { return testExtendedMaster(extended) },
			}),
		)
	}
	for _, t := range []ck.MechanismType{ck.CKM_TLS_KDF, ck.CKM_TLS12_KDF} {
		register(&Mechanism{
			Type: t, Param: (*TLSKDFParams)(nil), Keys: anySecretKey, Min: 1, Max: maxSecret,
			Derive: deriveTLSKDF, Vectors: nist, SelfTest: func() error { return testTLSKDF(t) },
		})
	}
	for _, t := range []ck.MechanismType{ck.CKM_TLS_MAC, ck.CKM_TLS12_MAC} {
		register(&Mechanism{
			Type: t, Param: (*TLSMACParams)(nil), Keys: anySecretKey, Min: 1, Max: maxSecret,
			Sign:    func(k *Key, p any) (Op, error) { return newSign(newTLSMAC(k, p)) },
			Verify:  func(k *Key, p any) (Verifier, error) { return newVerify(newTLSMAC(k, p)) },
			Vectors: "a published TLS 1.2 handshake (tls12.xargs.org)", SelfTest: func() error { return testTLSMAC(t) },
		})
	}
	for t, label := range map[ck.MechanismType]string{
		ck.CKM_TLS10_MAC_SERVER: serverFinished, ck.CKM_TLS10_MAC_CLIENT: clientFinished,
	} {
		newMAC := func(k *Key, p any) (mac, error) {
			if err := noParam(p); err != nil {
				return nil, err
			}
			return &tlsMAC{prf: prf10, secret: k.Value(), label: label, n: finishedLen}, nil
		}
		register(&Mechanism{
			Type: t, Keys: anySecretKey, Min: 1, Max: maxSecret,
			Sign:    func(k *Key, p any) (Op, error) { return newSign(newMAC(k, p)) },
			Verify:  func(k *Key, p any) (Verifier, error) { return newVerify(newMAC(k, p)) },
			Vectors: "the PRF's test vector; the label is TLS 1.0's", SelfTest: testTLSPRF,
		})
	}
}

// tls12MasterUses is CKA_ALLOWED_MECHANISMS of master secrets of TLS 1.2 (section
// 6.40.4).
var tls12MasterUses = []ck.Attribute{ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, slices.Concat(
	ck.PutULong(ck.CKM_TLS12_KEY_AND_MAC_DERIVE), ck.PutULong(ck.CKM_TLS12_KEY_SAFE_DERIVE),
	ck.PutULong(ck.CKM_TLS_KDF), ck.PutULong(ck.CKM_TLS_MAC), ck.PutULong(ck.CKM_TLS12_KDF), ck.PutULong(ck.CKM_TLS12_MAC)))}

// approved marks a row as approved in FIPS mode with secrets of 112 bits.
func approved(m *Mechanism) *Mechanism {
	m.FIPS, m.FIPSMin, m.Approve = true, max(m.Min, hmacFIPSMin), approveTLSHash
	return m
}

// SSLVersion is CK_VERSION as a parameter.
type SSLVersion struct{ Major, Minor byte }

// SSL3RandomData is CK_SSL3_RANDOM_DATA (section 6.39.2).
type SSL3RandomData struct {
	Client []byte `c:"ptr,len"`
	Server []byte `c:"ptr,len"`
}

// SSL3MasterKeyDeriveParams is CK_SSL3_MASTER_KEY_DERIVE_PARAMS (section 6.39.2).
type SSL3MasterKeyDeriveParams struct {
	Random  SSL3RandomData
	Version *SSLVersion `c:"ptr,inout"`
}

// SSL3KeyMatOut is CK_SSL3_KEY_MAT_OUT (section 6.39.2).
type SSL3KeyMatOut struct {
	ClientMACSecret NewHandle `c:"inout"`
	ServerMACSecret NewHandle `c:"inout"`
	ClientKey       NewHandle `c:"inout"`
	ServerKey       NewHandle `c:"inout"`
	IVClient        []byte    `c:"ptr,out"`
	IVServer        []byte    `c:"ptr,out"`
}

// SSL3KeyMatParams is CK_SSL3_KEY_MAT_PARAMS (section 6.39.2).
type SSL3KeyMatParams struct {
	MACBits, KeyBits, IVBits uint64
	Export                   bool
	Random                   SSL3RandomData
	Out                      *SSL3KeyMatOut `c:"ptr"`
}

// TLS12KeyMatParams is CK_TLS12_KEY_MAT_PARAMS (section 6.40.2).
type TLS12KeyMatParams struct {
	MACBits, KeyBits, IVBits uint64
	Export                   bool
	Random                   SSL3RandomData
	Out                      *SSL3KeyMatOut `c:"ptr"`
	Hash                     ck.MechanismType
}

// TLS12MasterKeyDeriveParams is CK_TLS12_MASTER_KEY_DERIVE_PARAMS (section 6.40.2).
type TLS12MasterKeyDeriveParams struct {
	Random  SSL3RandomData
	Version *SSLVersion `c:"ptr,inout"`
	Hash    ck.MechanismType
}

// TLS12ExtendedMasterKeyDeriveParams is
// CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS (PKCS#11 v3.1 section 6.40.2).
type TLS12ExtendedMasterKeyDeriveParams struct {
	Hash        ck.MechanismType
	SessionHash []byte      `c:"ptr,len"`
	Version     *SSLVersion `c:"ptr,inout"`
}

// TLSPRFParams is CK_TLS_PRF_PARAMS (section 6.40.2).
type TLSPRFParams struct {
	Seed      []byte  `c:"ptr,len"`
	Label     []byte  `c:"ptr,len"`
	Output    []byte  `c:"ptr,out"`
	OutputLen *uint64 `c:"ptr,inout"`
}

// TLSKDFParams is CK_TLS_KDF_PARAMS (section 6.40.2).
type TLSKDFParams struct {
	PRF     ck.MechanismType
	Label   []byte `c:"ptr,len"`
	Random  SSL3RandomData
	Context []byte `c:"ptr,len"`
}

// TLSMACParams is CK_TLS_MAC_PARAMS (section 6.40.2).
type TLSMACParams struct {
	PRF            ck.MechanismType
	Len            uint64
	ServerOrClient uint64 // 1 for the server, 2 for the client
}

const (
	serverFinished = "server finished"
	clientFinished = "client finished"
)

// tlsPRF makes n bytes from a secret, a label and a seed. What h is depends on
// the version of the protocol.
type tlsPRF func(h ck.MechanismType, secret []byte, label string, seed []byte, n int) ([]byte, error)

// prfSSL3 is how SSL 3.0 makes master secrets and key blocks: it has no labels
// (RFC 6101 section 6.1).
func prfSSL3(_ ck.MechanismType, secret []byte, _ string, seed []byte, n int) ([]byte, error) {
	if n > 26*md5.Size {
		return nil, fmt.Errorf("SSL 3.0 makes at most %d bytes: %w", 26*md5.Size, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	var out []byte
	for i := 1; len(out) < n; i++ {
		inner := sha1.New()
		inner.Write(bytes.Repeat([]byte{'A' + byte(i-1)}, i))
		inner.Write(secret)
		inner.Write(seed)
		outer := md5.New()
		outer.Write(secret)
		outer.Write(inner.Sum(nil))
		out = outer.Sum(out)
	}
	return out[:n], nil
}

// prf10 is the PRF of TLS 1.0 and 1.1 (RFC 2246 section 5).
func prf10(_ ck.MechanismType, secret []byte, label string, seed []byte, n int) ([]byte, error) {
	half := (len(secret) + 1) / 2
	seed = slices.Concat([]byte(label), seed)
	out := pHash(md5.New, secret[:half], seed, n)
	subtle.XORBytes(out, out, pHash(sha1.New, secret[len(secret)-half:], seed, n))
	return out, nil
}

var prfTLS1 tlsPRF = prf10

// prfTLS12 is the PRF of TLS 1.2 with the hash function h, or that of TLS 1.0 if
// h is CKM_TLS_PRF.
func prfTLS12(h ck.MechanismType, secret []byte, label string, seed []byte, n int) ([]byte, error) {
	if h == ck.CKM_TLS_PRF {
		return prf10(h, secret, label, seed, n)
	}
	f, err := tls12Hash(h)
	if err != nil {
		return nil, err
	}
	return pHash(f.new, secret, slices.Concat([]byte(label), seed), n), nil
}

// tls12Hash is a hash function of the PRF of TLS 1.2: one of SHA, or SM3, which
// GB/T 38636 has in its place.
func tls12Hash(h ck.MechanismType) (*hashFunction, error) {
	f := shaFor(h)
	if h == ck.CKM_SM3 {
		f = findHash(h)
	}
	if f == nil {
		return nil, fmt.Errorf("%v is no hash function of a PRF: %w", h, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return f, nil
}

// pHash is P_hash (RFC 5246 section 5).
func pHash(newHash func() hash.Hash, secret, seed []byte, n int) []byte {
	h := hmac.New(newHash, secret)
	h.Write(seed)
	a := h.Sum(nil)
	var out []byte
	for len(out) < n {
		h.Reset()
		h.Write(a)
		h.Write(seed)
		out = h.Sum(out)
		h.Reset()
		h.Write(a)
		a = h.Sum(a[:0])
	}
	return out[:n]
}

// generatePremaster makes the pre-master secret of an RSA key exchange.
func generatePremaster(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	v, err := structParam[SSLVersion](p)
	if err != nil {
		return nil, err
	}
	if a := ck.Find(template, ck.CKA_VALUE_LEN); a != nil {
		if n, ok := ck.ULong(a.Value); !ok || n != premasterLen {
			return nil, fmt.Errorf("CKA_VALUE_LEN: a pre-master secret has %d bytes: %w", premasterLen, ck.CKR_TEMPLATE_INCONSISTENT)
		}
	}
	secret := make([]byte, premasterLen)
	if err := Random(secret[2:]); err != nil {
		return nil, err
	}
	secret[0], secret[1] = v.Major, v.Minor
	return secretValue(secret), nil
}

// takeVersion returns the version in a pre-master secret of an RSA key exchange.
// That of a Diffie-Hellman exchange has none.
func takeVersion(k *Key, v *SSLVersion, dh bool) error {
	switch {
	case dh && v != nil:
		return fmt.Errorf("there is no version in a Diffie-Hellman secret, so pVersion must be null: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	case dh || v == nil:
		return nil
	case len(k.Value()) < 2:
		return ck.CKR_KEY_SIZE_RANGE
	}
	v.Major, v.Minor = k.Value()[0], k.Value()[1]
	return nil
}

// masterSecret checks what the template wants, and derives.
func masterSecret(k *Key, d *Derivation, derive func() ([]byte, error)) ([]byte, error) {
	if d.Len != 0 && d.Len != premasterLen {
		return nil, fmt.Errorf("CKA_VALUE_LEN: a master secret has %d bytes: %w", premasterLen, ck.CKR_TEMPLATE_INCONSISTENT)
	}
	if len(k.Value()) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return derive()
}

func deriveMaster(k *Key, param any, d *Derivation, prf tlsPRF, dh bool) ([]byte, error) {
	p, err := structParam[SSL3MasterKeyDeriveParams](param)
	if err != nil {
		return nil, err
	}
	if err := takeVersion(k, p.Version, dh); err != nil {
		return nil, err
	}
	return masterSecret(k, d, func() ([]byte, error) {
		return prf(0, k.Value(), "master secret", slices.Concat(p.Random.Client, p.Random.Server), premasterLen)
	})
}

func deriveTLS12Master(k *Key, param any, d *Derivation, dh bool) ([]byte, error) {
	p, err := structParam[TLS12MasterKeyDeriveParams](param)
	if err != nil {
		return nil, err
	}
	if err := takeVersion(k, p.Version, dh); err != nil {
		return nil, err
	}
	return masterSecret(k, d, func() ([]byte, error) {
		return prfTLS12(p.Hash, k.Value(), "master secret", slices.Concat(p.Random.Client, p.Random.Server), premasterLen)
	})
}

// deriveExtendedMaster is the master secret of RFC 7627.
func deriveExtendedMaster(k *Key, param any, d *Derivation, dh bool) ([]byte, error) {
	p, err := structParam[TLS12ExtendedMasterKeyDeriveParams](param)
	if err != nil {
		return nil, err
	}
	if err := takeVersion(k, p.Version, dh); err != nil {
		return nil, err
	}
	return masterSecret(k, d, func() ([]byte, error) {
		return prfTLS12(p.Hash, k.Value(), "extended master secret", p.SessionHash, premasterLen)
	})
}

// keyMaterial is what both structures of key material have.
func keyMaterial(param any) (*TLS12KeyMatParams, error) {
	if p, ok := param.(*SSL3KeyMatParams); ok && p != nil {
		return &TLS12KeyMatParams{p.MACBits, p.KeyBits, p.IVBits, p.Export, p.Random, p.Out, 0}, nil
	}
	return structParam[TLS12KeyMatParams](param)
}

// maxKeyMaterial bounds each piece of a key block, in bits.
const maxKeyMaterial = 1024

// deriveKeyMaterial makes the keys and IVs of a connection. A size of 0 bits
// leaves a piece out.
func deriveKeyMaterial(k *Key, param any, d *Derivation, prf tlsPRF) ([]Derived, error) {
	p, err := keyMaterial(param)
	switch {
	case err != nil:
		return nil, err
	case p.Out == nil:
		return nil, fmt.Errorf("pReturnedKeyMaterial is null: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	case p.Export:
		return nil, fmt.Errorf("there are no export keys: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	case p.IVBits != 0 && (p.Out.IVClient == nil || p.Out.IVServer == nil):
		return nil, fmt.Errorf("there is no place for the IVs: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	for _, n := range []uint64{p.MACBits, p.KeyBits, p.IVBits} {
		if n%8 != 0 || n > maxKeyMaterial {
			return nil, fmt.Errorf("a piece of %d bits: it must be whole bytes, at most %d bits: %w", n, maxKeyMaterial, ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	macLen, keyLen, ivLen := int(p.MACBits/8), int(p.KeyBits/8), int(p.IVBits/8)
	block, err := prf(p.Hash, k.Value(), "key expansion", slices.Concat(p.Random.Server, p.Random.Client), 2*(macLen+keyLen+ivLen))
	if err != nil {
		return nil, err
	}
	next := func(n int) []byte {
		piece := block[:n:n]
		block = block[n:]
		return piece
	}
	var list []Derived
	add := func(to *NewHandle, value []byte, template []ck.Attribute) {
		if len(value) != 0 {
			list = append(list, Derived{
				Handle: to, Class: ck.CKO_SECRET_KEY, Type: ck.CKK_GENERIC_SECRET, Template: template,
				Values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value)},
			})
		}
	}
	macs := connectionTemplate(d.Template, false)
	keys := connectionTemplate(d.Template, true)
	add(&p.Out.ClientMACSecret, next(macLen), macs)
	add(&p.Out.ServerMACSecret, next(macLen), macs)
	add(&p.Out.ClientKey, next(keyLen), keys)
	add(&p.Out.ServerKey, next(keyLen), keys)
	p.Out.IVClient, p.Out.IVServer = next(ivLen), next(ivLen)
	return list, nil
}

// connectionTemplate is the template of a key of a connection: the caller's, in
// which the type, the length and the uses are those of the cipher keys.
func connectionTemplate(template []ck.Attribute, cipherKey bool) []ck.Attribute {
	var list []ck.Attribute
	for _, a := range template {
		switch a.Type {
		case ck.CKA_VALUE_LEN:
			continue // of no key in particular
		case ck.CKA_KEY_TYPE, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_ALLOWED_MECHANISMS:
			if !cipherKey {
				continue
			}
		}
		list = append(list, a)
	}
	uses := []ck.AttributeType{ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_DERIVE}
	if cipherKey {
		uses = []ck.AttributeType{ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_DERIVE}
	}
	for _, t := range uses {
		if ck.Find(list, t) == nil {
			list = append(list, ck.NewBool(t, true))
		}
	}
	return list
}

// deriveTLSPRF is CKM_TLS_PRF: its result is no key, but bytes in the parameter.
func deriveTLSPRF(k *Key, param any, _ *Derivation) ([]Derived, error) {
	p, err := structParam[TLSPRFParams](param)
	if err != nil {
		return nil, err
	}
	if p.OutputLen == nil || *p.OutputLen == 0 || *p.OutputLen > maxSecret || p.Output == nil {
		return nil, fmt.Errorf("pOutput and pulOutputLen must ask for 1 to %d bytes: %w", maxSecret, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	p.Output, err = prf10(0, k.Value(), string(p.Label), p.Seed, int(*p.OutputLen))
	return nil, err
}

// deriveTLSKDF is the exporter of RFC 5705. Without a context its length is not
// part of the seed.
func deriveTLSKDF(k *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[TLSKDFParams](param)
	if err != nil {
		return nil, err
	}
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	if len(p.Context) > 0xffff {
		return nil, fmt.Errorf("a context has at most 65535 bytes: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	seed := slices.Concat(p.Random.Client, p.Random.Server)
	if p.Context != nil {
		seed = append(seed, byte(len(p.Context)>>8), byte(len(p.Context)))
		seed = append(seed, p.Context...)
	}
	return prfTLS12(p.PRF, k.Value(), string(p.Label), seed, n)
}

// tlsMAC is the code of a Finished message, over the digest of the handshake.
type tlsMAC struct {
	prf    tlsPRF
	hash   ck.MechanismType
	secret []byte
	label  string
	n      int
	data   []byte
}

func newTLSMAC(k *Key, param any) (mac, error) {
	p, err := structParam[TLSMACParams](param)
	if err != nil {
		return nil, err
	}
	if _, err := tls12Hash(p.PRF); err != nil && p.PRF != ck.CKM_TLS_PRF {
		return nil, err
	}
	if p.Len < finishedLen || p.Len > maxMAC || p.PRF == ck.CKM_TLS_PRF && p.Len != finishedLen {
		return nil, fmt.Errorf("a Finished message has %d bytes, or more in TLS 1.2: %w", finishedLen, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	labels := map[uint64]string{1: serverFinished, 2: clientFinished}
	label, ok := labels[p.ServerOrClient]
	if !ok {
		return nil, fmt.Errorf("ulServerOrClient must be 1 or 2: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return &tlsMAC{prf: prfTLS12, hash: p.PRF, secret: k.Value(), label: label, n: int(p.Len)}, nil
}

func (m *tlsMAC) write(src []byte) error {
	if len(m.data)+len(src) > maxSecret {
		return fmt.Errorf("the handshake is passed as its digest: %w", ck.CKR_DATA_LEN_RANGE)
	}
	m.data = append(m.data, src...)
	return nil
}

func (m *tlsMAC) size() int { return m.n }

func (m *tlsMAC) sum(dst []byte) []byte {
	out, _ := m.prf(m.hash, m.secret, m.label, m.data, m.n) // the hash is known to exist
	return append(dst, out...)
}

// Known answers. The master secret of TLS 1.2 is that of NIST, those of SSL 3.0
// and TLS 1.0 are from OpenJDK's tests.
const (
	tls12Premaster = "f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc"
	tls12Client    = "36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c"
	tls12Server    = "f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce"
	tls12Master    = "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf"
)

func testPremaster(t ck.MechanismType) error {
	attrs, err := Find(t).Generate(&SSLVersion{3, 3}, nil)
	if err != nil {
		return err
	}
	if v := ck.Find(attrs, ck.CKA_VALUE); v == nil || len(v.Value) != premasterLen || v.Value[0] != 3 || v.Value[1] != 3 {
		return errSelfTest(t)
	}
	return nil
}

func testTLS12Master(t ck.MechanismType) error {
	p := &TLS12MasterKeyDeriveParams{Random: SSL3RandomData{unhex(tls12Client), unhex(tls12Server)}, Hash: ck.CKM_SHA256}
	return testDeriveOne(t, p, tls12Master)
}

// testDeriveOne checks what DeriveKeys makes of NIST's pre-master secret.
func testDeriveOne(t ck.MechanismType, p any, want string) error {
	list, err := Find(t).DeriveKeys(secretKey(ck.CKK_GENERIC_SECRET, unhex(tls12Premaster)), p, &Derivation{})
	if err == nil && (len(list) != 1 || hex.EncodeToString(list[0].Values[0].Value) != want) {
		err = errSelfTest(t)
	}
	return err
}

func testExtendedMaster(t ck.MechanismType) error {
	p := &TLS12ExtendedMasterKeyDeriveParams{Hash: ck.CKM_SHA512_256, SessionHash: unhex(tls12Client + tls12Server)}
	return testDeriveOne(t, p,
		"17be20a3b4cc05524d7de353b2f125537c23372144111b0367bda166fcfc09cf1c94909a408b986f53afbdc41d93ae09")
}

func testTLSKDF(t ck.MechanismType) error {
	p := &TLSKDFParams{PRF: ck.CKM_SHA256, Label: []byte("master secret"), Random: SSL3RandomData{unhex(tls12Client), unhex(tls12Server)}}
	k := secretKey(ck.CKK_GENERIC_SECRET, unhex(tls12Premaster))
	out, err := Find(t).Derive(k, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: premasterLen})
	if err == nil && hex.EncodeToString(out) != tls12Master {
		err = errSelfTest(t)
	}
	return err
}

func testTLSMAC(t ck.MechanismType) error {
	k := secretKey(ck.CKK_GENERIC_SECRET, unhex("916abf9da55973e13614ae0a3f5d3f37b023ba129aee02cc9134338127cd7049781c8e19fc1eb2a7387ac06ae237344c"))
	return testMAC(t, k, &TLSMACParams{PRF: ck.CKM_SHA256, Len: finishedLen, ServerOrClient: 2},
		"061dda04b3c2217ff73bd79b9cf88a2bb6ec505404aac8722db03ef417b54cb4", "cf919626f1360c536aaad73a")
}

func testTLSPRF() error {
	out, err := prf10(0, bytes.Repeat([]byte{0xab}, 48), "PRF Testvector", bytes.Repeat([]byte{0xcd}, 64), 104)
	if err != nil {
		return err
	}
	const answer = "d3d4d1e349b5d515044666d51de32bab258cb521b6b053463e354832fd976754443bcf9a296519bc289abcbc1187e4eb" +
		"d31e602353776c408aafb74cbc85eff69255f9788faa184cbb957a9819d84a5d7eb006eb459d3ae8de9810454b8b2d8f1afbc655a8c9a013"
	if hex.EncodeToString(out) != answer {
		return errSelfTest(ck.CKM_TLS_PRF)
	}
	return nil
}

// Cases of OpenJDK's tests of TLS key material: a pre-master secret and its
// master secret, and a key block, for SSL 3.0 and TLS 1.0.
var (
	masterCases = map[bool]struct{ premaster, client, server, master string }{
		true: {"030003c1b81b26380f8bfb51b8ba089f41fb55255972c58fad416e6a6bac88b90f2b4964e4b151b1da4e0f41e2bc3d3e",
			"42f807b4772f349e0ef553f65c8affbdad7055c4c786ef8087c2fa83de73f864",
			"42f807b4c2037bc5a8a5c2e43b9629da361de1f4a9369636aa18320fe039f888",
			"a55affa44e4de86e7af8e670dc4c47389ab9a36dd5852713b972fa9134ce5b41465353bd8c126d8da5de22db2a4ace17"},
		false: {"0301a75430e0fd23630a2ba973bb075e470c6fa3a45f519dc139ff43856cf4eef2725a196e20e8e5a5b0122e9f313ddc",
			"42f807b4d4c497f98bb821cc13bde559e07ef289e372fad7ea2f4c752f7595e1",
			"42f807b40b0ef255e2c926e6749224d59e19ffe0e49ec3bda20fd67c236bf8f6",
			"ae65d10e022ac8a57d7ccf15326b998cf8db6aa96b193b8fe8b8bf243164bbd1463f922a96e6ec32c91584b95b7e3f89"},
	}
	blockCases = map[bool]struct{ master, client, server, block string }{
		true: {"8e38d65ad191ad3edded6b663852e0472ead0b1e40d11f0938fecb4b8e5b9410479bf018dac76f0312d0e27fc713c521",
			"42f336593d0e5a2f60fd03b89a95a502e5d2c78f688792a934551fb5ba845fd4",
			"42f33659bd5b1b731bfb85b293f08c96baba0af08a0d92d290b0762596be71b8",
			"bbbc0e6dd1981a0aa64abcc15f9a5d744c6e877f" + "cb266c1caf72b6cbb2644661b9693befdd4ab721" +
				"7c45ca74aa73d781f26e5d8e8f4286d5" + "9cf6bf9c8ea40eec82bd7422759125c2" +
				"03f3fd5c95c51e2f060646f8fcf1e107" + "3e6b68a9967f09e1e467f258b35de59a"},
		false: {"d5a3df4748f70b3599f3cdeacc07c501a2b7d76441c55831a73daf9556ceb734cbd5ea37f51a864e86e63f6142f35829",
			"42f3365ad463252ea606b7d1c085fe36bb0435bdd352f67094e68dd8fd2340b3",
			"42f3365a2ad19bf900b566d2d4286595c64ca02347b6670e4fbffaca53c9f687",
			"9ed307043816c928d4849c7cef3d63ae31726f96" + "d942208f162f94b333e1bbeb63bef95bee23de6d" +
				"ed6b182ffbb9253a4c3084126807e248" + "9a371b912db5e0945c650bbad7cf5d43" +
				"73bf174b9224992fc095ae5138cd048e" + "580741cc476cde0b77e9300065ae0b59"},
	}
)

func testMaster(prf tlsPRF, ssl bool) error {
	c := masterCases[ssl]
	out, err := prf(0, unhex(c.premaster), "master secret", unhex(c.client+c.server), premasterLen)
	if err == nil && hex.EncodeToString(out) != c.master {
		err = errSelfTest(ck.CKM_TLS_MASTER_KEY_DERIVE)
	}
	return err
}

// testKeyMaterial makes a key block by the mechanism t and puts the pieces
// together again.
func testKeyMaterial(t ck.MechanismType) error {
	c := blockCases[t == ck.CKM_SSL3_KEY_AND_MAC_DERIVE]
	hash := ck.CKM_TLS_PRF // of TLS 1.0; SSL 3.0 has none
	out := &SSL3KeyMatOut{IVClient: []byte{}, IVServer: []byte{}}
	random := SSL3RandomData{unhex(c.client), unhex(c.server)}
	var p any = &SSL3KeyMatParams{MACBits: 160, KeyBits: 128, IVBits: 128, Random: random, Out: out}
	if m := Find(t); m.Param == any((*TLS12KeyMatParams)(nil)) {
		p = &TLS12KeyMatParams{MACBits: 160, KeyBits: 128, IVBits: 128, Random: random, Out: out, Hash: hash}
	}
	list, err := Find(t).DeriveKeys(secretKey(ck.CKK_GENERIC_SECRET, unhex(c.master)), p, &Derivation{})
	if err != nil {
		return err
	}
	var block []byte
	for _, d := range list {
		block = append(block, d.Values[0].Value...)
	}
	block = slices.Concat(block, out.IVClient, out.IVServer)
	if hex.EncodeToString(block) != c.block {
		return errSelfTest(t)
	}
	return nil
}
