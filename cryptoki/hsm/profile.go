package hsm

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// profile is a way to behave where the standard and devices differ: data that
// the code asks, so that nothing else knows which profiles there are. The
// profiles themselves are in profiletable.go. What is left out of one is as the
// standard has it.
type profile struct {
	name, about string
	// hsmPolicies and partitionPolicies are the settings that differ from the
	// tables of policy.go as long as nobody changes them.
	hsmPolicies, partitionPolicies map[uint64]uint64
	// minSOPIN is the least length in bytes of the PINs of the HSM SO and the
	// Auditor. Policy 25 has that of a partition's roles.
	minSOPIN int
	// storage is what the HSM has for partitions, in bytes; 0 for no limit.
	storage uint64
	// cloneOrWrap says that partition policies 0 and 1 exclude each other.
	cloneOrWrap bool
	// limitedOfficer says that partitions can have a Limited Crypto Officer.
	limitedOfficer bool
	// narrowRoles says that roles have only the rights that devices give them:
	// the lower-case letters of the access table.
	narrowRoles bool
	// pins, hsmLabels and labels are the characters that PINs, the label of the
	// HSM and those of partitions may have.
	pins, hsmLabels, labels alphabet
	// cutLabels says that labels that are too long are cut, not refused.
	cutLabels bool

	info profileInfo
	// lacks are the functions that answer CKR_FUNCTION_NOT_SUPPORTED.
	lacks []lack
	// mechanisms are those that there are, with what they may do; nil for all
	// that the engine has.
	mechanisms func() *mechanismList
	// remap names, by the mechanisms that make key pairs outside FIPS mode only,
	// those that stand in for them there if the configuration wants it.
	remap map[ck.MechanismType]ck.MechanismType
	// ownIV says that in FIPS mode whoever encrypts or signs must not choose
	// the IV of mechanisms that can make one.
	ownIV bool

	// defaults go before those of the schemas.
	defaults []profileDefault
	// plaintext are the rules for keys that C_CreateObject makes.
	plaintext plaintextRules
	// needsLength says that C_UnwrapKey wants CKA_VALUE_LEN for secret keys of a
	// type without a fixed length, and C_DeriveKey for those that are no generic
	// secrets.
	needsLength bool

	// answers are the codes of rules, where they are not the standard's, renames
	// those of failures that no rule decided.
	answers map[refusal]ck.RV
	renames map[ck.RV]ck.RV
	causes  map[error]ck.RV // errors of the engine that have a code of their own

	lacking [p11.NumKinds][]*lack // lacks, by kind
}

// profileInfo is what C_GetInfo, C_GetSlotInfo and C_GetTokenInfo say; empty
// strings and versions are filled in by the code.
type profileInfo struct {
	cryptoki, library ck.Version
	description       string // of the library
	slot              string // description of a slot; "" for one with the partition's name
	model             string
	firmware          string // of which the infos show what a CK_VERSION can
	// The flags are those that a slot, a token and every mechanism have.
	slotFlags, tokenFlags, mechanismFlags ck.Flags
}

// lack is one or more functions that a profile does not have: the requests of
// these kinds, for these operations (none for any), if only agrees (nil for
// always).
type lack struct {
	functions []string
	kinds     []p11.Kind
	ops       []p11.Operation
	only      func(p11.Request) bool
}

// matches reports whether a request of one of the kinds is meant.
func (l *lack) matches(req p11.Request) bool {
	if l.only != nil && !l.only(req) {
		return false
	}
	return len(l.ops) == 0 || slices.Contains(l.ops, operationOf(req))
}

// operationOf is the operation that a request is about.
func operationOf(req p11.Request) p11.Operation {
	switch q := req.(type) {
	case *p11.Begin:
		return q.Op
	case *p11.Update:
		return q.Op
	case *p11.Finish:
		return q.Op
	case *p11.Message:
		return q.Op
	case *p11.EndMessages:
		return q.Op
	}
	return p11.Operation(p11.NumOperations)
}

// supports refuses functions that the profile lacks.
func (p *profile) supports(req p11.Request) error {
	for _, l := range p.lacking[req.Kind()] {
		if l.matches(req) {
			return deny(refuseFunction, "the profile %s does not have this function (%s)", p.name, l.functions[0])
		}
	}
	return nil
}

// profileDefault is what attributes are that a template does not give.
type profileDefault struct {
	attrs   []ck.AttributeType
	classes []ck.ObjectClass // none for every class of keys
	origins []origin         // none for every origin
	value   func(role p11.Role, class ck.ObjectClass) bool
}

func (d *profileDefault) applies(t ck.AttributeType, class ck.ObjectClass, o origin) bool {
	switch {
	case !slices.Contains(d.attrs, t):
		return false
	case len(d.classes) == 0 && !isKey(class), len(d.classes) > 0 && !slices.Contains(d.classes, class):
		return false
	}
	return len(d.origins) == 0 || slices.Contains(d.origins, o)
}

// defaultOf is the value of an attribute that has a default and was not given.
func (p *profile) defaultOf(r *row, class ck.ObjectClass, o origin, role p11.Role) []byte {
	for i := range p.defaults {
		if d := &p.defaults[i]; d.applies(r.t, class, o) {
			return ck.PutBool(d.value(role, class))
		}
	}
	return r.def(o)
}

// plaintextRules are about keys whose value comes from outside in the clear.
type plaintextRules struct {
	notInFIPS bool // secret and private keys not at all in FIPS mode
	// sensitive and private are what token objects must be.
	sensitive, private bool
}

// admits refuses a secret or private key that C_CreateObject may not make.
func (p plaintextRules) admits(l attrList, fips bool) error {
	switch {
	case p.notInFIPS && fips:
		return deny(refusePlaintextFIPS, "FIPS mode takes no secret or private key in the clear")
	case !l.bool(ck.CKA_TOKEN):
		return nil
	case p.sensitive && l.get(ck.CKA_SENSITIVE) == nil:
		return denyFor(refusePlaintextSilent, ck.CKA_SENSITIVE, "a key in the clear must say that it is sensitive")
	case p.sensitive && !l.bool(ck.CKA_SENSITIVE):
		return denyFor(refusePlaintextOpen, ck.CKA_SENSITIVE, "a token key in the clear must be sensitive")
	case p.private && l.get(ck.CKA_PRIVATE) != nil && !l.bool(ck.CKA_PRIVATE):
		return denyFor(refusePlaintextOpen, ck.CKA_PRIVATE, "a token key in the clear must be private")
	}
	return nil
}

// wantsLength refuses a draft of a secret key whose length nobody said.
func (p *profile) wantsLength(d *draft, length int) error {
	if !p.needsLength || length != 0 || d.class != ck.CKO_SECRET_KEY {
		return nil
	}
	return denyFor(refuseTemplateIncomplete, ck.CKA_VALUE_LEN, "CKA_VALUE_LEN is missing, and the profile %s wants it", p.name)
}

// mechanism returns the row of a mechanism, nil if the profile has none.
func (p *profile) mechanism(t ck.MechanismType) *engine.Mechanism {
	if p.mechanisms == nil {
		return engine.Find(t)
	}
	return p.mechanisms().rows[t]
}

// listed are the rows of the mechanisms that C_GetMechanismList names.
func (p *profile) listed() []*engine.Mechanism {
	if p.mechanisms == nil {
		return engine.Mechanisms()
	}
	return p.mechanisms().listed
}

// answered is err as the profile answers it.
func (p *profile) answered(err error) error {
	if p.answers == nil && p.renames == nil {
		return err
	}
	rv := ck.RVOf(err)
	var r *p11.Refusal
	if errors.As(err, &r) {
		id := refusalNamed(r.Rule)
		if code, ok := p.answers[id]; ok && rv == refusalTable[id].code {
			return recoded(err, code)
		}
	}
	for cause, code := range p.causes {
		if errors.Is(err, cause) {
			return recoded(err, code)
		}
	}
	if code, ok := p.renames[rv]; ok {
		return recoded(err, code)
	}
	return err
}

// findProfile returns the profile of a name, nil if there is none; the first for
// no name.
func findProfile(name string) *profile {
	for _, p := range behaviours() {
		if p.name == name || name == "" {
			return p
		}
	}
	return nil
}

// behaviours are the profiles, ready for use.
var behaviours = sync.OnceValue(func() []*profile {
	for _, p := range profileTable {
		for i := range p.lacks {
			for _, kind := range p.lacks[i].kinds {
				p.lacking[kind] = append(p.lacking[kind], &p.lacks[i])
			}
		}
	}
	return profileTable
})

// profile is the profile of the HSM.
func (h *HSM) profile() *profile { return h.behaviour.Load() }

// alphabet lists the characters that a text may have besides letters and
// digits. A space may stand anywhere but at the beginning. The empty alphabet
// allows everything.
type alphabet string

func (a alphabet) allows(text []byte) bool {
	if a == "" {
		return true
	}
	for i, c := range text {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit && (strings.IndexByte(string(a), c) < 0 || c == ' ' && i == 0) {
			return false
		}
	}
	return true
}
