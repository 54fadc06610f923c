package engine

import (
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/dl"
)

// Key encapsulation with mechanisms that are older than the word (PKCS#11 v3.2,
// sections 6.1.8, 6.1.10, 6.1.13, 6.4.13 and 6.4.17): RSA encrypts a secret made for
// the occasion, and Diffie-Hellman makes a key pair for the occasion, whose
// public value is the ciphertext.

// encapsulating adds C_EncapsulateKey and C_DecapsulateKey to a row that wraps
// with RSA. To decapsulate is to unwrap.
func encapsulating(m *Mechanism) *Mechanism {
	m.CiphertextLen = rsaCiphertextLen
	m.Encapsulate = func(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
		n, err := wantedLen(d)
		if err != nil {
			return nil, nil, err
		}
		secret = make([]byte, n)
		if err := Random(secret); err != nil {
			return nil, nil, err
		}
		if isDES(d.Type) {
			oddParity(secret)
		}
		op, err := m.Wrap(public, p)
		if ciphertext, err = runOp(op, err, secret); err != nil {
			clear(secret)
			return nil, nil, err
		}
		return ciphertext, secret, nil
	}
	m.Decapsulate = func(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
		op, err := m.Unwrap(private, p)
		if err != nil {
			return nil, err
		}
		if e, ok := op.(Expecter); ok && d.Len > 0 {
			if err := e.Expect(d.Len); err != nil {
				return nil, err
			}
		}
		secret, err := runOp(op, nil, ciphertext)
		if err != nil {
			return nil, err
		}
		if d.Len > 0 && len(secret) != d.Len {
			clear(secret)
			return nil, ck.CKR_WRAPPED_KEY_LEN_RANGE
		}
		return secret, nil
	}
	return m
}

func rsaCiphertextLen(public *Key, _ any) (int, error) {
	pub, err := rsaPublic(public)
	if err != nil {
		return 0, err
	}
	return pub.Size(), nil
}

// Raw RSA: RSASVE of NIST SP 800-56B, section 7.2.1. The secret is a random number
// below n, all k bytes of it, or as many of the last as the key has, which is
// what unwrapping with raw RSA takes.

func rsasveEncapsulate(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
	pub, err := barePublic(public, p)
	if err != nil {
		return nil, nil, err
	}
	z, ciphertext := make([]byte, pub.Size()), make([]byte, pub.Size())
	excess := 8*len(z) - pub.Bits()
	for {
		if err := Random(z); err != nil {
			return nil, nil, err
		}
		z[0] &= 0xff >> excess
		err := publicRSA(pub, ciphertext, z, ck.CKR_DATA_INVALID)
		ct.Public(ciphertext)
		if err == nil && !trivialRSA(ciphertext, pub.Negative) {
			break
		}
	}
	secret, err = lastBytes(z, d.Len)
	return ciphertext, secret, err
}

func rsasveDecapsulate(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
	priv, err := barePrivate(private, p)
	if err != nil {
		return nil, err
	}
	z := make([]byte, priv.Size())
	if err := rsaOpen(priv, z, ciphertext); err != nil {
		return nil, err
	}
	if trivialRSA(ciphertext, priv.Negative) {
		return nil, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return lastBytes(z, d.Len)
}

// trivialRSA reports whether a ciphertext is 0, 1 or n-1, which are their own
// plaintexts. Ciphertexts are public.
func trivialRSA(c []byte, negative func([]byte) []byte) bool {
	last := len(c) - 1
	other := negative(c)
	return allZero(c[:last]) && c[last] <= 1 || allZero(other[:last]) && other[last] == 1
}

// encapsulate is Diffie-Hellman with the holder of a public key. The public value
// is as long as the prime.
func (t *dlType) encapsulate(public *Key) (ciphertext, z []byte, err error) {
	g, y, err := t.publicValue(public)
	if err != nil {
		return nil, nil, err
	}
	x, err := g.NewPrivate(Random, 0)
	if err != nil {
		return nil, nil, err
	}
	defer clear(x)
	own, err := t.public(g, x)
	if err != nil {
		return nil, nil, dlError(err)
	}
	if z, err = g.Shared(y, x); err != nil {
		return nil, nil, fmt.Errorf("unusable public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return append(make([]byte, len(g.P)-len(own), len(g.P)), own...), z, nil
}

// decapsulate finds the same secret.
func (t *dlType) decapsulate(private *Key, ciphertext []byte) ([]byte, error) {
	g, x, err := t.private(private)
	if err != nil {
		return nil, err
	}
	defer clear(x)
	if len(ciphertext) != len(g.P) {
		return nil, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	z, err := g.Shared(ciphertext, x)
	if errors.Is(err, dl.ErrPublic) {
		return nil, fmt.Errorf("the ciphertext is no public value of the group: %w", ck.CKR_ENCRYPTED_DATA_INVALID)
	}
	return z, dlError(err)
}

func (t *dlType) ciphertextLen(public *Key, _ any) (int, error) {
	g, err := t.group(public)
	if err != nil {
		return 0, err
	}
	return len(g.P), nil
}

func dhEncapsulate(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
	if err := noParam(p); err != nil {
		return nil, nil, err
	}
	ciphertext, z, err := dhType.encapsulate(public)
	if err != nil {
		return nil, nil, err
	}
	secret, err = lastBytes(z, d.Len)
	return ciphertext, secret, err
}

func dhDecapsulate(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	z, err := dhType.decapsulate(private, ciphertext)
	if err != nil {
		return nil, err
	}
	return lastBytes(z, d.Len)
}

// x942KEMParams is the parameter without a public value, checked.
func x942KEMParams(p any, d *Derivation) (*X942DH1Params, error) {
	params, err := structParam[X942DH1Params](p)
	if err != nil {
		return nil, err
	}
	if len(params.PublicData) > 0 {
		return nil, errKEMPublicData
	}
	return params, checkECKDF(params.KDF, params.OtherInfo, d.Len)
}

var errKEMPublicData = fmt.Errorf("public data with a KEM: %w", ck.CKR_MECHANISM_PARAM_INVALID)

func x942Encapsulate(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
	params, err := x942KEMParams(p, d)
	if err != nil {
		return nil, nil, err
	}
	ciphertext, z, err := x942Type.encapsulate(public)
	if err != nil {
		return nil, nil, err
	}
	secret, err = deriveECKey(params.KDF, z, params.OtherInfo, d.Len)
	return ciphertext, secret, err
}

func x942Decapsulate(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
	params, err := x942KEMParams(p, d)
	if err != nil {
		return nil, err
	}
	z, err := x942Type.decapsulate(private, ciphertext)
	if err != nil {
		return nil, err
	}
	return deriveECKey(params.KDF, z, params.OtherInfo, d.Len)
}
