package engine

import (
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/dl"
)

// Diffie-Hellman with safe primes (PKCS #3; PKCS#11 v3.1, sections 6.4.5 to
// 6.4.7).

// Lengths of the prime in bits, and of one that we make.
const (
	dhMinBits    = 512
	dhMaxNewBits = 8192
	// dhMaxOwnBits is up to where every call makes a prime of its own. Longer
	// ones take minutes.
	dhMaxOwnBits = 1536
)

func init() { later(dhMechanisms) }

func dhMechanisms() {
	row := func(m *Mechanism) *Mechanism {
		m.Min, m.Max = dhMinBits, dlMaxKeyBits
		return m
	}
	register(
		row(&Mechanism{
			Type: ck.CKM_DH_PKCS_PARAMETER_GEN, Makes: ck.CKK_DH, Vectors: "the primes of RFC 3526 and RFC 7919 as OpenSSL has them",
			GenerateParameters: generateDHParameters, SelfTest: testDHParameters,
		}),
		row(&Mechanism{
			Type: ck.CKM_DH_PKCS_KEY_PAIR_GEN, Makes: ck.CKK_DH, Vectors: "RFC 5114 appendix A (public key of a private one)",
			GeneratePair: dhType.generatePair, SelfTest: testGenerateDH,
		}),
		row(&Mechanism{
			Type: ck.CKM_DH_PKCS_DERIVE, Param: []byte(nil), Keys: []ck.KeyType{ck.CKK_DH}, Vectors: "RFC 5114 appendix A; NIST CAVP KASValidityTest FFCStatic",
			Derive: dhDerive, SelfTest: testDH,
			Encapsulate: dhEncapsulate, CiphertextLen: dhType.ciphertextLen, Decapsulate: dhDecapsulate,
		}),
	)
}

// generateDHParameters makes a safe prime, with 2 as the base. From 2048 bits on
// the primes of RFC 7919 serve where there is one of the length: NIST SP 800-56A
// wants these, and others take minutes to find.
func generateDHParameters(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if err := refuseValues(template, ck.CKA_PRIME, ck.CKA_BASE); err != nil {
		return nil, err
	}
	n, err := templateBits(template, ck.CKA_PRIME_BITS, 0)
	if err != nil {
		return nil, err
	}
	prime := dl.NamedPrime(n)
	switch {
	case n < dhMinBits || n > dhMaxNewBits || n > dhMaxOwnBits && prime == nil:
		return nil, fmt.Errorf("primes are of %d to %d bits, or of 2048, 3072, 4096, 6144 or 8192: %w", dhMinBits, dhMaxOwnBits, ck.CKR_KEY_SIZE_RANGE)
	case n <= dhMaxOwnBits:
		if prime, err = dl.NewSafePrime(Random, n); err != nil {
			return nil, err
		}
	}
	return []ck.Attribute{ck.NewBytes(ck.CKA_PRIME, prime.Bytes()), ck.NewBytes(ck.CKA_BASE, []byte{2})}, nil
}

// dhDerive takes the public value of the other party as its parameter. The
// result is as long as the prime; what is too much of it is cut off in front.
func dhDerive(base *Key, p any, d *Derivation) ([]byte, error) {
	other, ok := p.([]byte)
	if !ok || len(other) == 0 {
		return nil, fmt.Errorf("the parameter must be the other party's public value: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	z, err := dhType.shared(base, other)
	if err != nil {
		return nil, err
	}
	return lastBytes(z, d.Len)
}

// shared is the shared secret of a private key and the other party's public
// value.
func (t *dlType) shared(k *Key, other []byte) ([]byte, error) {
	g, x, err := t.private(k)
	if err != nil {
		return nil, err
	}
	z, err := g.Shared(other, x)
	return z, agreementError(err)
}

// agreementError is dlError for public values in parameters.
func agreementError(err error) error {
	if errors.Is(err, dl.ErrPublic) {
		return fmt.Errorf("the other party's public value is not of the group: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return dlError(err)
}
