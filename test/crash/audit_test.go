package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/audit"
)

// These tests look at the audit log of programs that sign: that no signature is
// missing when they are killed, and that all of them make one chain.

// audited is an HSM that records every use of a key, in files so small that a
// new one begins every few milliseconds.
type audited struct {
	*host
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	a := &audited{newHost(t)}
	a.env = append(a.env, "AUDITOR=auditor pin", "DOMAIN=crash", "CRASH_PINS=user pin 0")
	a.run("init")
	a.run("signkey")
	a.must("audit init --audit-pin env:AUDITOR --domain env:DOMAIN")
	a.must("audit config --audit-pin env:AUDITOR --events asymmetric,access,success,failure --file-size 64k")
	return a
}

// verify wants the whole log to be right, without a gap from the first record.
func (a *audited) verify() {
	a.t.Helper()
	var r struct {
		Records, First, Last uint64
		Faults               []json.RawMessage
	}
	out := a.must("audit verify --json --audit-pin env:AUDITOR")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		a.t.Fatalf("audit verify says %s", out)
	}
	if len(r.Faults) > 0 || r.First != 1 || r.Records != r.Last {
		a.t.Fatalf("audit verify says %s", out)
	}
}

// count counts the records of an event.
func (a *audited) count(event audit.Event) (n int) {
	a.t.Helper()
	for _, dir := range []string{"audit", "audit/ready_for_archive"} {
		files, err := filepath.Glob(filepath.Join(a.home, dir, "hsm_*.log"))
		if err != nil {
			a.t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				a.t.Fatal(err)
			}
			for line := range slices.Chunk(data, audit.LineSize) {
				r, err := audit.ParseLine(line)
				if err != nil {
					a.t.Fatalf("%s: %v", file, err)
				}
				if r.Event == event && r.Code == 0 {
					n++
				}
			}
		}
	}
	return n
}

// sign starts a worker that signs, and kills it after so many signatures; with 0
// it is left to end by itself. It returns how many were acknowledged.
func (a *audited) sign(kill int, env ...string) (acknowledged int) {
	a.t.Helper()
	cmd := a.command("sign", env...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		a.t.Error(err)
		return 0
	}
	for out := bufio.NewScanner(pipe); out.Scan(); {
		if out.Text() != "signed" {
			a.t.Errorf("a signing worker says %q", out.Text())
		}
		if acknowledged++; acknowledged == kill {
			cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	if kill == 0 && err != nil {
		a.t.Errorf("a signing worker: %v", err)
	}
	return acknowledged
}

// TestKillWhileSigning kills two programs that sign, again and again. Files of the
// log end all the time, so many of the kills are inside a rotation, and most
// inside the writing of a batch.
func TestKillWhileSigning(t *testing.T) {
	rounds := 60
	if os.Getenv("PERILUNE_SOAK") != "" {
		rounds = 1000
	}
	a := newAudited(t)
	rng := rand.New(rand.NewPCG(5, 4))
	var acknowledged int
	for round := range rounds {
		got := make([]int, 2)
		var done sync.WaitGroup
		for i := range got {
			kill := 1 + rng.IntN(2000)
			done.Go(func() { got[i] = a.sign(kill) })
		}
		done.Wait()
		for _, n := range got {
			acknowledged += n
		}
		if round%10 == 9 {
			a.verify()
		}
	}
	a.verify()
	// A worker that is killed may have made one signature that nobody heard of.
	if n := a.count(audit.SignSinglepart); n < acknowledged || n > acknowledged+2*rounds {
		t.Errorf("%d signatures were acknowledged, and the log has %d", acknowledged, n)
	}
	if left, err := filepath.Glob(filepath.Join(a.home, "audit", "spool", "*")); err != nil || len(left) > 0 {
		t.Errorf("spools of dead programs are left: %q, %v", left, err)
	}
}

// TestManyProgramsOneChain lets several programs sign at once, to their ends.
func TestManyProgramsOneChain(t *testing.T) {
	const programs, each = 4, 3000
	a := newAudited(t)
	var done sync.WaitGroup
	for range programs {
		done.Go(func() { a.sign(0, fmt.Sprint("CRASH_SIGNATURES=", each)) })
	}
	done.Wait()
	a.verify()
	if n := a.count(audit.SignSinglepart); n != programs*each {
		t.Errorf("%d signatures were made, and the log has %d", programs*each, n)
	}
	if logins := a.count(audit.Login); logins < programs {
		t.Errorf("%d logins are in the log", logins)
	}
}

// TestUnwritableLog takes the log's directory away while a program works: what
// must be recorded is refused, and goes on when the directory is back.
func TestUnwritableLog(t *testing.T) {
	a := newAudited(t)
	dir := filepath.Join(a.home, "audit")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := a.command("sign", "CRASH_SIGNATURES=1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "0x80000033") { // CKR_LOG_FILE_WRITE_ERROR
		t.Errorf("signing with a log that cannot be written: %v\n%s", err, out)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if n := a.sign(0, "CRASH_SIGNATURES=5"); n != 5 {
		t.Errorf("%d signatures", n)
	}
	a.verify()
	if n := a.count(audit.SignSinglepart); n != 5 {
		t.Errorf("the log has %d signatures", n)
	}
}

// signKey makes the key that the workers sign with.
func signKey(p *pkcs11.Ctx) error {
	s, _, err := loginAny(p)
	if err != nil {
		return err
	}
	_, _, err = p.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}),
		},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)})
	return err
}

// sign signs for ever, or as often as it is told, and says so each time.
func sign(p *pkcs11.Ctx) error {
	var limit int
	fmt.Sscan(os.Getenv("CRASH_SIGNATURES"), &limit)
	s, _, err := loginAny(p)
	if err != nil {
		return err
	}
	if err := p.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}); err != nil {
		return err
	}
	keys, _, err := p.FindObjects(s, 1)
	if err == nil {
		err = p.FindObjectsFinal(s)
	}
	if err != nil || len(keys) != 1 {
		return fmt.Errorf("%d keys: %w", len(keys), err)
	}
	for n := 1; n != limit+1 || limit == 0; n++ {
		if err := p.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, keys[0]); err != nil {
			return err
		}
		if _, err := p.Sign(s, make([]byte, 32)); err != nil {
			return err
		}
		fmt.Println("signed")
	}
	return p.Finalize()
}
