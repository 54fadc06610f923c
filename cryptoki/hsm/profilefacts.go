package hsm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleListProfiles tells people what each profile does, from the same tables
// by which it is done.
func (h *HSM) handleListProfiles(_ context.Context, _ *p11.ListProfiles, r *p11.ProfileList) error {
	for _, p := range behaviours() {
		r.Profiles = append(r.Profiles, p11.Profile{Name: p.name, About: p.about, Facts: p.facts()})
	}
	return nil
}

// factList collects the facts of a section.
type factList struct {
	section string
	list    []p11.ProfileFact
}

func (l *factList) add(name, format string, args ...any) {
	l.list = append(l.list, p11.ProfileFact{Section: l.section, Name: name, Value: fmt.Sprintf(format, args...)})
}

// factSections are the sections, and who fills them.
var factSections = []struct {
	name string
	fill func(p *profile, l *factList)
}{
	{"infos", (*profile).infoFacts},
	{"pins", (*profile).pinFacts},
	{"storage", (*profile).storageFacts},
	{"hsm-policies", func(p *profile, l *factList) { policyFacts(l, hsmPolicies, p.hsmPolicies) }},
	{"partition-policies", func(p *profile, l *factList) { policyFacts(l, partitionPolicies, p.partitionPolicies) }},
	{"defaults", (*profile).defaultFacts},
	{"templates", (*profile).templateFacts},
	{"fips", (*profile).fipsFacts},
	{"functions", (*profile).functionFacts},
	{"codes", (*profile).codeFacts},
	{"mechanisms", (*profile).mechanismFacts},
}

func (p *profile) facts() []p11.ProfileFact {
	var l factList
	for _, s := range factSections {
		l.section = s.name
		s.fill(p, &l)
	}
	return l.list
}

func (p *profile) infoFacts(l *factList) {
	i := &p.info
	l.add("version of Cryptoki", "%d.%d", i.cryptoki.Major, i.cryptoki.Minor)
	l.add("description of the library", "%s", i.description)
	l.add("version of the library", "%s", versionOr(i.library, "the library's own"))
	l.add("description of a slot", "%s", textOr(i.slot, "the partition's name"))
	l.add("model of a token", "%s", i.model)
	l.add("version of the firmware", "%s", textOr(i.firmware, "the library's"))
	l.add("flags of a slot", "%s", flagNames(i.slotFlags|ck.CKF_TOKEN_PRESENT, slotFlagNames))
	l.add("flags of a token", "%s", flagNames(i.tokenFlags, tokenFlagNames))
	l.add("flags of every mechanism", "%s", textOr(flagNames(i.mechanismFlags, mechanismFlagNames), "none"))
}

func textOr(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

func versionOr(v ck.Version, empty string) string {
	if v == (ck.Version{}) {
		return empty
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// namedFlag is a flag and what it is called.
type namedFlag struct {
	flag ck.Flags
	name string
}

// Flags that profiles set, by where they are.
var (
	slotFlagNames  = []namedFlag{{ck.CKF_TOKEN_PRESENT, "CKF_TOKEN_PRESENT"}, {ck.CKF_HW_SLOT, "CKF_HW_SLOT"}}
	tokenFlagNames = []namedFlag{{ck.CKF_RNG, "CKF_RNG"}, {ck.CKF_LOGIN_REQUIRED, "CKF_LOGIN_REQUIRED"},
		{ck.CKF_RESTORE_KEY_NOT_NEEDED, "CKF_RESTORE_KEY_NOT_NEEDED"}, {ck.CKF_DUAL_CRYPTO_OPERATIONS, "CKF_DUAL_CRYPTO_OPERATIONS"}}
	mechanismFlagNames = []namedFlag{{ck.CKF_HW, "CKF_HW"}}
	functionFlagNames  = []namedFlag{
		{ck.CKF_GENERATE, "generate"}, {ck.CKF_GENERATE_KEY_PAIR, "generate pairs"}, {ck.CKF_ENCRYPT, "encrypt"}, {ck.CKF_DECRYPT, "decrypt"},
		{ck.CKF_DIGEST, "digest"}, {ck.CKF_SIGN, "sign"}, {ck.CKF_SIGN_RECOVER, "sign with recovery"}, {ck.CKF_VERIFY, "verify"},
		{ck.CKF_VERIFY_RECOVER, "verify with recovery"}, {ck.CKF_WRAP, "wrap"}, {ck.CKF_UNWRAP, "unwrap"}, {ck.CKF_DERIVE, "derive"},
		{ck.CKF_ENCAPSULATE, "encapsulate"}, {ck.CKF_DECAPSULATE, "decapsulate"},
	}
)

func flagNames(f ck.Flags, names []namedFlag) string {
	var list []string
	for _, n := range names {
		if f&n.flag != 0 {
			list = append(list, n.name)
		}
	}
	return strings.Join(list, ", ")
}

func (p *profile) pinFacts(l *factList) {
	s := settingsOf(partitionPolicies, p.partitionPolicies, nil)
	l.add("least bytes of the HSM SO's and the Auditor's PIN", "%d", p.minSOPIN)
	l.add("least bytes of a PIN of a partition's roles", "%d", 255-s[policyMinPIN])
	l.add("most bytes of any PIN", "%d", s[policyMaxPIN])
	l.add("Limited Crypto Officer", "%s", truthOf(p.limitedOfficer))
}

func truthOf(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (p *profile) storageFacts(l *factList) {
	if p.storage == 0 {
		l.add("bytes for partitions", "no limit")
		return
	}
	l.add("bytes for partitions", "%d", p.storage)
}

func policyFacts(l *factList, table []policy, profile map[uint64]uint64) {
	s := settingsOf(table, profile, nil)
	for i := range table {
		p := &table[i]
		switch {
		case p.text == "":
		case p.number:
			l.add(fmt.Sprintf("%d %s", p.id, p.text), "%d", s[p.id])
		default:
			l.add(fmt.Sprintf("%d %s", p.id, p.text), "%s", map[bool]string{true: "on", false: "off"}[s.on(p.id)])
		}
	}
}

// sampleOrigins are the kinds of keys whose defaults are told.
var sampleOrigins = []struct {
	name   string
	class  ck.ObjectClass
	kt     ck.KeyType
	origin origin
}{
	{"generated RSA public key", ck.CKO_PUBLIC_KEY, ck.CKK_RSA, originGenerate},
	{"generated RSA private key", ck.CKO_PRIVATE_KEY, ck.CKK_RSA, originGenerate},
	{"generated EC public key", ck.CKO_PUBLIC_KEY, ck.CKK_EC, originGenerate},
	{"generated EC private key", ck.CKO_PRIVATE_KEY, ck.CKK_EC, originGenerate},
	{"generated AES key", ck.CKO_SECRET_KEY, ck.CKK_AES, originGenerate},
	{"unwrapped RSA private key", ck.CKO_PRIVATE_KEY, ck.CKK_RSA, originUnwrap},
	{"unwrapped AES key", ck.CKO_SECRET_KEY, ck.CKK_AES, originUnwrap},
	{"derived AES key", ck.CKO_SECRET_KEY, ck.CKK_AES, originDerive},
}

// defaultFacts tells the truths that a template need not give, with the Crypto
// Officer logged in.
func (p *profile) defaultFacts(l *factList) {
	attrs := slices.Concat([]ck.AttributeType{ck.CKA_PRIVATE, ck.CKA_SENSITIVE, ck.CKA_EXTRACTABLE}, usageAttributes)
	for _, sample := range sampleOrigins {
		sch := findSchema(sample.class, uint64(sample.kt))
		for _, t := range attrs {
			if r := sch.row(t); r != nil && r.def != nil {
				v, _ := ck.Bool(p.defaultOf(r, sample.class, sample.origin, p11.RoleCryptoOfficer))
				l.add(fmt.Sprintf("%s: %v", sample.name, t), "%s", truthOf(v))
			}
		}
	}
}

func (p *profile) templateFacts(l *factList) {
	must := func(b bool) string { return map[bool]string{true: "must be true", false: "as the template says"}[b] }
	l.add("C_CreateObject of a secret or private key in FIPS mode", "%s", map[bool]string{true: "refused", false: "allowed"}[p.plaintext.notInFIPS])
	l.add("CKA_SENSITIVE in C_CreateObject of a secret or private token key", "%s", must(p.plaintext.sensitive))
	l.add("CKA_PRIVATE in C_CreateObject of a secret or private token key", "%s", must(p.plaintext.private))
	l.add("CKA_VALUE_LEN for secret keys unwrapped or derived", "%s",
		map[bool]string{true: "needed where the type has no fixed length", false: "needed where nothing else tells"}[p.needsLength])
}

func (p *profile) fipsFacts(l *factList) {
	l.add("IV of CKM_AES_GCM and CKM_AES_GMAC", "%s", map[bool]string{true: "made by the HSM, the caller's is refused", false: "the caller's, or made by the HSM"}[p.ownIV])
	for _, m := range []ck.MechanismType{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.CKM_RSA_X9_31_KEY_PAIR_GEN} {
		to := "refused"
		if other, ok := p.remap[m]; ok {
			to += ", or served by " + other.String() + " if the configuration says so"
		}
		l.add(m.String(), "%s", to)
	}
}

// functionFacts names all functions that some profile lacks.
func (p *profile) functionFacts(l *factList) {
	lacking := p.missingFunctions()
	for _, other := range behaviours() {
		for _, f := range other.missingFunctions() {
			if slices.ContainsFunc(l.list, func(fact p11.ProfileFact) bool { return fact.Section == l.section && fact.Name == f }) {
				continue
			}
			l.add(f, "%s", map[bool]string{true: "CKR_FUNCTION_NOT_SUPPORTED", false: "supported"}[slices.Contains(lacking, f)])
		}
	}
}

func (p *profile) missingFunctions() (list []string) {
	for i := range p.lacks {
		list = append(list, p.lacks[i].functions...)
	}
	return list
}

// codeFacts names the rules with their codes, and then the codes of engines and
// stores that some profile renames.
func (p *profile) codeFacts(l *factList) {
	for r := refusal(1); r < numRefusals; r++ {
		code := refusalTable[r].code
		if other, ok := p.answers[r]; ok {
			code = other
		}
		l.add(refusalTable[r].name, "%v", code)
	}
	l.add("a point that is not on the curve", "%s", p.pointCode())
	for _, from := range renamedCodes() {
		to := from
		if renamed, ok := p.renames[from]; ok {
			to = renamed
		}
		l.add(from.String()+", where no rule decides", "%v", to)
	}
}

// pointCode is what p answers to a point that is on no curve.
func (p *profile) pointCode() string {
	if code, ok := p.causes[engine.ErrPoint]; ok {
		return code.String()
	}
	return "CKR_ATTRIBUTE_VALUE_INVALID, CKR_MECHANISM_PARAM_INVALID"
}

// renamedCodes are the codes that some profile renames.
func renamedCodes() (list []ck.RV) {
	for _, p := range behaviours() {
		list = slices.AppendSeq(list, maps.Keys(p.renames))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// mechanismFacts names the mechanisms outside FIPS mode, with their functions
// and the sizes of keys as C_GetMechanismInfo has them.
func (p *profile) mechanismFacts(l *factList) {
	listed := p.listed()
	for _, m := range listed {
		l.add(mechanismName(m), "%s", mechanismFact(m))
	}
	for _, m := range engine.Mechanisms() {
		if row := p.mechanism(m.Type); row != nil && !slices.Contains(listed, row) {
			l.add(mechanismName(row), "not listed; %s", mechanismFact(row))
		}
	}
}

func mechanismName(m *engine.Mechanism) string {
	return fmt.Sprintf("0x%08x %v", uint64(m.Type), m.Type)
}

func mechanismFact(m *engine.Mechanism) string {
	info := m.Info()
	s := flagNames(info.Flags, functionFlagNames)
	if info.MaxKeySize != 0 {
		s += fmt.Sprintf("; %d to %d", info.MinKeySize, info.MaxKeySize)
	}
	if m.FIPS {
		s += "; FIPS mode"
	}
	return s
}
