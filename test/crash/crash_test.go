// Package crash kills programs that work on one HSM, at any point of any write,
// and looks whether everything that was acknowledged is there afterwards.
package crash

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

const soPIN = "12345678"

// TestMain is the worker's way in: the test binary runs itself.
func TestMain(m *testing.M) {
	if role := os.Getenv("CRASH_WORKER"); role != "" {
		if err := worker(role); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// host is the place of one HSM under test.
type host struct {
	t    testing.TB
	home string
	env  []string
}

func newHost(t testing.TB) *host {
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, []byte(built.CheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, home: filepath.Join(dir, "home")}
	h.env = append(os.Environ(), "PERILUNE_HOME="+h.home, "PERILUNE_CONF="+conf, "PERILUNE_MODULE="+built.Library(t))
	return h
}

// command runs this binary as a worker.
func (h *host) command(role string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(h.env, "CRASH_WORKER="+role), env...)
	return cmd
}

// perilune is a command of the program on the host's HSM.
func (h *host) perilune(line string) *exec.Cmd {
	cmd := exec.Command(built.Program(h.t), strings.Fields(line)...)
	cmd.Env = h.env
	return cmd
}

// must runs a command of the program, which must succeed.
func (h *host) must(line string) string {
	h.t.Helper()
	out, err := h.perilune(line).CombinedOutput()
	if err != nil {
		h.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return string(out)
}

// run runs a worker to its end and returns its lines.
func (h *host) run(role string, env ...string) []string {
	h.t.Helper()
	out, err := h.command(role, env...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("worker %s: %v\n%s", role, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// state is what the acknowledgements of one worker say must be so. Where a kill
// left an operation open, both outcomes are right.
type state struct {
	labels map[uint32]string // object -> label, "" for destroyed
	open   map[uint32]string // what was begun and not acknowledged
}

// note takes one line of a worker.
func (s *state) note(line string) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return
	}
	id64, _ := strconv.ParseUint(f[1], 10, 32)
	id := uint32(id64)
	label := ""
	if len(f) > 2 {
		label = f[2]
	}
	switch f[0] {
	case "begin":
		s.open[id] = label
	case "done":
		s.labels[id] = label
		delete(s.open, id)
	}
}

// may tells whether an object may have a label ("" for not there).
func (s *state) may(id uint32, label string) bool {
	after, open := s.open[id]
	return s.labels[id] == label || open && after == label
}

// TestKill kills two workers again and again while they create, generate,
// change and destroy objects and change the PIN.
func TestKill(t *testing.T) {
	rounds := 150 // of two kills each
	if os.Getenv("PERILUNE_SOAK") != "" {
		rounds = 3000
	}
	h := newHost(t)
	h.run("init")
	rng := rand.New(rand.NewPCG(11, 21))
	pins := []string{"user pin 0"}
	states := map[string]*state{
		"a": {labels: map[uint32]string{}, open: map[uint32]string{}},
		"b": {labels: map[uint32]string{}, open: map[uint32]string{}},
	}
	for round := range rounds {
		pins = h.killRound(rng, round, states, pins)
		if round%10 == 9 || round == rounds-1 {
			pins = h.verify(states, pins)
		}
	}
}

// killRound starts both workers and kills each after a random number of
// acknowledgements and a random moment more.
func (h *host) killRound(rng *rand.Rand, round int, states map[string]*state, pins []string) []string {
	type running struct {
		name string
		cmd  *exec.Cmd
		out  *bufio.Scanner
		left int
	}
	var list []*running
	// Worker a changes the PIN, so b has to be logged in first.
	for _, name := range []string{"b", "a"} {
		cmd := h.command("work", "CRASH_NAME="+name, "CRASH_ROUND="+fmt.Sprint(round), "CRASH_PINS="+strings.Join(pins, "|"))
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			h.t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			h.t.Fatal(err)
		}
		out := bufio.NewScanner(stdout)
		if !out.Scan() || out.Text() != "ready" {
			h.t.Fatalf("round %d, worker %s begins with %q", round, name, out.Text())
		}
		list = append(list, &running{name, cmd, out, 1 + rng.IntN(20)})
	}
	done := make(chan []string, len(list))
	for _, r := range list {
		spin := rng.IntN(2000)
		go func() {
			var lines []string
			for r.out.Scan() {
				lines = append(lines, r.out.Text())
				if r.left--; r.left == 0 {
					for i := range spin { // a random moment of the next write
						_ = i
					}
					r.cmd.Process.Kill()
				}
			}
			r.cmd.Wait()
			done <- append([]string{r.name}, lines...)
		}()
	}
	for range list {
		lines := <-done
		for _, line := range lines[1:] {
			if text, bad := strings.CutPrefix(line, "error "); bad {
				h.t.Fatalf("round %d, worker %s: %s", round, lines[0], text)
			}
			if f := strings.Fields(line); f[0] == "pin-begin" || f[0] == "pin-done" {
				pins = append(pins, strings.Join(f[1:], " "))
				if f[0] == "pin-done" {
					pins = pins[len(pins)-1:]
				}
				continue
			}
			states[lines[0]].note(line)
		}
	}
	return pins
}

// verify compares what is there with what was acknowledged, and settles what
// was open.
func (h *host) verify(states map[string]*state, pins []string) []string {
	h.t.Helper()
	lines := h.run("verify", "CRASH_PINS="+strings.Join(pins, "|"))
	found := map[string]map[uint32]string{"a": {}, "b": {}}
	for _, line := range lines {
		f := strings.Fields(line)
		if f[0] == "pin" {
			pins = []string{strings.Join(f[1:], " ")}
			continue
		}
		if f[0] != "object" || len(f) != 4 {
			h.t.Fatalf("verify said %q", line)
		}
		id, _ := strconv.ParseUint(f[2], 10, 32)
		if _, twice := found[f[1]][uint32(id)]; twice {
			h.t.Errorf("object %s %d is there twice", f[1], id)
		}
		found[f[1]][uint32(id)] = f[3]
	}
	for name, s := range states {
		ids := map[uint32]bool{}
		for id := range s.labels {
			ids[id] = true
		}
		for id := range found[name] {
			ids[id] = true
		}
		for id := range ids {
			if !s.may(id, found[name][id]) {
				h.t.Errorf("worker %s object %d: found %q, acknowledged %q, open %q", name, id, found[name][id], s.labels[id], s.open[id])
			}
		}
		s.labels, s.open = found[name], map[uint32]string{}
	}
	return pins
}

// worker is the other process.
func worker(role string) error {
	p := pkcs11.New(os.Getenv("PERILUNE_MODULE"))
	if p == nil {
		return fmt.Errorf("the module does not load")
	}
	if err := p.Initialize(); err != nil {
		return err
	}
	switch role {
	case "init":
		return initToken(p)
	case "work":
		return work(p)
	case "verify":
		return verifyAll(p)
	case "many":
		return many(p)
	case "fill":
		return fill(p)
	case "stock":
		return stock(p)
	case "signkey":
		return signKey(p)
	case "sign":
		return sign(p)
	}
	return fmt.Errorf("no role %q", role)
}

func initToken(p *pkcs11.Ctx) error {
	if err := p.InitToken(0, soPIN, "crash"); err != nil {
		return err
	}
	s, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	if err := p.Login(s, pkcs11.CKU_SO, soPIN); err != nil {
		return err
	}
	return p.InitPIN(s, "user pin 0")
}

// loginAny logs in with one of the PINs that may be right, and returns it.
func loginAny(p *pkcs11.Ctx) (pkcs11.SessionHandle, string, error) {
	s, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return 0, "", err
	}
	pins := strings.Split(os.Getenv("CRASH_PINS"), "|")
	for i := len(pins) - 1; i >= 0; i-- {
		if err = p.Login(s, pkcs11.CKU_USER, pins[i]); err == nil {
			return s, pins[i], nil
		}
	}
	return 0, "", fmt.Errorf("login with any of %d PINs: %w", len(pins), err)
}

func objectID(name string, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(name), id)
}

// value is the content of an object, which its id tells.
func value(id uint32) []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint32(b, id+1)
	return b
}

// work changes objects for ever, saying before and after each change what it is.
func work(p *pkcs11.Ctx) error {
	s, pin, err := loginAny(p)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	name := os.Getenv("CRASH_NAME")
	round, err := strconv.Atoi(os.Getenv("CRASH_ROUND"))
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(round), uint64(name[0])))
	mine := map[uint32]pkcs11.ObjectHandle{}
	next := uint32(round+1) * 100_000
	for {
		switch what := rng.IntN(10); {
		case what < 4 || len(mine) == 0:
			next++
			err = create(p, s, name, next, what == 0, mine)
		case what < 7:
			err = relabel(p, s, rng, mine)
		case what < 9:
			err = destroy(p, s, mine)
		case name == "a":
			pin, err = changePIN(p, s, pin, rng)
		}
		if err != nil {
			return err
		}
	}
}

func create(p *pkcs11.Ctx, s pkcs11.SessionHandle, name string, id uint32, generate bool, mine map[uint32]pkcs11.ObjectHandle) (err error) {
	kind := uint(pkcs11.CKK_AES)
	t := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_ID, objectID(name, id)), pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
	}
	label := fmt.Sprintf("created%d", id)
	if generate {
		label = fmt.Sprintf("generated%d", id)
	}
	t = append(t, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	fmt.Printf("begin %d %s\n", id, label)
	if generate {
		t = append(t, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32))
		mine[id], err = p.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, t)
	} else {
		t = append(t, pkcs11.NewAttribute(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY)), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, kind),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE, value(id)), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true))
		mine[id], err = p.CreateObject(s, t)
	}
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	fmt.Printf("done %d %s\n", id, label)
	return nil
}

func relabel(p *pkcs11.Ctx, s pkcs11.SessionHandle, rng *rand.Rand, mine map[uint32]pkcs11.ObjectHandle) error {
	for id, o := range mine {
		label := fmt.Sprintf("label%d", rng.IntN(1000))
		fmt.Printf("begin %d %s\n", id, label)
		if err := p.SetAttributeValue(s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)}); err != nil {
			return fmt.Errorf("set attribute: %w", err)
		}
		fmt.Printf("done %d %s\n", id, label)
		break
	}
	return nil
}

func destroy(p *pkcs11.Ctx, s pkcs11.SessionHandle, mine map[uint32]pkcs11.ObjectHandle) error {
	for id, o := range mine {
		fmt.Printf("begin %d\n", id)
		if err := p.DestroyObject(s, o); err != nil {
			return fmt.Errorf("destroy: %w", err)
		}
		delete(mine, id)
		fmt.Printf("done %d\n", id)
		break
	}
	return nil
}

func changePIN(p *pkcs11.Ctx, s pkcs11.SessionHandle, old string, rng *rand.Rand) (string, error) {
	pin := fmt.Sprintf("user pin %d", rng.Uint32())
	fmt.Printf("pin-begin %s\n", pin)
	if err := p.SetPIN(s, old, pin); err != nil {
		return old, fmt.Errorf("set PIN: %w", err)
	}
	fmt.Printf("pin-done %s\n", pin)
	return pin, nil
}

// verifyAll lists every object and uses it.
func verifyAll(p *pkcs11.Ctx) error {
	s, pin, err := loginAny(p)
	if err != nil {
		return err
	}
	fmt.Printf("pin %s\n", pin)
	if err := p.FindObjectsInit(s, nil); err != nil {
		return err
	}
	for {
		list, _, err := p.FindObjects(s, 100)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return p.FindObjectsFinal(s)
		}
		for _, o := range list {
			if err := verifyOne(p, s, o); err != nil {
				return err
			}
		}
	}
}

func verifyOne(p *pkcs11.Ctx, s pkcs11.SessionHandle, o pkcs11.ObjectHandle) error {
	class, err := p.GetAttributeValue(s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, nil)})
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(class[0].Value) != pkcs11.CKO_SECRET_KEY {
		return nil // the token's own profile objects
	}
	a, err := p.GetAttributeValue(s, o, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_ID, nil), pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil), pkcs11.NewAttribute(pkcs11.CKA_LOCAL, nil),
	})
	if err != nil {
		return fmt.Errorf("object %d: %w", o, err)
	}
	id := binary.BigEndian.Uint32(a[0].Value[1:])
	if a[2].Value[0] == 0 {
		v, err := p.GetAttributeValue(s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		if err != nil || !bytes.Equal(v[0].Value, value(id)) {
			return fmt.Errorf("object %d has not the value that it was created with (%v)", id, err)
		}
	}
	if err := p.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)}, o); err != nil {
		return fmt.Errorf("object %d cannot be used: %w", id, err)
	}
	if _, err := p.Encrypt(s, make([]byte, 16)); err != nil {
		return fmt.Errorf("object %d cannot be used: %w", id, err)
	}
	fmt.Printf("object %c %d %s\n", a[0].Value[0], id, a[1].Value)
	return nil
}
