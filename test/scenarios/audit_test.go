package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyOf writes a changed copy of a file and returns its path.
func (g *governed) copyOf(path, name string, change func(lines []string) []string) string {
	g.t.Helper()
	text, err := os.ReadFile(path)
	g.good(err)
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n")
	lines = lines[:len(lines)-1] // what is behind the last newline
	to := filepath.Join(g.dir, name)
	g.good(os.WriteFile(to, []byte(strings.Join(change(lines), "")), 0o600))
	return to
}

// The Auditor records what happens, and exports the secret of the log. Somebody
// with all rights on the host tampers with the log: each way is found and named,
// on the HSM, and on another HSM, where the auditors verify it. The end that was
// cut off is found by the HSM that wrote it.
func TestLogThatWasTamperedWith(t *testing.T) {
	t.Setenv("AUDITOR", "auditor-pin-1618")
	t.Setenv("AUDIT_DOMAIN", "the domain of the auditors")
	g := newGoverned(t)
	g.perilune("audit init --audit-pin env:AUDITOR --domain env:AUDIT_DOMAIN")
	g.perilune("audit config --audit-pin env:AUDITOR --events all --rotation never")
	g.partition("app", "")
	s := g.officer()
	_, err := g.pair(s, 0x7fffffff)
	if err == nil {
		t.Fatal("an unknown mechanism makes keys") // a failure is recorded too
	}
	g.aes(s)
	g.perilune("audit verify --audit-pin env:AUDITOR")
	tail := g.perilune("audit log tail --audit-pin env:AUDITOR --entries 200")
	for _, event := range []string{"GENERATE_KEY returned RC_OK", "GENERATE_KEY_PAIR returned CKR_MECHANISM_INVALID", "LOGIN returned RC_OK"} {
		if !strings.Contains(tail, event) {
			t.Errorf("the log lacks %q:\n%s", event, tail)
		}
	}
	secret := filepath.Join(g.dir, "secret.lws")
	g.perilune("audit export --audit-pin env:AUDITOR --out " + secret)
	logs, err := filepath.Glob(filepath.Join(g.dir, "home", "audit", "*.log"))
	g.good(err)
	if len(logs) != 1 {
		t.Fatalf("files of the log: %v", logs)
	}
	serial := strings.Split(filepath.Base(logs[0]), "_")[1]
	whole := g.copyOf(logs[0], "whole.log", func(l []string) []string { return l })
	verify := "audit verify --audit-pin env:AUDITOR --serial " + serial + " --file "
	tampered := map[string]string{
		"changed": g.copyOf(whole, "changed.log", func(l []string) []string {
			l[4] = strings.Replace(l[4], "RC_OK", "RC_NO", 1)
			return l
		}),
		"removed": g.copyOf(whole, "removed.log", func(l []string) []string { return append(l[:4], l[5:]...) }),
		"reordered": g.copyOf(whole, "reordered.log", func(l []string) []string {
			l[4], l[5] = l[5], l[4]
			return l
		}),
	}
	found := func() {
		t.Helper()
		g.perilune(verify + whole)
		for how, path := range tampered {
			g.refused(verify+path, "WRONG: record 5 is "+how, "1 fault")
		}
	}
	found()

	// The end is cut off, and the HSM knows how far it was.
	g.copyOf(whole, "home/audit/"+filepath.Base(logs[0]), func(l []string) []string { return l[:len(l)-2] })
	g.refused("audit verify --audit-pin env:AUDITOR", "cut")

	// Another HSM of the auditors.
	g.good(g.p.Finalize())
	g.good(os.RemoveAll(filepath.Join(g.dir, "home")))
	n := newGoverned(t)
	n.perilune("audit init --audit-pin env:AUDITOR --domain env:AUDIT_DOMAIN")
	n.refused(verify+whole, serial)
	n.perilune("audit import --audit-pin env:AUDITOR --file " + secret)
	g.p = n.p
	found()
}
