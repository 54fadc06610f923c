package hsm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/memory"
)

// TestRights does every action in every state of a session, in both profiles,
// and compares with testdata/rights.txt, which was not made from the code.
func TestRights(t *testing.T) {
	table := readRights(t)
	for _, prof := range []string{profileStandard, profileLuna72} {
		used := map[string]bool{}
		for _, a := range rightsActions {
			name := a.name
			want, ok := table[prof+": "+name]
			if !ok {
				want, ok = table[name]
			}
			if !ok {
				continue // the table knows it for the other profile only; see below
			}
			used[name] = true
			t.Run(prof+"/"+name, func(t *testing.T) {
				t.Parallel()
				for i, state := range rightsStates {
					if state.role == p11.RoleLimitedCryptoOfficer && prof == profileLuna72 {
						continue // it has none
					}
					if got := a.answer(t, prof, state); got != want[i] && (want[i] != "go" || slices.Contains(refusals, got)) {
						t.Errorf("%s: got %s, want %s", state.name, got, want[i])
					}
				}
			})
		}
		for name := range table {
			p, plain, specific := strings.Cut(name, ": ")
			if specific && p != prof {
				continue
			}
			if !specific {
				plain = name
			}
			if !used[plain] {
				t.Errorf("testdata/rights.txt has a line for %q, which no action does", name)
			}
		}
	}
}

// TestRightsAreComplete: no request is left out of the table, in no profile.
func TestRightsAreComplete(t *testing.T) {
	table := readRights(t)
	for _, prof := range []string{profileStandard, profileLuna72} {
		asked := map[p11.Kind]bool{}
		for _, a := range rightsActions {
			_, both := table[a.name]
			_, this := table[prof+": "+a.name]
			if _, any := table[profileStandard+": "+a.name]; !both && !this && !any {
				t.Errorf("testdata/rights.txt has no line for %q: write what such a device, or PKCS#11, says that each role gets", a.name)
			}
			if both || this {
				asked[a.kind] = true
			}
		}
		for _, row := range p11.Table {
			if !asked[row.Kind] {
				t.Errorf("%s: no action with a line in testdata/rights.txt makes the request %s: add one to rightsActions, and its line", prof, row.Name)
			}
		}
	}
}

// TestOfficersAsUsers: without policy 28 the officers have a Crypto User's
// rights.
func TestOfficersAsUsers(t *testing.T) {
	user := rightsStates[slices.IndexFunc(rightsStates, func(s rightsState) bool { return s.name == "Crypto User, R/W" })]
	for _, a := range rightsActions {
		if a.kind == p11.KindSetPIN || a.kind == p11.KindLogin {
			continue // these are about the role itself, not about what it may
		}
		for _, role := range []p11.Role{p11.RoleCryptoOfficer, p11.RoleLimitedCryptoOfficer} {
			as := user
			as.role, as.asUser = role, true
			if got, want := a.answer(t, profileStandard, as), a.answer(t, profileStandard, user); got != want {
				t.Errorf("%s: the %s gets %s, the Crypto User %s", a.name, role, got, want)
			}
		}
	}
}

// rightsState is a column of the table.
type rightsState struct {
	name   string
	admin  bool
	role   p11.Role
	rw     bool
	must   bool // change its PIN
	asUser bool // policy 28 is off
}

var rightsStates = []rightsState{
	{name: "nobody, R/O"}, {name: "nobody, R/W", rw: true},
	{name: "Crypto Officer, R/O", role: p11.RoleCryptoOfficer}, {name: "Crypto Officer, R/W", role: p11.RoleCryptoOfficer, rw: true},
	{name: "Limited Crypto Officer, R/O", role: p11.RoleLimitedCryptoOfficer}, {name: "Limited Crypto Officer, R/W", role: p11.RoleLimitedCryptoOfficer, rw: true},
	{name: "Crypto User, R/O", role: p11.RoleCryptoUser}, {name: "Crypto User, R/W", role: p11.RoleCryptoUser, rw: true},
	{name: "Partition SO", role: p11.RolePartitionSO, rw: true},
	{name: "Crypto User who must change its PIN", role: p11.RoleCryptoUser, rw: true, must: true},
	{name: "administration, nobody", admin: true, rw: true},
	{name: "HSM SO", admin: true, role: p11.RoleHSMSO, rw: true},
	{name: "Auditor", admin: true, role: p11.RoleAuditor, rw: true},
}

// rightsWords are the words of the table.
var rightsWords = map[ck.RV]string{
	ck.CKR_OK: "ok", ck.CKR_USER_NOT_LOGGED_IN: "in", ck.CKR_USER_NOT_AUTHORIZED: "no",
	ck.CKR_SESSION_READ_ONLY: "ro", ck.CKR_PIN_EXPIRED: "ex", ck.CKR_FUNCTION_NOT_SUPPORTED: "ns",
	ck.CKR_OBJECT_HANDLE_INVALID: "-", ck.CKR_KEY_HANDLE_INVALID: "-",
	ck.CKR_WRAPPING_KEY_HANDLE_INVALID: "-", ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID: "-",
	ck.CKR_OPERATION_NOT_ALLOWED: "op", ck.CKR_ATTRIBUTE_READ_ONLY: "at",
	ck.CKR_USER_ALREADY_LOGGED_IN: "al", ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: "an",
	ck.CKR_USER_TYPE_INVALID: "ut", ck.CKR_SESSION_EXISTS: "se", ck.CKR_SESSION_READ_WRITE_SO_EXISTS: "sx",
}

// refusals are the words that "go" does not stand for.
var refusals = []string{"in", "no", "ro", "ex", "ns"}

func readRights(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, cells, ok := strings.Cut(strings.TrimSpace(line), "|")
		if name = strings.TrimSpace(name); !ok || strings.HasPrefix(name, "#") {
			continue
		}
		words := strings.Fields(strings.ReplaceAll(cells, "|", " "))
		if len(words) != len(rightsStates) {
			t.Fatalf("testdata/rights.txt: %q has %d answers, not %d", name, len(words), len(rightsStates))
		}
		if _, twice := table[name]; twice {
			t.Fatalf("testdata/rights.txt: %q is there twice", name)
		}
		table[name] = words
	}
	return table
}

// rightsBench is an HSM with one partition, in which everything that actions
// need was made, and a process whose session is in the state under test.
type rightsBench struct {
	t     *testing.T
	place *memory.Place
	h     *HSM
	slot  ck.SlotID // of the session
	s     ck.SessionHandle
	pin   string // of the role logged in; of the one that C_SetPIN means for nobody

	key, limited, other    ck.ObjectHandle // private token keys of the officers
	public, private        ck.ObjectHandle // of a key pair
	encapsulating, opening ck.ObjectHandle // of another
	data                   ck.ObjectHandle // public token data
	wrapped, ciphertext    []byte
}

var rightsPINs = map[p11.Role]string{
	p11.RoleHSMSO: "hsm so pin", p11.RoleAuditor: "auditor pin", p11.RolePartitionSO: "partition so pin",
	p11.RoleCryptoOfficer: "officer pin", p11.RoleLimitedCryptoOfficer: "limited pin", p11.RoleCryptoUser: "user pin",
}

func rightsPIN(role p11.Role) []byte { return []byte(rightsPINs[role]) }

// action is a line of the table.
type action struct {
	name string
	kind p11.Kind
	do   func(b *rightsBench) error
}

// act is an action that makes a request.
func act[Q p11.Typed[R], R any](name string, request func(b *rightsBench) Q) action {
	var q Q
	return action{name, q.Kind(), func(b *rightsBench) error {
		_, err := p11.Call(context.Background(), b.h, request(b))
		return err
	}}
}

// answer does the action in a state and returns the word for what it answers.
func (a *action) answer(t *testing.T, profile string, state rightsState) string {
	t.Helper()
	b := newRightsBench(t, profile, state)
	rv := ck.RVOf(a.do(b))
	if word, ok := rightsWords[rv]; ok {
		return word
	}
	return rv.Error()
}

func newRightsBench(t *testing.T, profile string, state rightsState) *rightsBench {
	t.Helper()
	copied := *rightsHosts.get(t, profile, state)
	b := &copied
	b.t = t
	host := &testHost{place: b.place.Copy(), root: rightsRoot}
	b.h = host.process(t)
	if !state.admin {
		b.slot = 0
	}
	b.s = open(t, b.h, b.slot, state.rw)
	b.pin = rightsPINs[state.role]
	switch {
	case state.role != p11.RoleNone:
		must(t, b.h, &p11.Login{Session: b.s, User: state.role.User(), PIN: []byte(b.pin)})
	case state.admin:
		b.pin = rightsPINs[p11.RoleHSMSO]
	default:
		b.pin = rightsPINs[p11.RoleCryptoOfficer]
	}
	return b
}

// rightsHosts are the places from which every action gets a copy.
var rightsHosts hostsOfRights

type hostsOfRights struct {
	mu   sync.Mutex
	made map[string]*rightsBench
}

func (r *hostsOfRights) get(t *testing.T, profile string, state rightsState) *rightsBench {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fmt.Sprint(profile, state.must, state.asUser)
	if b := r.made[key]; b != nil {
		return b
	}
	b := &rightsBench{t: t, slot: p11.AdminSlot, place: memory.New()}
	maker := (&testHost{place: b.place, root: rightsRoot}).process(t)
	b.makeHSM(maker, profile)
	b.makeRoles(maker, profile)
	b.makeObjects(maker, profile)
	b.prepare(maker, state)
	maker.Close()
	if r.made == nil {
		r.made = map[string]*rightsBench{}
	}
	r.made[key] = b
	return b
}

var rightsRoot = RootKeyBytes(bytes.Repeat([]byte{7}, 32))

func (b *rightsBench) makeHSM(h *HSM, profile string) {
	must(b.t, h, &p11.InitHSM{Label: "rights", PIN: rightsPIN(p11.RoleHSMSO), Profile: profile})
	s := open(b.t, h, p11.AdminSlot, true)
	must(b.t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: rightsPIN(p11.RoleHSMSO)})
	must(b.t, h, &p11.CreatePartition{Session: s, Name: "p1"})
	must(b.t, h, &p11.CloseSession{Session: s})
	giveAuditor(b.t, h, rightsPINs[p11.RoleAuditor])
}

// giveAuditor makes an Auditor.
func giveAuditor(t *testing.T, h *HSM, pin string) {
	t.Helper()
	must(t, h, &p11.InitAuditor{PIN: []byte(pin), Domain: []byte("audit domain")})
}

// makeRoles makes the roles of the partition, each with a PIN of its own choice.
func (b *rightsBench) makeRoles(h *HSM, profile string) {
	must(b.t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "rights"})
	roles := []p11.Role{p11.RoleCryptoOfficer, p11.RoleCryptoUser}
	if profile == profileStandard {
		roles = append(roles, p11.RoleLimitedCryptoOfficer)
	}
	for _, role := range roles {
		s := open(b.t, h, 0, true)
		ruler := roleTable[role].ruler
		must(b.t, h, &p11.Login{Session: s, User: ruler.User(), PIN: rightsPIN(ruler)})
		must(b.t, h, &p11.InitRole{Session: s, Role: role, PIN: rightsPIN(role)})
		must(b.t, h, &p11.Logout{Session: s})
		must(b.t, h, &p11.Login{Session: s, User: role.User(), PIN: rightsPIN(role)})
		must(b.t, h, &p11.SetPIN{Session: s, Old: rightsPIN(role), New: rightsPIN(role)})
		must(b.t, h, &p11.CloseSession{Session: s})
	}
}

func (b *rightsBench) makeObjects(h *HSM, profile string) {
	s := open(b.t, h, 0, true)
	must(b.t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: rightsPIN(p11.RoleCryptoOfficer)})
	must(b.t, h, &p11.SetCloningDomain{Session: s, Domain: []byte("domain of rights")})
	b.key, b.other = b.aes(h, s), b.aes(h, s)
	b.wrapped = make([]byte, 64)
	b.wrapped = b.wrapped[:must(b.t, h, &p11.WrapKey{Session: s, Mechanism: rightsWrap, WrappingKey: b.key, Key: b.other, Out: p11.Output{Buf: b.wrapped}}).N]
	pair := must(b.t, h, &p11.GenerateKeyPair{Session: s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
		Public:  tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false, ck.CKA_VERIFY, true, ck.CKA_EC_PARAMS, p256OID),
		Private: tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true, ck.CKA_SIGN, true)})
	b.public, b.private = pair.Public, pair.Private
	b.data = must(b.t, h, &p11.CreateObject{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false)}).Object
	if profile == profileStandard {
		b.makeMore(h, s)
	}
	must(b.t, h, &p11.CloseSession{Session: s})
}

// makeMore makes what the device's profile has not.
func (b *rightsBench) makeMore(h *HSM, s ck.SessionHandle) {
	pair := must(b.t, h, &p11.GenerateKeyPair{Session: s, Mechanism: mech(ck.CKM_ML_KEM_KEY_PAIR_GEN),
		Public:  tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false, ck.CKA_ENCAPSULATE, true, ck.CKA_PARAMETER_SET, ck.CKP_ML_KEM_512),
		Private: tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true, ck.CKA_DECAPSULATE, true)})
	b.encapsulating, b.opening = pair.Public, pair.Private
	b.ciphertext = make([]byte, 768)
	must(b.t, h, &p11.EncapsulateKey{Session: s, Mechanism: mech(ck.CKM_ML_KEM), PublicKey: b.encapsulating,
		Template: rightsSecret(false), Out: p11.Output{Buf: b.ciphertext}})
	must(b.t, h, &p11.Logout{Session: s})
	must(b.t, h, &p11.Login{Session: s, User: ck.CKU_LIMITED_CRYPTO_OFFICER, PIN: rightsPIN(p11.RoleLimitedCryptoOfficer)})
	b.limited = b.aes(h, s)
}

// aes generates a key that may do everything.
func (b *rightsBench) aes(h *HSM, s ck.SessionHandle) ck.ObjectHandle {
	return must(b.t, h, &p11.GenerateKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: tmpl(
		ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, true, ck.CKA_VALUE_LEN, 16,
		ck.CKA_ENCRYPT, true, ck.CKA_WRAP, true, ck.CKA_UNWRAP, true, ck.CKA_DERIVE, true)}).Object
}

// prepare makes the settings of the state.
func (b *rightsBench) prepare(h *HSM, state rightsState) {
	if state.must {
		b.change(h, func(m *metaState) { m.hsm.Policies = map[uint64]uint64{policyForcePINChange: 1} })
		s := open(b.t, h, 0, true)
		must(b.t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: rightsPIN(p11.RoleCryptoOfficer)})
		must(b.t, h, &p11.ResetRole{Session: s, Role: state.role, PIN: rightsPIN(state.role)})
		must(b.t, h, &p11.CloseSession{Session: s})
	}
	if state.asUser {
		b.change(h, func(m *metaState) { m.parts[0].Policies = map[uint64]uint64{policyKeyManagement: 0} })
	}
}

// change changes the records of the HSM and the partition, whoever may do that.
func (b *rightsBench) change(h *HSM, fn func(*metaState)) {
	changeMeta(b.t, h, fn)
}

func changeMeta(t *testing.T, h *HSM, fn func(*metaState)) {
	t.Helper()
	err := h.store.Update(t.Context(), func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		fn(m)
		for i := range m.parts {
			if err := h.replaceMeta(tx, 0, kindPartition, &m.parts[i].record, &m.parts[i]); err != nil {
				return err
			}
		}
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err == nil {
		err = h.refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

var (
	rightsWrap = mech(ck.CKM_AES_CBC_PAD, make([]byte, 16))
	p256OID    = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
)

// rightsSecret is the template of a private AES key that a function makes.
func rightsSecret(token bool) []ck.Attribute {
	return tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE_LEN, 16,
		ck.CKA_TOKEN, token, ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true)
}

// rightsActions are the actions of the table.
var rightsActions = []action{
	act("get session info", func(b *rightsBench) *p11.GetSessionInfo { return &p11.GetSessionInfo{Session: b.s} }),
	act("get validation flags", func(b *rightsBench) *p11.GetValidationFlags {
		return &p11.GetValidationFlags{Session: b.s, Type: ck.CKS_LAST_VALIDATION_OK}
	}),
	act("cancel", func(b *rightsBench) *p11.SessionCancel {
		return &p11.SessionCancel{Session: b.s, Flags: ck.CKF_ENCRYPT}
	}),
	act("close session", func(b *rightsBench) *p11.CloseSession { return &p11.CloseSession{Session: b.s} }),
	act("close all sessions", func(b *rightsBench) *p11.CloseAllSessions { return &p11.CloseAllSessions{Slot: b.slot} }),
	act("open a R/O session", func(b *rightsBench) *p11.OpenSession {
		return &p11.OpenSession{Slot: b.slot, Flags: ck.CKF_SERIAL_SESSION}
	}),
	act("explain refusal", func(b *rightsBench) *p11.ExplainRefusal { return &p11.ExplainRefusal{Session: b.s} }),
	act("is an operation active", func(b *rightsBench) *p11.IsActive { return &p11.IsActive{Session: b.s} }),
	act("seed random", func(b *rightsBench) *p11.SeedRandom { return &p11.SeedRandom{Session: b.s, Seed: []byte("seed")} }),
	act("generate random", func(b *rightsBench) *p11.GenerateRandom {
		return &p11.GenerateRandom{Session: b.s, Buf: make([]byte, 8)}
	}),

	act("log in as CO", func(b *rightsBench) *p11.Login {
		return &p11.Login{Session: b.s, User: ck.CKU_USER, PIN: rightsPIN(p11.RoleCryptoOfficer)}
	}),
	act("log out", func(b *rightsBench) *p11.Logout { return &p11.Logout{Session: b.s} }),
	act("set own PIN", func(b *rightsBench) *p11.SetPIN {
		return &p11.SetPIN{Session: b.s, Old: []byte(b.pin), New: []byte("another pin")}
	}),
	act("C_InitPIN", func(b *rightsBench) *p11.InitPIN { return &p11.InitPIN{Session: b.s, PIN: []byte("another pin")} }),
	setRole[*p11.InitRole]("init CO that exists", p11.RoleCryptoOfficer),
	setRole[*p11.ResetRole]("reset CO", p11.RoleCryptoOfficer),
	setRole[*p11.InitRole]("init CU that exists", p11.RoleCryptoUser),
	setRole[*p11.ResetRole]("reset CU", p11.RoleCryptoUser),
	setRole[*p11.ResetRole]("reset LCO", p11.RoleLimitedCryptoOfficer),

	creating("create public session data", ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, false),
	creating("create public token data", ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false),
	creating("create private session data", ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, true),
	creating("create private token data", ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true),
	creating("create private token key", ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, make([]byte, 16),
		ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true),
	creating("create public token public key", ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_RSA,
		ck.CKA_MODULUS, bytes.Repeat([]byte{0xc1}, 256), ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false),
	creating("create public session secret key", ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, make([]byte, 16),
		ck.CKA_PRIVATE, false, ck.CKA_SENSITIVE, false),
	creating("create trusted certificate", ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s",
		ck.CKA_VALUE, "v", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false, ck.CKA_TRUSTED, true),
	generating("generate private token key", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true),
	generating("generate private session key", ck.CKA_PRIVATE, true),
	generating("generate public session key", ck.CKA_PRIVATE, false),
	act("generate token key pair", func(b *rightsBench) *p11.GenerateKeyPair {
		return &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
			Public:  tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false, ck.CKA_EC_PARAMS, p256OID),
			Private: tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true)}
	}),
	act("wrap", func(b *rightsBench) *p11.WrapKey {
		return &p11.WrapKey{Session: b.s, Mechanism: rightsWrap, WrappingKey: b.key, Key: b.other, Out: p11.Output{Buf: make([]byte, 64)}}
	}),
	unwrapping("unwrap into private session key", false),
	unwrapping("unwrap into private token key", true),
	deriving("derive private session key", false),
	deriving("derive private token key", true),
	encapsulatingInto("encapsulate private session key", false),
	encapsulatingInto("encapsulate private token key", true),
	act("decapsulate private session key", func(b *rightsBench) *p11.DecapsulateKey {
		return &p11.DecapsulateKey{Session: b.s, Mechanism: mech(ck.CKM_ML_KEM), PrivateKey: b.opening, Ciphertext: b.ciphertext, Template: rightsSecret(false)}
	}),

	copying("copy public data", func(b *rightsBench) ck.ObjectHandle { return b.data }, ck.CKA_TOKEN, false, ck.CKA_LABEL, "copy"),
	copying("copy private key", func(b *rightsBench) ck.ObjectHandle { return b.key }, ck.CKA_TOKEN, false, ck.CKA_LABEL, "copy"),
	copying("copy private key for another use", func(b *rightsBench) ck.ObjectHandle { return b.key }, ck.CKA_TOKEN, false, ck.CKA_SIGN, true),
	act("read public data", func(b *rightsBench) *p11.GetAttributeValue {
		return &p11.GetAttributeValue{Session: b.s, Object: b.data, Types: []ck.AttributeType{ck.CKA_VALUE}}
	}),
	act("read label of private key", func(b *rightsBench) *p11.GetAttributeValue {
		return &p11.GetAttributeValue{Session: b.s, Object: b.key, Types: []ck.AttributeType{ck.CKA_LABEL}}
	}),
	act("size of public data", func(b *rightsBench) *p11.GetObjectSize { return &p11.GetObjectSize{Session: b.s, Object: b.data} }),
	act("find", func(b *rightsBench) *p11.FindObjectsInit { return &p11.FindObjectsInit{Session: b.s} }),
	act("find on", func(b *rightsBench) *p11.FindObjects { return &p11.FindObjects{Session: b.s, Max: 1} }),
	act("find no more", func(b *rightsBench) *p11.FindObjectsFinal { return &p11.FindObjectsFinal{Session: b.s} }),
	changing("label public data", func(b *rightsBench) ck.ObjectHandle { return b.data }, ck.CKA_LABEL, "new"),
	changing("label private key", func(b *rightsBench) ck.ObjectHandle { return b.key }, ck.CKA_LABEL, "new"),
	changing("let private key derive", func(b *rightsBench) ck.ObjectHandle { return b.private }, ck.CKA_DERIVE, true),
	changing("trust public key", func(b *rightsBench) ck.ObjectHandle { return b.public }, ck.CKA_TRUSTED, true),
	destroying("destroy public data", func(b *rightsBench) ck.ObjectHandle { return b.data }),
	destroying("destroy private key", func(b *rightsBench) ck.ObjectHandle { return b.private }),
	destroying("destroy key that LCO made", func(b *rightsBench) ck.ObjectHandle { return b.limited }),
	act("clear partition", func(b *rightsBench) *p11.ClearPartition { return &p11.ClearPartition{Session: b.s} }),

	act("set cloning domain", func(b *rightsBench) *p11.SetCloningDomain {
		return &p11.SetCloningDomain{Session: b.s, Domain: []byte("another domain")}
	}),
	act("begin clone as target", func(b *rightsBench) *p11.CloneAsTargetInit { return &p11.CloneAsTargetInit{Session: b.s} }),
	act("clone as source", func(b *rightsBench) *p11.CloneAsSource {
		return &p11.CloneAsSource{Session: b.s, Object: b.data, Part: []byte("x")}
	}),
	act("clone as target", func(b *rightsBench) *p11.CloneAsTarget { return &p11.CloneAsTarget{Session: b.s, Part: []byte("x")} }),
	act("clone private key", func(b *rightsBench) *p11.CloneObject {
		return &p11.CloneObject{Session: b.s, Source: b.s, Object: b.key}
	}),
	act("back up", func(b *rightsBench) *p11.BackupArchive { return &p11.BackupArchive{Session: b.s, To: io.Discard} }),
	act("restore", func(b *rightsBench) *p11.RestoreArchive {
		return &p11.RestoreArchive{Session: b.s, From: strings.NewReader("x"), Size: 1}
	}),
	act("read archive", func(b *rightsBench) *p11.ReadArchive {
		return &p11.ReadArchive{Session: b.s, From: strings.NewReader("x"), Size: 1}
	}),
	act("count uses", func(b *rightsBench) *p11.ModifyUsageCount { return &p11.ModifyUsageCount{Session: b.s, Key: b.key} }),

	act("begin digest", func(b *rightsBench) *p11.Begin {
		return &p11.Begin{Session: b.s, Op: p11.OpDigest, Mechanism: mech(ck.CKM_SHA256)}
	}),
	act("begin encryption by private key", func(b *rightsBench) *p11.Begin {
		return &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: rightsWrap, Key: b.key}
	}),
	act("begin signature by private key", func(b *rightsBench) *p11.Begin {
		return &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: mech(ck.CKM_ECDSA), Key: b.private}
	}),
	act("begin verification by public key", func(b *rightsBench) *p11.Begin {
		return &p11.Begin{Session: b.s, Op: p11.OpVerify, Mechanism: mech(ck.CKM_ECDSA), Key: b.public}
	}),
	act("update", func(b *rightsBench) *p11.Update { return &p11.Update{Session: b.s, Op: p11.OpDigest, In: []byte("x")} }),
	act("finish", func(b *rightsBench) *p11.Finish { return &p11.Finish{Session: b.s, Op: p11.OpDigest} }),
	act("digest key", func(b *rightsBench) *p11.DigestKey { return &p11.DigestKey{Session: b.s, Key: b.key} }),
	act("dual update", func(b *rightsBench) *p11.DualUpdate {
		return &p11.DualUpdate{Session: b.s, First: p11.OpDigest, Second: p11.OpEncrypt}
	}),
	act("encrypt message", func(b *rightsBench) *p11.Message {
		return &p11.Message{Session: b.s, Op: p11.OpMessageEncrypt, Whole: true}
	}),
	act("end messages", func(b *rightsBench) *p11.EndMessages {
		return &p11.EndMessages{Session: b.s, Op: p11.OpMessageEncrypt}
	}),
	act("get operation state", func(b *rightsBench) *p11.GetOperationState {
		return &p11.GetOperationState{Session: b.s, Out: p11.Output{Query: true}}
	}),
	act("set operation state", func(b *rightsBench) *p11.SetOperationState {
		return &p11.SetOperationState{Session: b.s, State: []byte("x")}
	}),

	act("label partition", func(b *rightsBench) *p11.LabelPartition { return &p11.LabelPartition{Session: b.s, Label: "new"} }),
	act("zeroize partition", func(b *rightsBench) *p11.ZeroizePartition { return &p11.ZeroizePartition{Session: b.s} }),
	act("set HSM policy", func(b *rightsBench) *p11.SetHSMPolicy {
		return &p11.SetHSMPolicy{Session: b.s, Policies: []p11.PolicySetting{{ID: policyNetworkReplication, Value: 0}}}
	}),
	act("set partition policy", func(b *rightsBench) *p11.SetPartitionPolicy {
		return &p11.SetPartitionPolicy{Session: b.s, Policies: []p11.PolicySetting{{ID: policyMaxFailedLogins, Value: 5}}}
	}),
	act("create partition", func(b *rightsBench) *p11.CreatePartition { return &p11.CreatePartition{Session: b.s, Name: "p2"} }),
	act("delete partition", func(b *rightsBench) *p11.DeletePartition { return &p11.DeletePartition{Session: b.s} }),
	act("init Auditor anew", func(b *rightsBench) *p11.InitAuditor {
		return &p11.InitAuditor{Session: b.s, PIN: rightsPIN(p11.RoleAuditor)}
	}),
	act("set audit domain", func(b *rightsBench) *p11.SetAuditDomain {
		return &p11.SetAuditDomain{Session: b.s, Domain: []byte("another domain")}
	}),
	act("get audit configuration", func(b *rightsBench) *p11.GetAuditConfig { return &p11.GetAuditConfig{Session: b.s} }),
	act("set audit configuration", func(b *rightsBench) *p11.SetAuditConfig { return &p11.SetAuditConfig{Session: b.s} }),
	act("get audit status", func(*rightsBench) *p11.GetAuditStatus { return &p11.GetAuditStatus{} }),
	act("list audit files", func(b *rightsBench) *p11.ListAuditFiles { return &p11.ListAuditFiles{Session: b.s} }),
	act("rotate audit log", func(b *rightsBench) *p11.RotateAuditLog { return &p11.RotateAuditLog{Session: b.s} }),
	act("remove audit files", func(b *rightsBench) *p11.RemoveAuditFiles { return &p11.RemoveAuditFiles{Session: b.s} }),
	act("verify audit files", func(b *rightsBench) *p11.VerifyAuditFiles { return &p11.VerifyAuditFiles{Session: b.s} }),
	act("verify audit records", func(b *rightsBench) *p11.VerifyAuditRecords { return &p11.VerifyAuditRecords{Session: b.s} }),
	act("export audit secret", func(b *rightsBench) *p11.ExportAuditSecret { return &p11.ExportAuditSecret{Session: b.s} }),
	act("import audit secret", func(b *rightsBench) *p11.ImportAuditSecret { return &p11.ImportAuditSecret{Session: b.s} }),
	act("log a message", func(b *rightsBench) *p11.LogExternal {
		return &p11.LogExternal{Session: b.s, Message: "message"}
	}),
	act("resize partition", func(b *rightsBench) *p11.ResizePartition {
		return &p11.ResizePartition{Session: b.s, Size: 1_000_000}
	}),
	act("rename partition", func(b *rightsBench) *p11.RenamePartition {
		return &p11.RenamePartition{Session: b.s, Name: "p2"}
	}),
	act("accept restore", func(b *rightsBench) *p11.AcceptRestore { return &p11.AcceptRestore{Session: b.s} }),
	act("init HSM anew", func(b *rightsBench) *p11.InitHSM { return &p11.InitHSM{Session: b.s, Label: "new"} }),

	act("get info", func(*rightsBench) *p11.GetInfo { return &p11.GetInfo{} }),
	act("get slot list", func(*rightsBench) *p11.GetSlotList { return &p11.GetSlotList{} }),
	act("get slot info", func(*rightsBench) *p11.GetSlotInfo { return &p11.GetSlotInfo{} }),
	act("get token info", func(*rightsBench) *p11.GetTokenInfo { return &p11.GetTokenInfo{} }),
	act("wait for slot event", func(*rightsBench) *p11.WaitForSlotEvent { return &p11.WaitForSlotEvent{} }),
	act("get mechanism list", func(*rightsBench) *p11.GetMechanismList { return &p11.GetMechanismList{} }),
	act("get mechanism info", func(*rightsBench) *p11.GetMechanismInfo { return &p11.GetMechanismInfo{Type: ck.CKM_SHA256} }),
	act("C_InitToken, right PIN", func(*rightsBench) *p11.InitToken {
		return &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "new"}
	}),
	act("get HSM info", func(*rightsBench) *p11.GetHSMInfo { return &p11.GetHSMInfo{} }),
	act("list HSM policies", func(*rightsBench) *p11.ListHSMPolicies { return &p11.ListHSMPolicies{} }),
	act("list partition policies", func(*rightsBench) *p11.ListPartitionPolicies { return &p11.ListPartitionPolicies{} }),
	act("check HSM policies", func(*rightsBench) *p11.CheckHSMPolicies { return &p11.CheckHSMPolicies{} }),
	act("check partition policies", func(*rightsBench) *p11.CheckPartitionPolicies { return &p11.CheckPartitionPolicies{} }),
	act("list partitions", func(*rightsBench) *p11.ListPartitions { return &p11.ListPartitions{} }),
	act("list profiles", func(*rightsBench) *p11.ListProfiles { return &p11.ListProfiles{} }),
	act("OUID of public data", func(b *rightsBench) *p11.GetObjectUID { return &p11.GetObjectUID{Object: b.data} }),
	act("handle of an OUID", func(*rightsBench) *p11.GetObjectHandle { return &p11.GetObjectHandle{} }),
	act("check records", func(*rightsBench) *p11.CheckRecords { return &p11.CheckRecords{} }),
	act("list roles", func(*rightsBench) *p11.ListRoles { return &p11.ListRoles{} }),
	act("set application id", func(*rightsBench) *p11.SetAppID { return &p11.SetAppID{ID: p11.AppID{7}} }),
	act("get application id", func(*rightsBench) *p11.GetAppID { return &p11.GetAppID{} }),
	act("open application id", func(*rightsBench) *p11.OpenAppID { return &p11.OpenAppID{ID: p11.AppID{7}} }),
	act("close application id", func(*rightsBench) *p11.CloseAppID { return &p11.CloseAppID{ID: p11.AppID{7}} }),
	act("restart slot", func(*rightsBench) *p11.RestartSlot { return &p11.RestartSlot{} }),
	act("zeroize HSM", func(*rightsBench) *p11.ZeroizeHSM { return &p11.ZeroizeHSM{} }),
	act("factory reset", func(*rightsBench) *p11.FactoryReset { return &p11.FactoryReset{} }),
}

// setRole sets the PIN of a role, the first or another.
func setRole[Q *p11.InitRole | *p11.ResetRole](name string, role p11.Role) action {
	var q Q
	if _, first := any(q).(*p11.InitRole); first {
		return act(name, func(b *rightsBench) *p11.InitRole {
			return &p11.InitRole{Session: b.s, Role: role, PIN: []byte("another pin")}
		})
	}
	return act(name, func(b *rightsBench) *p11.ResetRole {
		return &p11.ResetRole{Session: b.s, Role: role, PIN: []byte("another pin")}
	})
}

func creating(name string, template ...any) action {
	return act(name, func(b *rightsBench) *p11.CreateObject {
		return &p11.CreateObject{Session: b.s, Template: tmpl(template...)}
	})
}

func generating(name string, template ...any) action {
	return act(name, func(b *rightsBench) *p11.GenerateKey {
		return &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: append(tmpl(template...), ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))}
	})
}

func unwrapping(name string, token bool) action {
	return act(name, func(b *rightsBench) *p11.UnwrapKey {
		return &p11.UnwrapKey{Session: b.s, Mechanism: rightsWrap, UnwrappingKey: b.key, Wrapped: b.wrapped, Template: rightsSecret(token)}
	})
}

func deriving(name string, token bool) action {
	return act(name, func(b *rightsBench) *p11.DeriveKey {
		return &p11.DeriveKey{Session: b.s, BaseKey: b.key, Template: rightsSecret(token),
			Mechanism: mech(ck.CKM_AES_ECB_ENCRYPT_DATA, &engine.StringDataParams{Data: make([]byte, 16)})}
	})
}

func encapsulatingInto(name string, token bool) action {
	return act(name, func(b *rightsBench) *p11.EncapsulateKey {
		return &p11.EncapsulateKey{Session: b.s, Mechanism: mech(ck.CKM_ML_KEM), PublicKey: b.encapsulating,
			Template: rightsSecret(token), Out: p11.Output{Buf: make([]byte, 768)}}
	})
}

func copying(name string, which func(*rightsBench) ck.ObjectHandle, template ...any) action {
	return act(name, func(b *rightsBench) *p11.CopyObject {
		return &p11.CopyObject{Session: b.s, Object: which(b), Template: tmpl(template...)}
	})
}

func changing(name string, which func(*rightsBench) ck.ObjectHandle, template ...any) action {
	return act(name, func(b *rightsBench) *p11.SetAttributeValue {
		return &p11.SetAttributeValue{Session: b.s, Object: which(b), Template: tmpl(template...)}
	})
}

func destroying(name string, which func(*rightsBench) ck.ObjectHandle) action {
	return act(name, func(b *rightsBench) *p11.DestroyObject {
		return &p11.DestroyObject{Session: b.s, Object: which(b)}
	})
}
