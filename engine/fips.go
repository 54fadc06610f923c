package engine

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// What FIPS mode asks beside the sizes in the rows: functions for
// Mechanism.Approve. A key that must not be used answers as one that is too
// small would.

var (
	errNotApproved = fmt.Errorf("FIPS mode does not allow what the parameter names: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	errCurveInUse  = fmt.Errorf("in FIPS mode, keys that are not on P-224, P-256, P-384 or P-521 only verify, decrypt and decapsulate: %w", ck.CKR_KEY_SIZE_RANGE)
	errNewCurve    = fmt.Errorf("in FIPS mode, new keys are on P-224, P-256, P-384 or P-521: %w", ck.CKR_CURVE_NOT_SUPPORTED)
	errTwoKeys     = fmt.Errorf("in FIPS mode, triple DES with fewer than three keys only decrypts, verifies and unwraps: %w", ck.CKR_KEY_SIZE_RANGE)
)

// approveAll approves what all of a list approve.
func approveAll(list ...func(*Key, any, bool) error) func(*Key, any, bool) error {
	return func(k *Key, p any, produce bool) error {
		for _, approve := range list {
			if err := approve(k, p, produce); err != nil {
				return err
			}
		}
		return nil
	}
}

// approveCurve approves keys on the curves of NIST over prime fields (SP
// 800-186, section 3.2.1). The binary ones are deprecated there, and the others
// are for interoperability: they stay good for what exists.
func approveCurve(k *Key, _ any, produce bool) error {
	if k != nil && produce && !onNISTCurve(k) {
		return errCurveInUse
	}
	return nil
}

// approveNewCurve is approveCurve for a key that is being made.
func approveNewCurve(k *Key, _ any, _ bool) error {
	if k != nil && !onNISTCurve(k) {
		return errNewCurve
	}
	return nil
}

func onNISTCurve(k *Key) bool {
	c, err := ecCurve(k)
	return err == nil && c.nist != nil
}

// approveDES3 approves keys of triple DES that are three (SP 800-67, section
// 3.1, and SP 800-131A).
func approveDES3(k *Key, _ any, produce bool) error {
	if k == nil || !produce {
		return nil
	}
	v := k.Value()
	if len(v) != 24 || ct.Equal(v[:8], v[8:16])|ct.Equal(v[:8], v[16:])|ct.Equal(v[8:16], v[16:]) != 0 {
		return errTwoKeys
	}
	return nil
}

// approvePRFKey is approveDES3 for a key that CMAC derives with.
func approvePRFKey(k *Key, p any, produce bool) error {
	if k != nil && (k.Type == ck.CKK_DES2 || k.Type == ck.CKK_DES3) && prfOf(p) == ck.CKM_DES3_CMAC {
		return approveDES3(k, p, produce)
	}
	return nil
}

// prfOf is the mechanism that the parameter of a derivation names as its
// pseudorandom function; CK_UNAVAILABLE_INFORMATION if it names none.
func prfOf(p any) ck.MechanismType {
	switch p := p.(type) {
	case *SP800108Params:
		if p != nil {
			return p.PRF
		}
	case *SP800108FeedbackParams:
		if p != nil {
			return p.PRF
		}
	case *KDFPRFParams:
		if p != nil {
			return kdfPRFs[p.PRF].mechanism
		}
	case *IKEPRFDeriveParams:
		if p != nil {
			return p.PRF
		}
	case *IKE2PRFPlusDeriveParams:
		if p != nil {
			return p.PRF
		}
	case *IKE1PRFDeriveParams:
		if p != nil {
			return p.PRF
		}
	case *IKE1ExtendedDeriveParams:
		if p != nil {
			return p.PRF
		}
	}
	return ck.MechanismType(ck.UnavailableInformation)
}

// approvePRF approves MACs that are approved themselves. What is none at all the
// mechanism refuses.
func approvePRF(_ *Key, p any, produce bool) error {
	if m := Find(prfOf(p)); m != nil && !m.Approved(produce) {
		return errNotApproved
	}
	return nil
}

// approveDigest approves a hash function that a parameter names.
func approveDigest(t ck.MechanismType) error {
	if m := Find(t); m != nil && m.Digest != nil && m.FIPS {
		return nil
	}
	return errNotApproved
}

// approveTLSHash approves the functions of TLS 1.2 (SP 800-135, section 4.2.2).
func approveTLSHash(_ *Key, p any, _ bool) error {
	var hash ck.MechanismType
	switch p := p.(type) {
	case *TLS12KeyMatParams:
		if p == nil {
			return nil
		}
		hash = p.Hash
	case *TLS12ExtendedMasterKeyDeriveParams:
		if p == nil {
			return nil
		}
		hash = p.Hash
	default:
		return nil
	}
	if hash == ck.CKM_SHA_1 {
		return errNotApproved
	}
	return approveDigest(hash)
}

// approveParameterHash approves the hash function that domain parameters are
// made with.
func approveParameterHash(_ *Key, p any, _ bool) error {
	if p, ok := p.(*DSAParameterGenParams); ok && p != nil {
		return approveDigest(p.Hash)
	}
	return nil
}

// approveKDF approves the functions of SP 800-56C and of ANSI X9.63 with hash
// functions of NIST, and none at all: what comes out then is for another
// derivation.
func approveKDF(_ *Key, p any, _ bool) error {
	var kdf ck.KDF
	switch p := p.(type) {
	case *ECDH1DeriveParams:
		if p != nil {
			kdf = p.KDF
		}
	case *ECMQVDeriveParams:
		if p != nil {
			kdf = p.KDF
		}
	case *X942DH1Params:
		if p != nil {
			kdf = p.KDF
		}
	case *X942DH2Params:
		if p != nil {
			kdf = p.KDF
		}
	case *X942MQVParams:
		if p != nil {
			kdf = p.KDF
		}
	case *ECIESParams:
		if p != nil {
			kdf = p.KDF
		}
	}
	if ecKDFs[kdf].foreign {
		return errNotApproved
	}
	return nil
}

// approveECIES approves AES and HMAC, and triple DES for what exists.
func approveECIES(_ *Key, p any, produce bool) error {
	params, ok := p.(*ECIESParams)
	if !ok || params == nil {
		return nil
	}
	switch params.EncScheme {
	case ck.CKES_DES3_CBC, ck.CKES_DES3_CBC_PAD:
		if produce {
			return errNotApproved
		}
	case ck.CKES_XOR:
		return errNotApproved
	}
	if h := eciesHashes[params.MACScheme]; h != 0 {
		if params.MACScheme%2 == 0 { // not HMAC
			return errNotApproved
		}
		return approveDigest(h)
	}
	return nil
}

// approvePSS approves salts that are not longer than the digest (FIPS 186-5,
// section 5.4), and SHA-1 for old signatures only.
func approvePSS(_ *Key, p any, produce bool) error {
	params, ok := p.(*PSSParams)
	if !ok || params == nil {
		return nil
	}
	if produce && params.HashAlg == ck.CKM_SHA_1 {
		return errNotApproved
	}
	if h := shaFor(params.HashAlg); h != nil && params.SaltLen > uint64(h.size) {
		return fmt.Errorf("in FIPS mode, a salt is not longer than the digest: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return nil
}
