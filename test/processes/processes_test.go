// Package processes runs several processes, with several threads each, on one
// partition.
package processes

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

const (
	soPIN = "12345678"
	pin   = "user pin"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROCESSES_WORKER") != "" {
		if err := worker(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// proc is another process, asked line by line.
type proc struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func hostEnv(t *testing.T) []string {
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, []byte(built.CheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "PERILUNE_HOME="+filepath.Join(dir, "home"), "PERILUNE_CONF="+conf, "PERILUNE_MODULE="+built.Library(t), "PROCESSES_WORKER=1")
}

func start(t *testing.T, env []string) *proc {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = env
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &proc{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	return p
}

// ask sends a line and returns the answer to it.
func (p *proc) ask(format string, args ...any) string {
	p.t.Helper()
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(p.in, line)
	if !p.out.Scan() {
		p.t.Fatalf("the worker ended at %q", line)
	}
	if text, bad := strings.CutPrefix(p.out.Text(), "error "); bad {
		p.t.Fatalf("%s: %s", line, text)
	}
	return p.out.Text()
}

// TestWhatOneCommitsAnotherSees: at its next call, in turn, many times.
func TestWhatOneCommitsAnotherSees(t *testing.T) {
	env := hostEnv(t)
	a := start(t, env)
	a.ask("init")
	a.ask("login")
	b := start(t, env)
	b.ask("login")
	a.ask("create x")
	for i := range 300 {
		p, q := a, b
		if i%2 == 1 {
			p, q = b, a
		}
		p.ask("label x v%d", i)
		if got := q.ask("read x"); got != fmt.Sprintf("v%d", i) {
			t.Fatalf("step %d: the other process reads %s", i, got)
		}
	}
	b.ask("destroy x")
	if got := a.ask("count x"); got != "0" {
		t.Errorf("a destroyed object is found %s times", got)
	}
	if got := a.ask("stale x"); got != "CKR_OBJECT_HANDLE_INVALID" {
		t.Errorf("the handle of an object that another process destroyed: %s", got)
	}
}

// TestNoUpdateIsLost: two processes change different attributes of one object.
func TestNoUpdateIsLost(t *testing.T) {
	env := hostEnv(t)
	a := start(t, env)
	a.ask("init")
	a.ask("login")
	b := start(t, env)
	b.ask("login")
	a.ask("create x")
	a.ask("read x") // both have found it before its CKA_ID changes
	b.ask("read x")
	for i := range 50 {
		var wg sync.WaitGroup
		wg.Go(func() { a.ask("label x v%d", i) })
		wg.Go(func() { b.ask("id2 x w%d", i) })
		wg.Wait()
		if got, want := a.ask("both x"), fmt.Sprintf("v%d w%d", i, i); got != want {
			t.Fatalf("step %d: found %s, want %s", i, got, want)
		}
	}
}

// TestManyWriters: every process and thread creates, finds, uses and destroys;
// no call fails, and in the end just what should be left is.
func TestManyWriters(t *testing.T) {
	env := hostEnv(t)
	first := start(t, env)
	first.ask("init")
	first.ask("login")
	const processes, threads, each = 4, 8, 25
	var wg sync.WaitGroup
	for i := range processes {
		p := start(t, env)
		p.ask("login")
		wg.Go(func() { p.ask("storm p%d %d %d", i, threads, each) })
	}
	wg.Wait()
	if got, want := first.ask("count keep"), fmt.Sprint(processes*threads*each); got != want {
		t.Errorf("%s objects are left, want %s", got, want)
	}
}

// TestLastTryIsOne: several processes race for the last try at a PIN. One of
// them gets an answer to it; the others learn that the role is locked, whatever
// PIN they have.
func TestLastTryIsOne(t *testing.T) {
	env := hostEnv(t)
	procs := []*proc{start(t, env)}
	procs[0].ask("init")
	for range 3 {
		procs = append(procs, start(t, env))
	}
	race := func(pins ...string) map[string]int {
		t.Helper()
		procs[0].ask("reset") // the SO gives the officer its PIN again
		for i := range 9 {
			if got := procs[i%len(procs)].ask("try wrong"); got != "CKR_PIN_INCORRECT" {
				t.Fatalf("wrong PIN %d: %s", i+1, got)
			}
		}
		answers := make([]string, len(pins))
		var wg sync.WaitGroup
		for i, pin := range pins {
			wg.Go(func() { answers[i] = procs[i].ask("try %s", pin) })
		}
		wg.Wait()
		count := map[string]int{}
		for i, a := range answers {
			count[pins[i]+" "+a]++
		}
		return count
	}
	first := map[string]int{}
	for round := range 12 {
		got := race("wrong", "wrong", "wrong", "wrong")
		if got["wrong CKR_PIN_INCORRECT"] != 1 || got["wrong CKR_PIN_LOCKED"] != 3 {
			t.Errorf("round %d: %v", round, got)
		}
		got = race("right", "wrong")
		switch {
		case got["right ok"] == 1 && got["wrong CKR_PIN_INCORRECT"] == 1: // the count began anew
			first["right"]++
		case got["right CKR_PIN_LOCKED"] == 1 && got["wrong CKR_PIN_INCORRECT"] == 1:
			first["wrong"]++
		default:
			t.Errorf("round %d: %v", round, got)
		}
	}
	t.Logf("who was first: %v", first)
}

func worker() error {
	p := pkcs11.New(os.Getenv("PERILUNE_MODULE"))
	if p == nil {
		return fmt.Errorf("the module does not load")
	}
	if err := p.Initialize(); err != nil {
		return err
	}
	defer p.Finalize()
	w := &work{p: p, handles: map[string]pkcs11.ObjectHandle{}}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := append(strings.Fields(in.Text()), "", "", "")
		answer, err := w.do(f[0], f[1], f[2], f[3])
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		fmt.Println(answer)
	}
	return nil
}

type work struct {
	p       *pkcs11.Ctx
	s       pkcs11.SessionHandle
	handles map[string]pkcs11.ObjectHandle
}

func (w *work) do(what, name, value, more string) (answer string, err error) {
	answer = "ok"
	switch what {
	case "init":
		err = w.init()
	case "login":
		w.s, err = w.session()
		if err == nil {
			err = w.p.Login(w.s, pkcs11.CKU_USER, pin)
		}
	case "reset":
		err = w.asSO(func(s pkcs11.SessionHandle) error { return w.p.InitPIN(s, pin) })
	case "try":
		answer, err = w.try(name)
	case "create":
		_, err = w.create(w.s, name, name)
	case "label":
		err = w.set(name, pkcs11.CKA_LABEL, value)
	case "id2":
		err = w.set(name, pkcs11.CKA_ID, value)
	case "read":
		answer, err = w.get(name, pkcs11.CKA_LABEL)
	case "both":
		var id string
		if answer, err = w.get(name, pkcs11.CKA_LABEL); err == nil {
			id, err = w.get(name, pkcs11.CKA_ID)
		}
		answer += " " + id
	case "destroy":
		var o pkcs11.ObjectHandle
		if o, err = w.find(name); err == nil {
			err = w.p.DestroyObject(w.s, o)
		}
	case "count":
		var list []pkcs11.ObjectHandle
		list, err = w.search(w.s, name)
		answer = fmt.Sprint(len(list))
	case "stale":
		_, e := w.p.GetAttributeValue(w.s, w.handles[name], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil)})
		if pe, ok := e.(pkcs11.Error); ok && pe == pkcs11.CKR_OBJECT_HANDLE_INVALID {
			return "CKR_OBJECT_HANDLE_INVALID", nil
		}
		answer = fmt.Sprint(e)
	case "storm":
		var threads, each int
		fmt.Sscan(value, &threads)
		fmt.Sscan(more, &each)
		err = w.storm(name, threads, each)
	default:
		err = fmt.Errorf("no such command")
	}
	return answer, err
}

func (w *work) session() (pkcs11.SessionHandle, error) {
	return w.p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
}

func (w *work) init() error {
	if err := w.p.InitToken(0, soPIN, "shared"); err != nil {
		return err
	}
	return w.asSO(func(s pkcs11.SessionHandle) error { return w.p.InitPIN(s, pin) })
}

// asSO does something as the Partition SO.
func (w *work) asSO(do func(pkcs11.SessionHandle) error) error {
	s, err := w.session()
	if err != nil {
		return err
	}
	if err := w.p.Login(s, pkcs11.CKU_SO, soPIN); err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	return w.p.CloseSession(s)
}

// try logs the officer in with the right PIN or a wrong one, and out again.
func (w *work) try(which string) (string, error) {
	s, err := w.session()
	if err != nil {
		return "", err
	}
	text := map[string]string{"right": pin, "wrong": "wrong pin"}[which]
	answer := "ok"
	switch err := w.p.Login(s, pkcs11.CKU_USER, text); err {
	case nil:
	case pkcs11.Error(pkcs11.CKR_PIN_INCORRECT):
		answer = "CKR_PIN_INCORRECT"
	case pkcs11.Error(pkcs11.CKR_PIN_LOCKED):
		answer = "CKR_PIN_LOCKED"
	default:
		return "", err
	}
	return answer, w.p.CloseSession(s)
}

// create makes a secret key whose CKA_ID is its name.
func (w *work) create(s pkcs11.SessionHandle, name, value string) (pkcs11.ObjectHandle, error) {
	return w.p.CreateObject(s, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_GENERIC_SECRET)),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_ID, name),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, value),
	})
}

func (w *work) search(s pkcs11.SessionHandle, name string) (all []pkcs11.ObjectHandle, err error) {
	if err := w.p.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, name)}); err != nil {
		return nil, err
	}
	for {
		list, _, err := w.p.FindObjects(s, 50)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return all, w.p.FindObjectsFinal(s)
		}
		all = append(all, list...)
	}
}

func (w *work) find(name string) (pkcs11.ObjectHandle, error) {
	list, err := w.search(w.s, name)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%d objects are named %s", len(list), name)
	}
	if err != nil {
		return 0, err
	}
	w.handles[name] = list[0]
	return list[0], nil
}

// handle keeps what was found, so that caches are used.
func (w *work) handle(name string) (pkcs11.ObjectHandle, error) {
	if o, ok := w.handles[name]; ok {
		return o, nil
	}
	return w.find(name)
}

func (w *work) set(name string, t uint, value string) error {
	o, err := w.handle(name)
	if err != nil {
		return err
	}
	return w.p.SetAttributeValue(w.s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(t, value)})
}

func (w *work) get(name string, t uint) (string, error) {
	o, err := w.handle(name)
	if err != nil {
		return "", err
	}
	a, err := w.p.GetAttributeValue(w.s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(t, nil)})
	if err != nil {
		return "", err
	}
	return string(a[0].Value), nil
}

// storm works with several threads, each on a session of its own; of every two
// objects that it makes it keeps one.
func (w *work) storm(name string, threads, each int) error {
	errs := make(chan error, threads)
	for i := range threads {
		go func() { errs <- w.thread(fmt.Sprintf("%s-%d", name, i), each) }()
	}
	var err error
	for range threads {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}

func (w *work) thread(name string, each int) error {
	s, err := w.session()
	if err != nil {
		return err
	}
	for i := range each {
		id := fmt.Sprintf("%s-%d", name, i)
		o, err := w.create(s, id, id)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := w.create(s, "keep", id); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		list, err := w.search(s, id)
		if err != nil || len(list) != 1 || list[0] != o {
			return fmt.Errorf("made object %d, found %v (%v)", o, list, err)
		}
		if err := w.p.DestroyObject(s, o); err != nil {
			return fmt.Errorf("destroy: %w", err)
		}
	}
	return w.p.CloseSession(s)
}
