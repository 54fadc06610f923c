package hsm

import (
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// What the policies of a partition say of keys. Those that switch a mechanism
// off are in permits.

// signing are the uses that policies 17 and 29 are about.
var signing = [numUses]bool{p11.OpSign: true, p11.OpSignRecover: true, p11.OpMessageSign: true}

// checkKeyPolicies says whether the policies let a key be used so now, and whether
// it has to be blinded.
func (h *HSM) checkKeyPolicies(s *settings, u use, key *object) error {
	if key.class == ck.CKO_PRIVATE_KEY {
		key.key().Blind.Store(!s.on(policyUnblindedRSA)) // RSA looks at it
	}
	if signing[u] {
		if !s.on(policyNonLocalSigning) && !key.bool(ck.CKA_LOCAL) {
			return denyFor(refuseNonLocalSigning, ck.CKA_LOCAL, "CKA_LOCAL of the key is false: it was not generated here")
		}
		if !s.on(policySignUnconfirmed) && key.unconfirmable() {
			return denyFor(refuseUnconfirmed, ck.CKA_PUBLIC_EXPONENT, "no signature is given out unverified, and the key has no public exponent to verify it with")
		}
	}
	if s.on(policyDates) {
		return h.checkDates(key)
	}
	return nil
}

// unconfirmable reports whether signatures of the key cannot be verified with
// what it knows. All others are, always: that is how the engine guards against
// computations gone wrong.
func (o *object) unconfirmable() bool {
	return o.class == ck.CKO_PRIVATE_KEY && o.keyType() == ck.CKK_RSA && len(o.bytes(ck.CKA_PUBLIC_EXPONENT)) == 0
}

// checkDates enforces CKA_START_DATE and CKA_END_DATE, both days included, by
// the calendar of UTC. An empty date bounds nothing.
func (h *HSM) checkDates(key *object) error {
	start, end := string(key.bytes(ck.CKA_START_DATE)), string(key.bytes(ck.CKA_END_DATE))
	if start == "" && end == "" {
		return nil
	}
	today := h.opts.Now().UTC().Format("20060102")
	t := ck.CKA_START_DATE
	if end != "" && today > end {
		t = ck.CKA_END_DATE
	}
	if start != "" && today < start || t == ck.CKA_END_DATE {
		return denyFor(refuseDates, t, "the key is for use from %q to %q, and today is %s", start, end, today)
	}
	return nil
}

// functions are what policy 10 counts: attributes that are the two sides of one
// purpose count once, or no secret key would be of use.
var functions = [][]ck.AttributeType{
	{ck.CKA_ENCRYPT, ck.CKA_DECRYPT},
	{ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER},
	{ck.CKA_WRAP, ck.CKA_UNWRAP},
	{ck.CKA_DERIVE},
	{ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE},
}

// mayServe enforces policy 10 on a key in the making, or one that changes.
func (s *settings) mayServe(class ck.ObjectClass, l attrList) error {
	if s.on(policyMultipurpose) || !isKey(class) {
		return nil
	}
	var first ck.AttributeType
	for _, f := range functions {
		i := slices.IndexFunc(f, l.bool)
		switch {
		case i < 0:
		case first == 0:
			first = f[i]
		default:
			return denyFor(refuseMultipurpose, f[i], "the key has %v too", first)
		}
	}
	return nil
}

// mayChange enforces policy 11 on an attribute of o that is to become a.
func (s *settings) mayChange(o *object, a ck.Attribute) error {
	if s.on(policyChangeAttributes) || !isKey(o.class) || o.equals(a) {
		return nil
	}
	if a.Type == ck.CKA_EXTRACTABLE || slices.ContainsFunc(functions, func(f []ck.AttributeType) bool { return slices.Contains(f, a.Type) }) {
		return denyFor(refuseChangeAttributes, a.Type, "%v of a key does not change", a.Type)
	}
	return nil
}

// mayWrap enforces policies 1 and 5.
func (s *settings) mayWrap(key *object) error {
	if key.class == ck.CKO_PRIVATE_KEY && !s.on(policyPrivateWrap) {
		return denyFor(refusePrivateWrap, ck.CKA_CLASS, "private keys are not wrapped")
	}
	if key.class == ck.CKO_SECRET_KEY && !s.on(policySecretWrap) {
		return denyFor(refuseSecretWrap, ck.CKA_CLASS, "secret keys are not wrapped")
	}
	return nil
}

// mayUnwrap enforces policies 2 and 6.
func (s *settings) mayUnwrap(class ck.ObjectClass) error {
	if class == ck.CKO_PRIVATE_KEY && !s.on(policyPrivateUnwrap) {
		return denyFor(refusePrivateUnwrap, ck.CKA_CLASS, "private keys are not unwrapped")
	}
	if class == ck.CKO_SECRET_KEY && !s.on(policySecretUnwrap) {
		return denyFor(refuseSecretUnwrap, ck.CKA_CLASS, "secret keys are not unwrapped")
	}
	return nil
}

// Policy 34 off bounds keys under CBC with padding to a block of AES and more:
// of shorter ones an answer to a guess at the padding tells most. The padding
// makes a key of smallKey bytes, and no longer one, a ciphertext of smallWrapped
// bytes or fewer, whatever the length of the cipher's blocks.
const (
	smallKey     = 15
	smallWrapped = 16
)
