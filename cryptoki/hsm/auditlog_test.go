package hsm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

const (
	auditorPIN  = "auditor pin"
	auditDomain = "audit domain"
)

// newAuditedHost is a host whose HSM keeps an audit log.
func newAuditedHost(t *testing.T) *testHost {
	host := newTestHost()
	host.auditDir = filepath.Join(t.TempDir(), "audit")
	return host
}

// auditorOf makes the Auditor and logs him in.
func auditorOf(t *testing.T, h *HSM) ck.SessionHandle {
	t.Helper()
	must(t, h, &p11.InitAuditor{PIN: []byte(auditorPIN), Domain: []byte(auditDomain)})
	s := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_AUDIT, PIN: []byte(auditorPIN)})
	return s
}

// configure sets what is recorded.
func configure(t testing.TB, h *HSM, s ck.SessionHandle, events string) {
	t.Helper()
	m, err := audit.ParseMask(events)
	if err != nil {
		t.Fatal(err)
	}
	must(t, h, &p11.SetAuditConfig{Session: s, Config: p11.AuditConfig{Mask: uint32(m), Rotation: "never", FileSize: audit.DefaultFileSize}})
}

// messages are the messages of the log, with numbers that differ from run to
// run replaced.
func messages(t *testing.T, h *HSM, auditor ck.SessionHandle) (list []string) {
	t.Helper()
	r := must(t, h, &p11.VerifyAuditFiles{Session: auditor})
	if len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	for _, f := range must(t, h, &p11.ListAuditFiles{Session: auditor}).Files {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			rec, err := audit.ParseLine(data[:audit.LineSize])
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, tame(rec.Message))
			data = data[audit.LineSize:]
		}
	}
	return list
}

var wild = regexp.MustCompile(`S/N \d+|session \d+|Access \d+:\d+|id [-0-9a-f]{24,36}|key \d+`)

func tame(message string) string {
	return wild.ReplaceAllStringFunc(message, func(s string) string {
		word, _, _ := strings.Cut(s, " ")
		if s == "session 0" {
			return s
		}
		return word + " #"
	})
}

// logged is the log without what the test's own preparations left there.
func logged(t *testing.T, h *HSM, auditor ck.SessionHandle, before int) []string {
	t.Helper()
	return messages(t, h, auditor)[before:]
}

func wantLog(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the log says\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestEveryRequestHasAnAuditRow(t *testing.T) {
	for kind, row := range auditTable {
		has := 0
		for _, is := range []bool{row.event != audit.NoEvent, row.use, row.silent != ""} {
			if is {
				has++
			}
		}
		if has != 1 {
			t.Errorf("%v: the audit table says %d things of it, want one: an event, a step in the use of a key, or why it is not recorded", p11.Kind(kind), has)
		}
		if row.silent != "" && p11.Table[kind].Changes == p11.ChangesToken {
			t.Errorf("%v changes what is stored and is not recorded", p11.Kind(kind))
		}
	}
}

// TestUnconditionalEvents wants what is always recorded to be recorded on an
// HSM that nobody configured, and nothing else.
func TestUnconditionalEvents(t *testing.T) {
	h := newAuditedHost(t).process(t)
	initPartition(t, h, 0)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	must(t, h, &p11.ZeroizeHSM{})
	au := auditorOf(t, h)
	wantLog(t, messages(t, h, au),
		`session 0 Access # operation INIT_TOKEN returned RC_OK(0x00000000) slot 0 label "test"`,
		`session 0 Access # operation INIT_TOKEN returned RC_OK(0x00000000) HSM label "hsm"`,
		`session 0 Access # operation ZEROIZE returned RC_OK(0x00000000)`,
		`session 0 Access # operation INIT_AUDITOR returned RC_OK(0x00000000)`,
	)
}

func TestWhatRecordsSay(t *testing.T) {
	h := newAuditedHost(t).process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "all")
	n := len(messages(t, h, au)) + 1 // and the verification itself
	s := open(t, h, 0, true)
	want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("wrong pin")})
	login(t, h, s)
	key := must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_TOKEN, true, ck.CKA_VALUE_LEN, 32, ck.CKA_ENCRYPT, true, ck.CKA_SIGN, false)}).Object
	must(t, h, &p11.SetAttributeValue{Session: s, Object: key, Template: tmpl(ck.CKA_LABEL, "secret name")})
	want(t, h, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_CMAC}, Key: key})
	encrypt := func(parts int) {
		t.Helper()
		must(t, h, &p11.Begin{Session: s, Op: p11.OpEncrypt, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_ECB}, Key: key})
		out := p11.Output{Buf: make([]byte, 64)}
		for range parts {
			must(t, h, &p11.Update{Session: s, Op: p11.OpEncrypt, In: make([]byte, 16), Out: out})
		}
		if parts == 0 {
			must(t, h, &p11.Finish{Session: s, Op: p11.OpEncrypt, Single: true, In: make([]byte, 16), Out: p11.Output{Query: true}})
			want(t, h, ck.CKR_BUFFER_TOO_SMALL, &p11.Finish{Session: s, Op: p11.OpEncrypt, Single: true, In: make([]byte, 16)})
		}
		must(t, h, &p11.Finish{Session: s, Op: p11.OpEncrypt, Single: parts == 0, In: make([]byte, 16*min(1, max(0, 1-parts))), Out: out})
	}
	encrypt(0)
	encrypt(3)
	must(t, h, &p11.DestroyObject{Session: s, Object: key})
	must(t, h, &p11.Logout{Session: s})
	must(t, h, &p11.LogExternal{Session: au, Message: "the auditor was here"})
	const done = " returned RC_OK(0x00000000) "
	wantLog(t, logged(t, h, au, n),
		`session # Access # operation OPEN_SESSION`+done+`slot 0 flags 0x6`,
		`S/N # session # Access # operation LOGIN returned CKR_PIN_INCORRECT(0x000000A0) role co`,
		`S/N # session # Access # operation LOGIN`+done+`role co`,
		`S/N # session # Access # operation GENERATE_KEY`+done+`role co key # id # CKM_AES_KEY_GEN`,
		`S/N # session # Access # operation MODIFY_OBJECT`+done+`role co key # id # CKA_LABEL`,
		`S/N # session # Access # operation SIGN_INIT returned CKR_KEY_FUNCTION_NOT_PERMITTED(0x00000068) role co key # CKM_AES_CMAC`,
		`S/N # session # Access # operation ENCRYPT_SINGLEPART`+done+`role co key # id # CKM_AES_ECB`,
		`S/N # session # Access # operation ENCRYPT`+done+`role co key # id # CKM_AES_ECB`,
		`S/N # session # Access # operation ENCRYPT_END`+done+`role co key # id # CKM_AES_ECB`,
		`S/N # session # Access # operation DESTROY_OBJECT`+done+`role co key # id #`,
		`S/N # session # Access # operation LOGOUT`+done+`role co`,
		`session # Access # operation LOG_EXTERNAL`+done+`role au the auditor was here`,
	)
}

// TestLengthQueriesAreNotRecorded asks for the length of everything that has one:
// nothing happens, and the call comes again.
func TestLengthQueriesAreNotRecorded(t *testing.T) {
	h := newAuditedHost(t).process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "all")
	s := open(t, h, 0, true)
	login(t, h, s)
	key := must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}, Template: tmpl(ck.CKA_VALUE_LEN, 32,
		ck.CKA_ENCRYPT, true, ck.CKA_WRAP, true, ck.CKA_EXTRACTABLE, true)}).Object
	must(t, h, &p11.Begin{Session: s, Op: p11.OpDigest, Mechanism: &ck.Mechanism{Type: ck.CKM_SHA256}})
	n := len(messages(t, h, au)) + 1
	ask, in := p11.Output{Query: true}, make([]byte, 16)
	must(t, h, &p11.GetOperationState{Session: s, Out: ask})
	must(t, h, &p11.Begin{Session: s, Op: p11.OpEncrypt, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_ECB}, Key: key})
	must(t, h, &p11.Update{Session: s, Op: p11.OpEncrypt, In: in, Out: ask})
	must(t, h, &p11.DualUpdate{Session: s, First: p11.OpDigest, Second: p11.OpEncrypt, In: in, Out: ask})
	must(t, h, &p11.Finish{Session: s, Op: p11.OpEncrypt, Out: ask})
	must(t, h, &p11.Finish{Session: s, Op: p11.OpDigest, Out: ask})
	must(t, h, &p11.WrapKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_WRAP}, WrappingKey: key, Key: key, Out: ask})
	wantLog(t, logged(t, h, au, n))
	n++ // the verification
	must(t, h, &p11.DualUpdate{Session: s, First: p11.OpDigest, Second: p11.OpEncrypt, In: in, Out: p11.Output{Buf: make([]byte, 16)}})
	wantLog(t, logged(t, h, au, n), `S/N # session # Access # operation ENCRYPT returned RC_OK(0x00000000) role co key # id # CKM_AES_ECB`)
}

func TestFirstUseOnly(t *testing.T) {
	h := newAuditedHost(t).process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "first,symfirst,success")
	n := len(messages(t, h, au))
	s := open(t, h, 0, true)
	login(t, h, s)
	for range 2 {
		key := must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
			Template: tmpl(ck.CKA_TOKEN, true, ck.CKA_VALUE_LEN, 32, ck.CKA_SIGN, true)}).Object
		for range 5 {
			must(t, h, &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_CMAC}, Key: key})
			must(t, h, &p11.Finish{Session: s, Op: p11.OpSign, Single: true, In: []byte("data"), Out: p11.Output{Buf: make([]byte, 16)}})
		}
	}
	one := `S/N # session # Access # operation SIGN_SINGLEPART returned RC_OK(0x00000000) role co key # id # CKM_AES_CMAC`
	wantLog(t, logged(t, h, au, n), one, one)
}

// TestSecretsStayOut does what has PINs, domains and key values in it, and looks
// for them in every file of the log.
func TestSecretsStayOut(t *testing.T) {
	host := newAuditedHost(t)
	h := host.process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "all")
	s := open(t, h, 0, true)
	login(t, h, s)
	must(t, h, &p11.SetPIN{Session: s, Old: []byte(userPIN), New: []byte("another pin")})
	must(t, h, &p11.CreateObject{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET, ck.CKA_VALUE, "value of the key")})
	must(t, h, &p11.SetAuditDomain{Session: au, Domain: []byte("second domain")})
	must(t, h, &p11.VerifyAuditFiles{Session: au})
	h.Close()
	err := filepath.WalkDir(host.auditDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{userPIN, soPIN, auditorPIN, auditDomain, "another pin", "second domain", "value of the key"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAuditorIsMadeByNobodyElse(t *testing.T) {
	h := newAuditedHost(t).process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	so := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.Login{Session: so, User: ck.CKU_SO, PIN: []byte("hsm so pin")})
	again := &p11.InitAuditor{PIN: []byte(auditorPIN), Domain: []byte(auditDomain)}
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, again)
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.GetAuditConfig{Session: so})
	must(t, h, &p11.Logout{Session: so})
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.GetAuditConfig{Session: so})
	must(t, h, again)
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, again)
	must(t, h, &p11.Login{Session: so, User: ck.CKU_AUDIT, PIN: []byte(auditorPIN)})
	must(t, h, &p11.InitAuditor{Session: so, PIN: []byte("new auditor pin")})
	must(t, h, &p11.Login{Session: so, User: ck.CKU_AUDIT, PIN: []byte("new auditor pin")})
	want(t, h, ck.CKR_LOG_NO_KCV, &p11.ExportAuditSecret{Session: so})
	must(t, h, &p11.SetAuditDomain{Session: so, Domain: []byte(auditDomain)})
	must(t, h, &p11.ExportAuditSecret{Session: so})
}

// TestLogSecretTravels exports the secret of one HSM and verifies its log on
// another of the same audit domain.
func TestLogSecretTravels(t *testing.T) {
	first := newAuditedHost(t).process(t)
	au := auditorOf(t, first)
	configure(t, first, au, "all")
	exported := must(t, first, &p11.ExportAuditSecret{Session: au})
	files := must(t, first, &p11.RotateAuditLog{Session: au}).Files
	serial := must(t, first, &p11.GetHSMInfo{}).Serial
	if exported.Name != fmt.Sprintf("%d.lws", serial) {
		t.Errorf("the secret's file is called %s", exported.Name)
	}

	second := newAuditedHost(t).process(t)
	au = auditorOf(t, second)
	verify := &p11.VerifyAuditFiles{Session: au, Serial: fmt.Sprint(serial), Paths: []string{files[0].Path}}
	want(t, second, ck.CKR_LOG_NO_KCV, verify)
	if got := must(t, second, &p11.ImportAuditSecret{Session: au, Data: exported.Data}).Serial; got != fmt.Sprint(serial) {
		t.Errorf("imported the secret of %s", got)
	}
	if r := must(t, second, verify); len(r.Faults) > 0 || r.Records == 0 {
		t.Errorf("verified on the other HSM: %+v", r)
	}

	must(t, second, &p11.SetAuditDomain{Session: au, Domain: []byte("another domain")})
	want(t, second, ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID, &p11.ImportAuditSecret{Session: au, Data: exported.Data})
}

// TestConfigurationHoldsInAllProcesses sets it in one and looks in another.
func TestConfigurationHoldsInAllProcesses(t *testing.T) {
	host := newAuditedHost(t)
	h, other := host.process(t), host.process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "access,success")
	s := open(t, other, 0, true)
	login(t, other, s)
	other.Close()
	got := messages(t, h, au)
	if !slices.Contains(got, "S/N # session # Access # operation LOGIN returned RC_OK(0x00000000) role co") {
		t.Errorf("the login of the other process is not in the log:\n%s", strings.Join(got, "\n"))
	}
}

// TestFullLogStopsTheHSM fills the log and wants what must be recorded to be
// refused before it happens, until the Auditor makes room.
func TestFullLogStopsTheHSM(t *testing.T) {
	h := newAuditedHost(t).process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	m, _ := audit.ParseMask("access,manage,keymanage,asymmetric,symmetric,success,failure")
	must(t, h, &p11.SetAuditConfig{Session: au, Config: p11.AuditConfig{Mask: uint32(m), Rotation: "never",
		FileSize: audit.MinFileSize, Limit: 2 * audit.MinFileSize}})
	s := open(t, h, 0, true)
	login(t, h, s)
	generate := &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}, Template: tmpl(ck.CKA_VALUE_LEN, 32)}
	n := 0
	for ; n < 1000; n++ {
		if _, err := p11.Call(t.Context(), h, generate); ck.RVOf(err) == ck.CKR_LOG_FULL {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		must(t, h, &p11.FindObjectsInit{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY)})
		defer must(t, h, &p11.FindObjectsFinal{Session: s})
		return len(must(t, h, &p11.FindObjects{Session: s, Max: 2000}).Objects)
	}
	if got := count(); got != n {
		t.Errorf("%d keys for %d calls that succeeded", got, n)
	}
	want(t, h, ck.CKR_LOG_FULL, generate)
	if !must(t, h, &p11.GetAuditStatus{}).Full {
		t.Error("the status does not say that the log is full")
	}
	must(t, h, &p11.Logout{Session: s})
	want(t, h, ck.CKR_LOG_FULL, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	must(t, h, &p11.Logout{Session: au})
	must(t, h, &p11.Login{Session: au, User: ck.CKU_AUDIT, PIN: []byte(auditorPIN)})
	must(t, h, &p11.GetAuditConfig{Session: au})
	files := must(t, h, &p11.RotateAuditLog{Session: au}).Files
	must(t, h, &p11.RemoveAuditFiles{Session: au, Names: []string{files[0].Name}})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	must(t, h, generate)
	if r := must(t, h, &p11.VerifyAuditFiles{Session: au}); len(r.Faults) > 0 || r.First == 1 {
		t.Errorf("after removing the oldest file: %+v", r)
	}
}

// TestZeroizingByFailedLoginsIsRecorded wants the deed in the log, not only the
// last wrong PIN.
func TestZeroizingByFailedLoginsIsRecorded(t *testing.T) {
	h := newAuditedHost(t).process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	s := open(t, h, p11.AdminSlot, true)
	for range 3 {
		_, _ = p11.Call(t.Context(), h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("wrong pin")})
	}
	au := auditorOf(t, h)
	wantLog(t, messages(t, h, au),
		`session 0 Access # operation INIT_TOKEN returned RC_OK(0x00000000) HSM label "hsm"`,
		`session 0 Access # operation ZEROIZE returned RC_OK(0x00000000) the HSM, after too many wrong PINs of the HSM SO`,
		`session 0 Access # operation INIT_AUDITOR returned RC_OK(0x00000000)`,
	)
}

// TestAuditLasts wants the Auditor and his configuration to survive everything
// but a factory reset, and the log to survive that too.
func TestAuditLasts(t *testing.T) {
	h := newAuditedHost(t).process(t)
	au := auditorOf(t, h)
	configure(t, h, au, "manage,success,failure")
	config := must(t, h, &p11.GetAuditConfig{Session: au})
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	must(t, h, &p11.ZeroizeHSM{})
	must(t, h, &p11.InitHSM{Label: "again", PIN: []byte("hsm so pin")})
	again := func() ck.SessionHandle {
		t.Helper()
		must(t, h, &p11.CloseAllSessions{Slot: p11.AdminSlot})
		s := open(t, h, p11.AdminSlot, true)
		must(t, h, &p11.Login{Session: s, User: ck.CKU_AUDIT, PIN: []byte(auditorPIN)})
		return s
	}
	if got := must(t, h, &p11.GetAuditConfig{Session: again()}); !reflect.DeepEqual(got, config) {
		t.Errorf("after zeroization and initialisation the configuration is %+v", got)
	}
	newest := must(t, h, &p11.GetAuditStatus{}).Newest
	must(t, h, &p11.FactoryReset{})
	status := must(t, h, &p11.GetAuditStatus{})
	if status.AuditorInitialized || status.Configured || status.DomainSet || status.Newest != newest+1 {
		t.Errorf("after a factory reset, with %d records before: %+v", newest, status)
	}
	got := messages(t, h, auditorOf(t, h))
	if want := `session 0 Access # operation FACTORY_RESET returned RC_OK(0x00000000)`; !slices.Contains(got, want) {
		t.Errorf("the log does not say %q:\n%s", want, strings.Join(got, "\n"))
	}
}

// TestDamagedAuditRecords damages the records of the audit log in the store, one
// kind after the other.
func TestDamagedAuditRecords(t *testing.T) {
	damage := func(h *HSM, kind store.Kind) {
		t.Helper()
		err := h.store.Update(t.Context(), func(tx store.Tx) error {
			recs, err := tx.List(0, kind, 0, 0)
			if err != nil || len(recs) != 1 {
				return fmt.Errorf("%d records of kind %d: %w", len(recs), kind, err)
			}
			recs[0].Version++
			recs[0].Sealed = make([]byte, 100)
			return tx.Replace(recs[0])
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	host := newAuditedHost(t)
	h := host.process(t)
	initPartition(t, h, 0)
	au := auditorOf(t, h)
	configure(t, h, au, "access,success")

	damage(h, kindAuditConfig) // everything is recorded then
	s := open(t, h, 0, true)
	login(t, h, s)
	must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}, Template: tmpl(ck.CKA_VALUE_LEN, 32)})
	if got := messages(t, h, au); !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, "operation GENERATE_KEY ") }) {
		t.Errorf("with a damaged configuration:\n%s", strings.Join(got, "\n"))
	}
	must(t, h, &p11.SetAuditDomain{Session: au, Domain: []byte(auditDomain)})
	configure(t, h, au, "access,keymanage,success,failure")

	damage(h, kindAuditMark) // the next record mends it
	must(t, h, &p11.SetPIN{Session: s, Old: []byte(userPIN), New: []byte(userPIN)})
	messages(t, h, au)

	damage(h, kindAuditSecret) // nothing can be recorded by whoever opens the HSM now
	other := host.process(t)
	o := open(t, other, 0, true)
	want(t, other, ck.CKR_DEVICE_ERROR, &p11.Login{Session: o, User: ck.CKU_USER, PIN: []byte(userPIN)})
	must(t, other, &p11.FactoryReset{})
	auditorOf(t, other)
}
