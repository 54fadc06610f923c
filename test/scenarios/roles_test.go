package scenarios

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/ck"
)

const cryptoUser = uint(ck.CKU_CRYPTO_USER)

// login opens a session and logs a user in.
func (g *governed) login(user uint, pin string) (pkcs11.SessionHandle, error) {
	g.t.Helper()
	s, err := g.p.OpenSession(g.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	g.good(err)
	return s, g.p.Login(s, user, pin)
}

// wantsLogin logs a user in, wants an answer, and closes the session.
func (g *governed) wantsLogin(rv ck.RV, user uint, pin string) {
	g.t.Helper()
	s, err := g.login(user, pin)
	g.wants(rv, fmt.Sprintf("C_Login(%#x)", user), err)
	_ = g.p.CloseSession(s) // which may have gone with its token
}

// sign signs with the first private key that a session finds.
func (g *governed) sign(s pkcs11.SessionHandle) error {
	g.t.Helper()
	g.good(g.p.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}))
	found, _, err := g.p.FindObjects(s, 1)
	g.good(err)
	g.good(g.p.FindObjectsFinal(s))
	if len(found) == 0 {
		return fmt.Errorf("there is no private key")
	}
	if err := g.p.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil)}, found[0]); err != nil {
		return err
	}
	_, err = g.p.Sign(s, []byte("message"))
	return err
}

// generate makes an AES key.
func (g *governed) generate(s pkcs11.SessionHandle) error {
	_, err := g.p.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
	})
	return err
}

// hsmState is what `hsm show --json` says.
type hsmState struct {
	Initialized    bool
	Zeroized       bool
	ByHand         bool `json:"manually_zeroized"`
	Auditor        bool `json:"audit_role_initialized"`
	Label          string
	Profile        string
	Partitions     int
	SOAttemptsLeft int `json:"so_attempts_left"`
}

func (g *governed) hsm() (s hsmState) {
	g.t.Helper()
	g.good(json.Unmarshal([]byte(g.perilune("hsm show --json")), &s))
	return s
}

// Somebody enters a wrong PIN of the HSM SO three times: that is how such an HSM
// is emptied before it is given back. The policies and the Auditor stay, and the
// HSM can be initialised by whoever has it.
func TestThreeWrongPINsOfTheHSMSO(t *testing.T) {
	g := newGoverned(t)
	t.Setenv("WRONG", "nobody's pin 99")
	t.Setenv("AUDITOR", "auditor-pin-3301")
	g.perilune("audit init --audit-pin env:AUDITOR")
	g.perilune("hsm policy set --id 16 --value off --hsm-so-pin env:HSM_SO")
	g.partition("app", "")
	s := g.officer()
	_, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)

	const wrong = "partition create --name x --hsm-so-pin env:WRONG"
	g.refused(wrong, "CKR_PIN_INCORRECT", "2 of 3 tries are left")
	if left := g.hsm().SOAttemptsLeft; left != 2 {
		t.Errorf("hsm show says that %d tries are left", left)
	}
	g.perilune("partition create --name spare --hsm-so-pin env:HSM_SO") // a right PIN begins anew
	g.refused(wrong, "2 of 3 tries are left")
	g.refused(wrong, "1 try is left", "the HSM is zeroized")
	g.refused(wrong, "CKR_SO_LOGIN_FAILURE_THRESHOLD")

	if out := g.perilune("hsm show"); !strings.Contains(out, "HSM is zeroized!") || !strings.Contains(out, "There are no partitions.") {
		t.Errorf("hsm show says\n%s", out)
	}
	if got, want := g.hsm(), (hsmState{Zeroized: true, Auditor: true, Profile: "luna-7.2"}); got != want {
		t.Errorf("the HSM is %+v, want %+v", got, want)
	}
	_, err = g.p.GetSessionInfo(s)
	g.wants(ck.CKR_SESSION_HANDLE_INVALID, "the application's session", err)

	g.perilune("audit login --audit-pin env:AUDITOR")

	g.perilune("hsm init --label again --so-pin env:HSM_SO") // nobody logs in for that
	if out := g.perilune("hsm policy list --json"); !policyIs(t, out, 16, 0) {
		t.Errorf("the policies did not stay:\n%s", out)
	}
	if got, want := g.hsm(), (hsmState{Initialized: true, Auditor: true, Label: "again", Profile: "luna-7.2", SOAttemptsLeft: 3}); got != want {
		t.Errorf("the HSM is %+v, want %+v", got, want)
	}
	g.partition("app", "")
	if err := g.sign(g.officer()); err == nil || !strings.Contains(err.Error(), "no private key") {
		t.Errorf("in the new partition: %v", err)
	}
}

// policyIs tells whether a list of policies has one with this value.
func policyIs(t *testing.T, list string, id, value uint64) bool {
	t.Helper()
	var policies []struct{ ID, Value *uint64 }
	if err := json.Unmarshal([]byte(list), &policies); err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if p.ID != nil && *p.ID == id {
			return p.Value != nil && *p.Value == value
		}
	}
	return false
}

// Ten wrong PINs of the Auditor cost ten minutes, and nothing else. A factory
// reset costs the Auditor, too.
func TestTenWrongPINsOfTheAuditor(t *testing.T) {
	g := newGoverned(t)
	t.Setenv("WRONG", "nobody's pin 99")
	t.Setenv("AUDITOR", "auditor-pin-3301")
	g.perilune("audit init --audit-pin env:AUDITOR")
	g.perilune("hsm policy set --id 16 --value off --hsm-so-pin env:HSM_SO")
	g.partition("app", "")
	for range 9 {
		g.refused("audit login --audit-pin env:WRONG", "CKR_PIN_INCORRECT")
	}
	g.refused("audit login --audit-pin env:WRONG", "CKR_AUDIT_LOGIN_FAILURE_THRESHOLD")
	g.refused("audit login --audit-pin env:AUDITOR", "CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS", "It can log in again after")
	if out := g.perilune("role show --role au"); !strings.Contains(out, "locked out until") {
		t.Errorf("role show says\n%s", out)
	}
	g.good(g.p.CloseSession(g.officer())) // nobody else is locked

	g.perilune("hsm factory-reset --force")
	if got, want := g.hsm(), (hsmState{Zeroized: true, ByHand: true, Profile: "standard"}); got != want {
		t.Errorf("the HSM is %+v, want %+v", got, want)
	}
	if out := g.perilune("hsm policy list --json"); !policyIs(t, out, 16, 1) {
		t.Errorf("the policies outlived the reset:\n%s", out)
	}
	g.refused("audit login --audit-pin env:AUDITOR", "has no PIN yet")
}

// Ten wrong PINs of a Partition SO destroy that partition, and no other.
func TestTenWrongPINsOfThePartitionSO(t *testing.T) {
	g := newGoverned(t)
	g.partition("other", "")
	s := g.officer()
	_, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	other := g.slot
	g.partition("app", "")
	s2 := g.officer()
	_, err = g.pair(s2, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	g.good(g.p.CloseSession(s2))

	for range 10 {
		g.wantsLogin(ck.CKR_PIN_INCORRECT, pkcs11.CKU_SO, "nobody's pin 99")
	}
	g.wantsLogin(ck.CKR_USER_PIN_NOT_INITIALIZED, pkcs11.CKU_SO, "partition-so-2818")
	info, err := g.p.GetTokenInfo(g.slot)
	g.good(err)
	if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
		t.Error("the partition is still initialised")
	}
	g.wants(ck.CKR_OK, "signing in the other partition", g.sign(s))

	g.perilune("partition init --partition app --label again --so-pin env:SO")
	g.perilune("role init --partition app --role co --so-pin env:SO --new-pin env:FIRST")
	g.wantsLogin(ck.CKR_OK, pkcs11.CKU_USER, "first-pin-2845")
	var list []struct {
		Name    string
		Objects int
	}
	g.good(json.Unmarshal([]byte(g.perilune("partition list --json")), &list))
	for _, p := range list {
		if p.Name == "app" && p.Objects != 0 || p.Name == "other" && p.Objects != 2 {
			t.Errorf("%+v", p)
		}
	}
	if other == g.slot {
		t.Error("both partitions are in one slot")
	}
}

// Ten wrong PINs of a Crypto Officer. As the HSM comes, that is the end of the
// partition's keys. Where the HSM SO has chosen that the Partition SO may reset
// the PIN, everything is as before.
func TestTenWrongPINsOfTheCryptoOfficer(t *testing.T) {
	g := newGoverned(t)
	begin := func() {
		t.Helper()
		g.partition("app", "")
		s := g.officer()
		_, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
		g.good(err)
		g.good(g.p.CloseSession(s))
		for range 9 {
			g.wantsLogin(ck.CKR_PIN_INCORRECT, pkcs11.CKU_USER, "nobody's pin 99")
		}
		if out := g.perilune("role show --partition app --role co"); !strings.Contains(out, "1 of 10") {
			t.Errorf("role show says\n%s", out)
		}
		g.wantsLogin(ck.CKR_OK, pkcs11.CKU_USER, governedPIN) // begins anew
		for range 10 {
			g.wantsLogin(ck.CKR_PIN_INCORRECT, pkcs11.CKU_USER, "nobody's pin 99")
		}
		g.wantsLogin(ck.CKR_PIN_LOCKED, pkcs11.CKU_USER, governedPIN)
		info, err := g.p.GetTokenInfo(g.slot)
		g.good(err)
		if info.Flags&pkcs11.CKF_USER_PIN_LOCKED == 0 {
			t.Errorf("token flags %#x", info.Flags)
		}
	}
	const reset = "role resetpw --partition app --role co --so-pin env:SO --new-pin env:FIRST"

	begin() // policy 15 is off
	g.refused(reset, "CKR_OPERATION_NOT_ALLOWED", "policy 15")
	g.wantsLogin(ck.CKR_PIN_LOCKED, pkcs11.CKU_USER, governedPIN)

	g.perilune("hsm policy set --id 15 --value on --hsm-so-pin env:HSM_SO --force") // which empties the HSM
	begin()
	g.perilune(reset)
	g.perilune("role changepw --partition app --role co --pin env:FIRST --new-pin env:CO")
	g.wants(ck.CKR_OK, "signing after the reset", g.sign(g.officer()))
}

// A new Crypto Officer has its PIN from the Partition SO. It logs in and can do
// nothing before it has chosen its own.
func TestNewOfficerChangesItsPIN(t *testing.T) {
	g := newGoverned(t)
	g.partition("app", "")
	g.perilune("partition init --partition app --label again --so-pin env:SO --force")
	g.perilune("role init --partition app --role co --so-pin env:SO --new-pin env:FIRST")
	info, err := g.p.GetTokenInfo(g.slot)
	g.good(err)
	if info.Flags&pkcs11.CKF_USER_PIN_TO_BE_CHANGED == 0 {
		t.Errorf("token flags %#x", info.Flags)
	}
	s, err := g.login(pkcs11.CKU_USER, "first-pin-2845")
	g.wants(ck.CKR_OK, "C_Login", err)
	g.wants(ck.CKR_PIN_EXPIRED, "C_GenerateKey", g.generate(s))
	g.wants(ck.CKR_PIN_EXPIRED, "C_FindObjectsInit", g.p.FindObjectsInit(s, nil))
	g.wants(ck.CKR_PIN_LEN_RANGE, "C_SetPIN to one that is too short", g.p.SetPIN(s, "first-pin-2845", "short"))
	g.wants(ck.CKR_PIN_INVALID, "C_SetPIN to one with other characters", g.p.SetPIN(s, "first-pin-2845", `with "quotes"`))
	g.wants(ck.CKR_OK, "C_SetPIN", g.p.SetPIN(s, "first-pin-2845", governedPIN))
	g.wants(ck.CKR_OK, "C_GenerateKey", g.generate(s))
	g.good(g.p.CloseSession(s))
	g.good(g.p.CloseSession(g.officer()))
}

// A Crypto User works with the keys that there are, and makes none.
func TestCryptoUserUsesKeys(t *testing.T) {
	g := newGoverned(t)
	t.Setenv("CU", "user-pin-4590")
	g.partition("app", "")
	s := g.officer()
	private, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	g.good(g.p.CloseSession(s))
	g.perilune("role init --partition app --role cu --pin env:CO --new-pin env:FIRST")
	g.perilune("role changepw --partition app --role cu --pin env:FIRST --new-pin env:CU")

	s, err = g.login(cryptoUser, "user-pin-4590")
	g.wants(ck.CKR_OK, "C_Login of the Crypto User", err)
	g.wants(ck.CKR_USER_NOT_AUTHORIZED, "C_GenerateKey", g.generate(s))
	_, err = g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.wants(ck.CKR_USER_NOT_AUTHORIZED, "C_GenerateKeyPair", err)
	g.wants(ck.CKR_USER_NOT_AUTHORIZED, "C_DestroyObject", g.p.DestroyObject(s, private))
	g.wants(ck.CKR_USER_NOT_AUTHORIZED, "C_SetAttributeValue", g.p.SetAttributeValue(s, private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, "mine")}))
	g.wants(ck.CKR_OK, "signing", g.sign(s))
	g.wants(ck.CKR_USER_ALREADY_LOGGED_IN, "C_Login of the officer beside it", g.p.Login(s, pkcs11.CKU_USER, governedPIN))
}
