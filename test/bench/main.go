// Command bench measures the built module beside SoftHSM2, through the C API:
// one long-lived driver process per module, asked in turn for short slices of
// one operation, the order reversed every second round. It prints a table of
// medians and their ratios.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	soPIN = "12345678"
	pin   = "bench pin"
)

// operations are the driver's, with the unit of their figures.
var operations = []string{
	"rsa2048-sign", "rsa3072-sign", "rsa4096-sign", "rsa2048-verify",
	"p256-sign", "p256-verify", "p384-sign", "p384-verify",
	"aes256-gcm-16", "aes256-gcm-1024", "aes256-gcm-16384",
	"sha256-64", "sha256-16384", "hmac-sha256-64", "hmac-sha256-16384",
	"random-32", "random-4096", "session-open-close",
	"create-session-object", "create-token-object",
}

var populations = []int{100, 1000, 10000}

type module struct {
	name, path string
	env        []string
	in         io.WriteCloser
	out        *bufio.Scanner
	cmd        *exec.Cmd
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	rounds := flag.Int("rounds", 9, "slices of each operation, threads and module")
	slice := flag.Duration("slice", 100*time.Millisecond, "length of a slice")
	only := flag.String("only", "", "measure only operations with this in their name")
	objects := flag.Bool("objects", true, "measure search, start and memory among many objects")
	perilune := flag.String("module", "build/libperilune.so", "the module")
	program := flag.String("program", "build/perilune", "the administration program")
	logging := flag.Bool("audit", true, "measure what the audit log costs")
	softhsm := flag.String("softhsm", "/usr/lib/softhsm/libsofthsm2.so", "SoftHSM2's module")
	flag.Parse()

	dir, err := os.MkdirTemp("", "perilune-bench")
	check(err)
	defer os.RemoveAll(dir)
	driver := filepath.Join(dir, "driver")
	run(exec.Command("gcc", "-std=gnu11", "-O2", "-o", driver, "test/bench/driver/driver.c", "-ldl", "-lpthread"))
	mods := []*module{newPerilune(dir, *perilune), newSoftHSM(dir, *softhsm)}
	for _, m := range mods {
		m.initToken()
		m.start(driver)
	}

	fmt.Printf("%s, %d CPUs, Go %s, %s. Medians of %d slices of %v, modules in turn; calls per second (wall).\n\n",
		processor(), runtime.NumCPU(), runtime.Version(), softhsmVersion(), *rounds, *slice)
	fmt.Println("| operation | threads | Perilune | SoftHSM2 | ratio | ratio by CPU time |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	for _, op := range operations {
		if strings.Contains(op, *only) {
			for _, threads := range []int{1, 2} {
				compare(mods, op, threads, *rounds, *slice)
			}
		}
	}
	if *logging {
		fmt.Println()
		auditCost(dir, *perilune, *program, driver, *rounds, *slice)
	}
	if *objects {
		fmt.Println()
		searchAndStart(mods, driver, *rounds, *slice)
	}
}

// auditCost measures signing on two HSMs in turn, of which one records every use
// of a private key.
func auditCost(dir, perilune, program, driver string, rounds int, slice time.Duration) {
	var mods []*module
	for _, name := range []string{"audited", "unaudited"} {
		m := newPerilune(filepath.Join(dir, name), perilune)
		m.name = name
		m.initToken()
		mods = append(mods, m)
	}
	program, err := filepath.Abs(program)
	check(err)
	mods[0].env = append(mods[0].env, "AUDITOR=auditor pin", "DOMAIN=bench")
	run(mods[0].command(program, "audit", "init", "--audit-pin", "env:AUDITOR", "--domain", "env:DOMAIN"))
	run(mods[0].command(program, "audit", "config", "--audit-pin", "env:AUDITOR", "--events", "asymmetric,success,failure"))
	fmt.Println("| with every use recorded | threads | on | off | on / off | by CPU time |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	for _, m := range mods {
		m.start(driver)
	}
	for _, op := range []string{"p256-sign", "rsa2048-sign"} {
		for _, threads := range []int{1, 2} {
			compare(mods, op, threads, rounds, slice)
		}
	}
	for _, m := range mods {
		check(m.in.Close())
		check(m.cmd.Wait())
	}
}

// compare measures one operation on all modules in turn and prints a line.
func compare(mods []*module, op string, threads, rounds int, slice time.Duration) {
	rate := make([][]float64, len(mods))
	cpu := make([][]float64, len(mods))
	for _, m := range mods { // keys are made, caches filled
		m.ask("run %s %d 1", op, threads)
	}
	for round := range rounds {
		for i := range mods {
			if round%2 == 1 {
				i = len(mods) - 1 - i
			}
			f := mods[i].ask("run %s %d %d", op, threads, slice.Milliseconds())
			rate[i] = append(rate[i], f[0]/f[1]*1e9)
			cpu[i] = append(cpu[i], f[0]/f[2]*1e9)
		}
	}
	fmt.Printf("| %s | %d | %s | %s | %.2f | %.2f |\n", op, threads, figure(median(rate[0])), figure(median(rate[1])),
		median(rate[0])/median(rate[1]), median(cpu[0])/median(cpu[1]))
}

// searchAndStart fills both stores step by step and measures at each.
func searchAndStart(mods []*module, driver string, rounds int, slice time.Duration) {
	fmt.Println("| among N token objects | N | Perilune | SoftHSM2 | ratio (SoftHSM2 / Perilune) |")
	fmt.Println("|---|---:|---:|---:|---:|")
	names := []string{"dlopen", "C_Initialize", "C_OpenSession and C_Login", "first search", "resident memory added, KiB"}
	for _, n := range populations {
		for _, m := range mods {
			m.ask("populate %d", n)
		}
		var found [2][]float64
		var starts [2][5][]float64
		for range rounds {
			for i, m := range mods {
				f := m.ask("run find-by-id 1 %d", slice.Milliseconds())
				found[i] = append(found[i], f[1]/f[0])
				for j, v := range m.once(driver, n) {
					starts[i][j] = append(starts[i][j], v)
				}
			}
		}
		line("find by CKA_ID", n, median(found[0]), median(found[1]))
		for j, name := range names {
			a, b := median(starts[0][j]), median(starts[1][j])
			if j == len(names)-1 {
				fmt.Printf("| %s | %d | %.0f | %.0f | %.2f |\n", name, n, a, b, b/a)
				continue
			}
			line(name, n, a, b)
		}
	}
}

func line(name string, n int, a, b float64) {
	fmt.Printf("| %s | %d | %s | %s | %.2f |\n", name, n, duration(a), duration(b), b/a)
}

func newPerilune(dir, path string) *module {
	abs, err := filepath.Abs(path)
	check(err)
	return &module{name: "Perilune", path: abs, env: []string{"PERILUNE_HOME=" + filepath.Join(dir, "perilune")}}
}

func newSoftHSM(dir, path string) *module {
	if _, err := os.Stat(path); err != nil {
		log.Fatalf("SoftHSM2 is not there (%v): run test/setup, or apt-get install softhsm2", err)
	}
	tokens := filepath.Join(dir, "tokens")
	check(os.Mkdir(tokens, 0o700))
	conf := filepath.Join(dir, "softhsm2.conf")
	check(os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600))
	return &module{name: "SoftHSM2", path: path, env: []string{"SOFTHSM2_CONF=" + conf}}
}

func (m *module) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), m.env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// initToken makes the token with pkcs11-tool, as a user would.
func (m *module) initToken() {
	quiet := func(args ...string) {
		cmd := m.command("pkcs11-tool", append([]string{"--module", m.path}, args...)...)
		cmd.Stderr = nil
		if out, err := cmd.CombinedOutput(); err != nil {
			log.Fatalf("pkcs11-tool with %s: %v\n%s", m.name, err, out)
		}
	}
	quiet("--init-token", "--slot-index", "0", "--label", "bench", "--so-pin", soPIN)
	quiet("--token-label", "bench", "--login", "--login-type", "so", "--so-pin", soPIN, "--init-pin", "--new-pin", pin)
}

func (m *module) start(driver string) {
	m.cmd = m.command(driver, m.path, pin)
	in, err := m.cmd.StdinPipe()
	check(err)
	out, err := m.cmd.StdoutPipe()
	check(err)
	m.in, m.out = in, bufio.NewScanner(out)
	check(m.cmd.Start())
}

// ask sends one command and returns the numbers of the answer.
func (m *module) ask(format string, args ...any) []float64 {
	_, err := fmt.Fprintf(m.in, format+"\n", args...)
	check(err)
	if !m.out.Scan() {
		log.Fatalf("%s: the driver ended at %q", m.name, fmt.Sprintf(format, args...))
	}
	return numbers(m.name, m.out.Text())
}

func numbers(name, text string) (f []float64) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != "ok" {
		log.Fatalf("%s: driver answered %q", name, text)
	}
	for _, w := range words[1:] {
		var v float64
		_, err := fmt.Sscan(w, &v)
		check(err)
		f = append(f, v)
	}
	return f
}

// once starts a fresh program.
func (m *module) once(driver string, n int) []float64 {
	out, err := m.command(driver, m.path, pin, "once", fmt.Sprint(n)).Output()
	if err != nil {
		log.Fatalf("%s: %v", m.name, err)
	}
	return numbers(m.name, strings.TrimSpace(string(out)))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func figure(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1f k", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.1f us", ns/1e3)
	}
	return fmt.Sprintf("%.0f ns", ns)
}

func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(l, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func softhsmVersion() string {
	out, err := exec.Command("softhsm2-util", "--version").Output()
	if err != nil {
		return "SoftHSM2 of unknown version"
	}
	return "SoftHSM2 " + strings.TrimSpace(string(out))
}

func run(cmd *exec.Cmd) {
	cmd.Stderr = os.Stderr
	check(cmd.Run())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
