package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	soPIN = "12345678"
	pin   = "benchpin" // openCryptoki takes eight bytes at most
)

// module is something that is measured: a PKCS#11 module, or OpenSSL beneath.
type module struct {
	name, path string
	parameters string // of C_Initialize, for NSS
	env        []string
	// setUp makes an empty token in dir, and may change the fields above.
	setUp func(m *module, dir string) error
	// most says up to how many objects the module is filled; fill how, if not
	// by the C API.
	most int
	fill func(m *module, drivers string, from, to int)
	home string // where setUp put the token
}

// modules are all that there are. The first is what everything is compared with.
func modules(o *options) []*module {
	return []*module{
		{name: "Perilune", path: o.perilune, setUp: setUpPerilune, most: o.objects},
		{name: "SoftHSM2", path: "/usr/lib/softhsm/libsofthsm2.so", setUp: setUpSoftHSM, most: 50000, fill: fillSoftHSM},
		{name: "NSS", path: "libsoftokn3.so", setUp: setUpNSS, most: 1000},
		{name: "openCryptoki", path: "opencryptoki/libopencryptoki.so.0", setUp: setUpOpenCryptoki, most: 1000},
		{name: "OpenSSL", setUp: func(*module, string) error { return nil }},
	}
}

// choose returns the modules that are named, Perilune first, with their tokens.
// One that is named and cannot run ends the program; of "all", it is left out.
func choose(o *options, dir string) (chosen []*module) {
	for _, m := range modules(o) {
		if o.modules != "all" && !strings.Contains(","+strings.ToLower(o.modules)+",", ","+strings.ToLower(m.name)+",") && m.name != "Perilune" {
			continue
		}
		if err := m.prepare(dir); err != nil {
			if o.modules != "all" || m.name == "Perilune" {
				fatal("%s: %v", m.name, err)
			}
			fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", m.name, err)
			continue
		}
		chosen = append(chosen, m)
	}
	return chosen
}

// prepare makes a token in a folder of its own.
func (m *module) prepare(dir string) error {
	home := filepath.Join(dir, strings.ToLower(m.name))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	m.env, m.home = nil, home
	return m.setUp(m, home)
}

// another is the same module with an empty token of its own, where it can have
// several.
func (m *module) another(dir string) *module {
	n := *m
	if m.name == "openCryptoki" { // has one token on a machine
		return &n
	}
	check(n.prepare(dir))
	return &n
}

func (m *module) isRaw() bool { return m.name == "OpenSSL" }

func setUpPerilune(m *module, dir string) error {
	m.env = []string{"PERILUNE_HOME=" + filepath.Join(dir, "home")}
	if conf := filepath.Join(filepath.Dir(dir), "perilune.toml"); exists(conf) {
		m.env = append(m.env, "PERILUNE_CONF="+conf)
	}
	return m.initToken()
}

func setUpSoftHSM(m *module, dir string) error {
	tokens, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		return err
	}
	text := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	m.env = []string{"SOFTHSM2_CONF=" + conf}
	return m.initToken()
}

// initToken makes the token with pkcs11-tool, as a user would.
func (m *module) initToken() error {
	err := m.quietly("", "pkcs11-tool", "--module", m.path, "--init-token", "--slot-index", "0", "--label", "bench", "--so-pin", soPIN)
	if err != nil {
		return err
	}
	return m.quietly("", "pkcs11-tool", "--module", m.path, "--token-label", "bench", "--login", "--login-type", "so", "--so-pin", soPIN, "--init-pin", "--new-pin", pin)
}

// setUpNSS makes a database of keys. Its token is the one with a PIN.
func setUpNSS(m *module, dir string) (err error) {
	if m.path, err = library(m.path); err != nil {
		return err
	}
	m.parameters = fmt.Sprintf("configdir='sql:%s' certPrefix='' keyPrefix='' secmod='' flags=", dir)
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(pin+"\n"), 0o600); err != nil {
		return err
	}
	return m.quietly("", "certutil", "-N", "-d", "sql:"+dir, "-f", password)
}

// setUpOpenCryptoki uses the one soft token of the machine, if that is empty or
// of an earlier run. Its daemon is started where it does not run; only root may.
func setUpOpenCryptoki(m *module, _ string) (err error) {
	if m.path, err = library(m.path); err != nil {
		return err
	}
	if err := startSlotDaemon(); err != nil {
		return err
	}
	slot, label, err := softToken()
	if err != nil {
		return err
	}
	switch label {
	case "IBM OS PKCS#11": // a new one
	case "bench": // of an earlier run, which was ended
		emptySoftToken()
	default:
		return fmt.Errorf("the soft token of this machine is in use, as %q", label)
	}
	atExit = append(atExit, emptySoftToken)
	for _, args := range [][]string{{"-I", "-S", "87654321"}, {"-P", "-S", "87654321", "-n", soPIN}, {"-u", "-S", soPIN, "-n", "12345670"}, {"-p", "-U", "12345670", "-n", pin}} {
		if err := m.quietly("bench\n", "pkcsconf", append(args, "-c", slot)...); err != nil {
			return err
		}
	}
	return nil
}

// emptySoftToken removes what this program put into it. pkcsconf cannot: after
// it makes a token anew, the SO cannot log in unless with the PIN of new tokens.
func emptySoftToken() {
	const home = "/var/lib/opencryptoki/swtok/"
	for _, pattern := range []string{home + "MK_*", home + "NVTOK.DAT", home + "TOK_OBJ/*", "/dev/shm/var.lib.opencryptoki.swtok"} {
		files, err := filepath.Glob(pattern)
		check(err)
		for _, f := range files {
			check(os.Remove(f))
		}
	}
}

// softToken finds openCryptoki's, by pkcsconf's list.
func softToken() (slot, label string, err error) {
	out, err := exec.Command("pkcsconf", "-t").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("pkcsconf -t: %w\n%s", err, out)
	}
	for l := range strings.Lines(string(out)) {
		l = strings.TrimSpace(l)
		if s, ok := strings.CutPrefix(l, "Token #"); ok {
			slot, _, _ = strings.Cut(s, " ")
		} else if s, ok := strings.CutPrefix(l, "Label: "); ok {
			label = strings.TrimSpace(s)
		} else if strings.HasPrefix(l, "Model: ") && strings.Contains(l, "SoftTok") {
			return slot, label, nil
		}
	}
	return "", "", fmt.Errorf("pkcsconf -t lists no soft token")
}

func startSlotDaemon() error {
	if exec.Command("pkcsconf", "-t").Run() == nil {
		return nil
	}
	out, err := exec.Command("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/opencryptoki.conf").CombinedOutput()
	if err != nil && !exists("/var/lock/opencryptoki/swtok") {
		return fmt.Errorf("the folders of pkcsslotd: %w\n%s", err, out)
	}
	if out, err := exec.Command("pkcsslotd").CombinedOutput(); err != nil {
		return fmt.Errorf("pkcsslotd, which the soft token needs, does not start: %w\n%s", err, out)
	}
	atExit = append(atExit, stopSlotDaemon)
	for range 50 { // it answers when it has made its shared memory
		if exec.Command("pkcsconf", "-t").Run() == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("pkcsslotd was started and does not answer")
}

// stopSlotDaemon ends the daemon that was started here, and no other ran.
func stopSlotDaemon() {
	text, err := os.ReadFile("/var/run/pkcsslotd.pid")
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
}

// library finds a shared library of Debian's, if name is not a path already.
func library(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	found, _ := filepath.Glob("/usr/lib/*/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("%s is not installed: run test/setup bench", name)
	}
	return found[0], nil
}

// fillSoftHSM copies the file of one object. Creating 50,000 takes half an hour,
// and a search looks at every object, whether it is a copy or not.
func fillSoftHSM(m *module, drivers string, from, to int) {
	const distinct = 64
	if from == 1 {
		d := m.start(drivers)
		d.must("populate 1 %d 1", distinct)
		d.stop()
		from = distinct + 1
	}
	before := map[string]bool{}
	for _, f := range m.objectFiles() {
		before[f] = true
	}
	d := m.start(drivers)
	d.must("filler")
	d.stop()
	var filler string
	for _, f := range m.objectFiles() {
		if !before[f] {
			filler = f
		}
	}
	object, err := os.ReadFile(filler)
	check(err)
	for id := from + 1; id <= to; id++ { // the filler is one already
		name := fmt.Sprintf("00000000-0000-4000-8000-%012x", id)
		check(os.WriteFile(filepath.Join(filepath.Dir(filler), name+".object"), object, 0o600))
		check(os.WriteFile(filepath.Join(filepath.Dir(filler), name+".lock"), nil, 0o600))
	}
}

func (m *module) objectFiles() []string {
	files, err := filepath.Glob(filepath.Join(m.home, "tokens", "*", "*.object"))
	check(err)
	return files
}

// known is how many of n objects a search can look for.
func (m *module) known(n int) int {
	if m.fill != nil {
		return min(n, 64)
	}
	return n
}

func (m *module) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), m.env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func (m *module) quietly(input, name string, args ...string) error {
	cmd := m.command(name, args...)
	cmd.Stderr = nil
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

func (m *module) driverArgs() []string {
	if m.isRaw() {
		return nil
	}
	parameters := m.parameters
	if parameters == "" {
		parameters = "-"
	}
	return []string{m.path, pin, parameters}
}

func (m *module) driverPath(drivers string) string {
	if m.isRaw() {
		return filepath.Join(drivers, "openssl")
	}
	return filepath.Join(drivers, "pkcs11")
}

// driver is a process that has a module loaded and is asked line by line.
type driver struct {
	m   *module
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

func (m *module) start(drivers string) *driver {
	d := &driver{m: m, cmd: m.command(m.driverPath(drivers), m.driverArgs()...)}
	in, err := d.cmd.StdinPipe()
	check(err)
	out, err := d.cmd.StdoutPipe()
	check(err)
	d.in, d.out = in, bufio.NewScanner(out)
	check(d.cmd.Start())
	return d
}

func (d *driver) stop() {
	check(d.in.Close())
	check(d.cmd.Wait())
}

func (d *driver) send(format string, args ...any) {
	_, err := fmt.Fprintf(d.in, format+"\n", args...)
	check(err)
}

// receive returns the numbers of an answer, or none if the module cannot do it.
func (d *driver) receive() []float64 {
	if !d.out.Scan() {
		fatal("%s: the driver ended", d.m.name)
	}
	return numbers(d.m.name, d.out.Text())
}

func (d *driver) ask(format string, args ...any) []float64 {
	d.send(format, args...)
	return d.receive()
}

func (d *driver) must(format string, args ...any) []float64 {
	f := d.ask(format, args...)
	if f == nil {
		fatal("%s cannot do %q", d.m.name, fmt.Sprintf(format, args...))
	}
	return f
}

func numbers(name, text string) (f []float64) {
	words := strings.Fields(text)
	if len(words) > 0 && words[0] == "no" {
		return nil
	}
	if len(words) == 0 || words[0] != "ok" {
		fatal("%s: driver answered %q", name, text)
	}
	for _, w := range words[1:] {
		var v float64
		_, err := fmt.Sscan(w, &v)
		check(err)
		f = append(f, v)
	}
	return f
}

// once starts a fresh program and returns the driver's six figures.
func (m *module) once(drivers string, find int) []float64 {
	out, err := m.command(m.driverPath(drivers), append(m.driverArgs(), "once", fmt.Sprint(find))...).Output()
	if err != nil {
		fatal("%s: %v", m.name, err)
	}
	return numbers(m.name, strings.TrimSpace(string(out)))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
