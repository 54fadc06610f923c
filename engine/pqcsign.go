package engine

import (
	"crypto/sha3"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
)

// What ML-DSA and SLH-DSA share: their parameters, and the hashes that go
// before them (PKCS#11 v3.2, sections 6.67 and 6.69; FIPS 204, section 5.4;
// FIPS 205, section 10.2).

// SignAdditionalContext is CK_SIGN_ADDITIONAL_CONTEXT.
type SignAdditionalContext struct {
	Hedge   uint64
	Context []byte `c:"ptr,len"`
}

// HashSignAdditionalContext is CK_HASH_SIGN_ADDITIONAL_CONTEXT.
type HashSignAdditionalContext struct {
	Hedge   uint64
	Context []byte `c:"ptr,len"`
	Hash    ck.MechanismType
}

// signContext is a parameter that was checked.
type signContext struct {
	context []byte
	// deterministic leaves out the randomness that signatures have by default.
	deterministic bool
	hash          *preHash // nil for the pure variants
}

// pureContext reads the parameter of a pure variant, which may be absent.
func pureContext(p any) (*signContext, error) {
	s, _ := p.(*SignAdditionalContext)
	if s == nil {
		if _, typed := p.(*SignAdditionalContext); !typed {
			if err := noParam(p); err != nil {
				return nil, err
			}
		}
		return &signContext{}, nil
	}
	return newSignContext(s.Hedge, s.Context, nil)
}

// hashContext reads the parameter of a mechanism that hashes the message with
// h.
func hashContext(h *preHash) func(p any) (*signContext, error) {
	return func(p any) (*signContext, error) {
		c, err := pureContext(p)
		if err != nil {
			return nil, err
		}
		c.hash = h
		return c, nil
	}
}

// digestContext reads the parameter that says what hash a digest is of.
func digestContext(p any) (*signContext, error) {
	s, err := structParam[HashSignAdditionalContext](p)
	if err != nil {
		return nil, err
	}
	for i := range preHashes {
		if h := &preHashes[i]; h.digest == s.Hash || h.derivation == s.Hash && s.Hash != 0 {
			return newSignContext(s.Hedge, s.Context, h)
		}
	}
	return nil, fmt.Errorf("unknown hash: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

func newSignContext(hedge uint64, context []byte, h *preHash) (*signContext, error) {
	if len(context) > 255 {
		return nil, fmt.Errorf("a context has 255 bytes at most: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if hedge > ck.CKH_DETERMINISTIC_REQUIRED {
		return nil, fmt.Errorf("unknown hedgeVariant: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return &signContext{context, hedge == ck.CKH_DETERMINISTIC_REQUIRED, h}, nil
}

// preHash is a hash function that can go before a signature.
type preHash struct {
	digest ck.MechanismType
	// derivation is the mechanism of the standard that names the function
	// where it has no digest mechanism for it.
	derivation ck.MechanismType
	mldsa      ck.MechanismType // CKM_HASH_ML_DSA_..., 0 if there is none
	slhdsa     ck.MechanismType // CKM_HASH_SLH_DSA_...
	arc        byte             // the last one of its OID, 2.16.840.1.101.3.4.2.arc
	size       int
	new        func() hash.Hash
}

var preHashes = makePreHashes()

func makePreHashes() []preHash {
	list := []preHash{
		{digest: ck.CKM_SHA224, mldsa: ck.CKM_HASH_ML_DSA_SHA224, slhdsa: ck.CKM_HASH_SLH_DSA_SHA224, arc: 4},
		{digest: ck.CKM_SHA256, mldsa: ck.CKM_HASH_ML_DSA_SHA256, slhdsa: ck.CKM_HASH_SLH_DSA_SHA256, arc: 1},
		{digest: ck.CKM_SHA384, mldsa: ck.CKM_HASH_ML_DSA_SHA384, slhdsa: ck.CKM_HASH_SLH_DSA_SHA384, arc: 2},
		{digest: ck.CKM_SHA512, mldsa: ck.CKM_HASH_ML_DSA_SHA512, slhdsa: ck.CKM_HASH_SLH_DSA_SHA512, arc: 3},
		{digest: ck.CKM_SHA512_224, arc: 5},
		{digest: ck.CKM_SHA512_256, arc: 6},
		{digest: ck.CKM_SHA3_224, mldsa: ck.CKM_HASH_ML_DSA_SHA3_224, slhdsa: ck.CKM_HASH_SLH_DSA_SHA3_224, arc: 7},
		{digest: ck.CKM_SHA3_256, mldsa: ck.CKM_HASH_ML_DSA_SHA3_256, slhdsa: ck.CKM_HASH_SLH_DSA_SHA3_256, arc: 8},
		{digest: ck.CKM_SHA3_384, mldsa: ck.CKM_HASH_ML_DSA_SHA3_384, slhdsa: ck.CKM_HASH_SLH_DSA_SHA3_384, arc: 9},
		{digest: ck.CKM_SHA3_512, mldsa: ck.CKM_HASH_ML_DSA_SHA3_512, slhdsa: ck.CKM_HASH_SLH_DSA_SHA3_512, arc: 10},
		{digest: ck.CKM_SHAKE_128, derivation: ck.CKM_SHAKE_128_KEY_DERIVATION,
			mldsa: ck.CKM_HASH_ML_DSA_SHAKE128, slhdsa: ck.CKM_HASH_SLH_DSA_SHAKE128, arc: 11,
			size: 32, new: func() hash.Hash { return &xofHash{sha3.NewSHAKE128(), 32} }},
		{digest: ck.CKM_SHAKE_256, derivation: ck.CKM_SHAKE_256_KEY_DERIVATION,
			mldsa: ck.CKM_HASH_ML_DSA_SHAKE256, slhdsa: ck.CKM_HASH_SLH_DSA_SHAKE256, arc: 12,
			size: 64, new: func() hash.Hash { return &xofHash{sha3.NewSHAKE256(), 64} }},
	}
	for i := range list {
		if f := findHash(list[i].digest); f != nil && list[i].new == nil {
			list[i].size, list[i].new = f.size, f.new
		}
	}
	return list
}

// xofHash is a SHAKE with a fixed length of output, read once at the end.
type xofHash struct {
	*sha3.SHAKE
	size int
}

func (x *xofHash) Size() int { return x.size }

func (x *xofHash) Sum(b []byte) []byte {
	digest := make([]byte, x.size)
	x.Read(digest)
	return append(b, digest...)
}

// message is M' of a digest, the message that is signed in its place.
func (c *signContext) message(digest []byte) []byte {
	m := append([]byte{1, byte(len(c.context))}, c.context...)
	m = append(m, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, c.hash.arc)
	return append(m, digest...)
}

// contextReader reads the parameter of one mechanism.
type contextReader func(p any) (*signContext, error)

// pqcSigner and pqcVerifier do the work of one algorithm: with the message, or
// with the digest of one if the context has a hash.
type (
	pqcSigner   func(k *Key, c *signContext) (size int, sign func(dst, message []byte) (int, error), err error)
	pqcVerifier func(k *Key, c *signContext) (verify func(message, sig []byte) error, err error)
)

// with is Sign of a row. With a hash, multi says that the message comes, in any
// number of parts, and otherwise its digest does, in one.
func (f pqcSigner) with(read contextReader, multi bool) func(*Key, any) (Op, error) {
	return func(k *Key, p any) (Op, error) {
		c, err := read(p)
		if err != nil {
			return nil, err
		}
		size, sign, err := f(k, c)
		switch {
		case err != nil:
			return nil, err
		case c.hash == nil:
			return newKeptOp(size, signFunc(sign)), nil
		case multi:
			return newHashedOp(&hasher{Hash: c.hash.new()}, size, signFunc(sign)), nil
		}
		return &once{max: size, exact: true, run: func(dst, digest []byte) (int, error) {
			if len(digest) != c.hash.size {
				return 0, fmt.Errorf("a digest has %d bytes: %w", c.hash.size, ck.CKR_DATA_LEN_RANGE)
			}
			return sign(dst, digest)
		}}, nil
	}
}

// with is Verify of a row.
func (f pqcVerifier) with(read contextReader, multi bool) func(*Key, any) (Verifier, error) {
	return func(k *Key, p any) (Verifier, error) {
		c, err := read(p)
		if err != nil {
			return nil, err
		}
		verify, err := f(k, c)
		switch {
		case err != nil:
			return nil, err
		case c.hash == nil:
			return newKeptVerifier(verifyFunc(verify)), nil
		case multi:
			return newHashedVerifier(&hasher{Hash: c.hash.new()}, verifyFunc(verify)), nil
		}
		return onceVerifier(func(digest, sig []byte) error {
			if len(digest) != c.hash.size {
				return fmt.Errorf("a digest has %d bytes: %w", c.hash.size, ck.CKR_DATA_LEN_RANGE)
			}
			return verify(digest, sig)
		}), nil
	}
}

// hedge is the randomness of a signature: zeros if there is to be none.
func (c *signContext) hedge(b []byte) error {
	if c.deterministic {
		return nil
	}
	if err := Random(b); err != nil {
		return fmt.Errorf("no randomness: %w", ck.CKR_FUNCTION_FAILED)
	}
	return nil
}
