package hsm

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// use is something that a mechanism does: a p11.Operation, or one of the below.
type use uint8

const (
	useWrap use = use(p11.NumOperations) + iota
	useUnwrap
	useWrapAuthenticated
	useUnwrapAuthenticated
	useDerive
	useEncapsulate
	useDecapsulate
	useGenerate
	useGeneratePair
	numUses = iota + p11.NumOperations
)

// useRules says what a key needs for each use: the attribute that permits it,
// and the half of a key pair that does it (secret keys always fit).
var useRules = [numUses]struct {
	attr ck.AttributeType
	half ck.ObjectClass
	able func(m *engine.Mechanism) bool
}{
	p11.OpEncrypt:          {ck.CKA_ENCRYPT, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.Encrypt != nil }},
	p11.OpDecrypt:          {ck.CKA_DECRYPT, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.Decrypt != nil }},
	p11.OpDigest:           {able: func(m *engine.Mechanism) bool { return m.Digest != nil }},
	p11.OpSign:             {ck.CKA_SIGN, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.Sign != nil }},
	p11.OpVerify:           {ck.CKA_VERIFY, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.Verify != nil }},
	p11.OpSignRecover:      {ck.CKA_SIGN_RECOVER, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.SignRecover != nil }},
	p11.OpVerifyRecover:    {ck.CKA_VERIFY_RECOVER, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.VerifyRecover != nil }},
	p11.OpMessageEncrypt:   {ck.CKA_ENCRYPT, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.MessageEncrypt != nil }},
	p11.OpMessageDecrypt:   {ck.CKA_DECRYPT, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.MessageDecrypt != nil }},
	p11.OpMessageSign:      {ck.CKA_SIGN, ck.CKO_PRIVATE_KEY, (*engine.Mechanism).SignsMessages},
	p11.OpMessageVerify:    {ck.CKA_VERIFY, ck.CKO_PUBLIC_KEY, (*engine.Mechanism).VerifiesMessages},
	p11.OpVerifySignature:  {ck.CKA_VERIFY, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.Verify != nil }},
	useWrap:                {ck.CKA_WRAP, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.Wrap != nil }},
	useUnwrap:              {ck.CKA_UNWRAP, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.Unwrap != nil }},
	useWrapAuthenticated:   {ck.CKA_WRAP, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.MessageEncrypt != nil }},
	useUnwrapAuthenticated: {ck.CKA_UNWRAP, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.MessageDecrypt != nil }},
	useDerive:              {ck.CKA_DERIVE, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.Derive != nil || m.DeriveKeys != nil }},
	useEncapsulate:         {ck.CKA_ENCAPSULATE, ck.CKO_PUBLIC_KEY, func(m *engine.Mechanism) bool { return m.Encapsulate != nil }},
	useDecapsulate:         {ck.CKA_DECAPSULATE, ck.CKO_PRIVATE_KEY, func(m *engine.Mechanism) bool { return m.Decapsulate != nil }},
	useGenerate:            {able: func(m *engine.Mechanism) bool { return m.Generate != nil || m.GenerateParameters != nil }},
	useGeneratePair:        {able: func(m *engine.Mechanism) bool { return m.GeneratePair != nil }},
}

// producing are the uses that FIPS mode allows to keys and mechanisms of its own
// strength only; the others, which take what was made earlier, it allows to
// weaker ones too (SP 800-131A).
var producing = [numUses]bool{
	p11.OpEncrypt: true, p11.OpSign: true, p11.OpSignRecover: true,
	p11.OpMessageEncrypt: true, p11.OpMessageSign: true, p11.OpDigest: true,
	useWrap: true, useWrapAuthenticated: true, useDerive: true, useEncapsulate: true, useGenerate: true, useGeneratePair: true,
}

// mechanismFor finds the row of a mechanism that has the use, and may be used
// so on p.
func (h *HSM) mechanismFor(p *partition, m *ck.Mechanism, u use) (*engine.Mechanism, error) {
	if m == nil {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	row, err := h.findMechanism(p, m.Type)
	if err != nil {
		return nil, err
	}
	if able := useRules[u].able; able == nil || !able(row) {
		return nil, deny(refuseMechanismFunction, "%v does not serve this function", m.Type)
	}
	if err := h.permits(p, row); err != nil {
		return nil, err
	}
	if err := checkParam(row, m.Param); err != nil {
		return nil, err
	}
	if !p.fips() {
		return row, nil
	}
	if !row.Approved(producing[u]) {
		return nil, deny(refuseMechanismFIPS, "FIPS mode does not allow %v for this function", m.Type)
	}
	if err := h.checkIV(m, u); err != nil {
		return nil, err
	}
	if useRules[u].attr == 0 { // no key, which checkUse would look at
		if err := approve(row, nil, m.Param, producing[u]); err != nil {
			return nil, err
		}
	}
	return row, proven(row)
}

// findMechanism finds the row of a mechanism in the profile.
func (h *HSM) findMechanism(p *partition, t ck.MechanismType) (*engine.Mechanism, error) {
	prof := h.profile()
	if to, ok := prof.remap[t]; ok && h.opts.RemapKeyGen && p.fips() {
		t = to
	}
	if row := prof.mechanism(t); row != nil {
		return row, nil
	}
	if engine.Find(t) != nil {
		return nil, deny(refuseMechanismProfile, "the profile %s does not have %v", prof.name, t)
	}
	return nil, deny(refuseMechanismUnknown, "unknown mechanism %v", t)
}

// checkIV refuses the caller's IV where the profile wants the HSM's own, in FIPS
// mode.
func (h *HSM) checkIV(m *ck.Mechanism, u use) error {
	chosen, ok := m.Param.(interface{ CallersIV() bool })
	if ok && producing[u] && h.profile().ownIV && chosen.CallersIV() {
		return deny(refuseCallersIV, "in FIPS mode the HSM makes the IV of %v", m.Type)
	}
	return nil
}

// proven lets a mechanism prove itself before its first use in FIPS mode (FIPS
// 140-3, conditional self-tests).
func proven(row *engine.Mechanism) error {
	if err := row.Proven(); err != nil {
		return fmt.Errorf("%v fails its self-test (%v): %w", row.Type, err, ck.CKR_DEVICE_ERROR)
	}
	return nil
}

// checkParam makes sure that the engine gets a parameter of a type that it
// expects. Plain bytes and nothing it always bears, and judges itself.
func checkParam(row *engine.Mechanism, param any) error {
	switch param.(type) {
	case nil, []byte:
		return nil
	}
	t := reflect.TypeOf(param)
	if t == reflect.TypeOf(row.Param) || t == reflect.TypeOf(row.MessageParam) || t == reflect.TypeOf(row.WrapParam) {
		return nil
	}
	return fmt.Errorf("parameter of type %T: %w", param, ck.CKR_MECHANISM_PARAM_INVALID)
}

// checkUse is the one check of whether a key may be used, in the order of
// precedence that section 5.1.6 gives: type before permission. The codes are
// those of operations; wrapping and unwrapping rename them.
func (h *HSM) checkUse(p *partition, row *engine.Mechanism, u use, key *object, param any) error {
	rule := &useRules[u]
	kt := key.keyType()
	if !row.Takes(key.class, kt) {
		return denyFor(refuseKeyType, ck.CKA_KEY_TYPE, "%v does not work with keys of type %v", row.Type, kt)
	}
	switch {
	case key.class == ck.CKO_SECRET_KEY, key.class == rule.half:
	case u == useDerive && row.DerivesFromPublic:
	case u == useDerive:
		return denyFor(refuseKeyType, ck.CKA_CLASS, "%v derives from private keys", row.Type)
	default:
		// "The fact that the key MUST have a CKA_ENCRYPT attribute implies
		// that the key cannot be a private key" (section 5.1.6).
		return denyFor(refuseKeyHalf, ck.CKA_CLASS, "this is the other key of the pair")
	}
	if !key.bool(rule.attr) && !row.DerivesPublic {
		return denyFor(refuseKeyUsage, rule.attr, "%v of the key is false", rule.attr)
	}
	if err := checkAllowed(row.Type, key); err != nil {
		return err
	}
	if err := h.checkKeyPolicies(p.policies.Load(), u, key); err != nil {
		return err
	}
	if !p.fips() {
		return checkSize(row, key.key(), row.Min, row.Max)
	}
	if err := checkSize(row, key.key(), row.ApprovedMin(producing[u]), row.Max); err != nil {
		return err
	}
	return approve(row, key.key(), param, producing[u])
}

// approve is what FIPS mode asks of a key and a parameter, beside the size.
func approve(row *engine.Mechanism, key *engine.Key, param any, produce bool) error {
	if row.Approve == nil {
		return nil
	}
	return row.Approve(key, param, produce)
}

// checkAllowed enforces CKA_ALLOWED_MECHANISMS. An empty list is no
// restriction, because templates write "not set" that way.
func checkAllowed(m ck.MechanismType, key *object) error {
	list := key.bytes(ck.CKA_ALLOWED_MECHANISMS)
	if len(list) == 0 {
		return nil
	}
	if allowed, ok := ck.MechanismTypes(list); ok && slices.Contains(allowed, m) {
		return nil
	}
	return denyFor(refuseMechanismOfKey, ck.CKA_ALLOWED_MECHANISMS, "CKA_ALLOWED_MECHANISMS of the key lacks %v", m)
}

// checkSize compares the size of the key with what the mechanism bears.
func checkSize(row *engine.Mechanism, key *engine.Key, min, max uint64) error {
	if min == 0 && max == 0 {
		return nil
	}
	size := row.SizeOf(key)
	if size == 0 {
		return nil
	}
	if size < min || max != 0 && size > max {
		r := refuseKeySize
		if size >= row.Min && (max == 0 || size <= max) {
			r = refuseKeySizeFIPS
		}
		return deny(r, "key of size %d where %v takes %d to %d", size, row.Type, min, max)
	}
	return nil
}

// renamed replaces the code of an error, keeping its explanation for the log.
func renamed(err error, codes map[ck.RV]ck.RV) error {
	if err == nil {
		return nil
	}
	if code, ok := codes[ck.RVOf(err)]; ok {
		return recoded(err, code)
	}
	return err
}

type renamedError struct {
	text string
	code ck.RV
}

func (e *renamedError) Error() string { return e.code.Error() + ": " + e.text }
func (e *renamedError) Unwrap() error { return e.code }
