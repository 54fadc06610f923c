// Command bench measures the built module through the C API, beside other
// software tokens and beside OpenSSL's own arithmetic: long-lived driver
// processes, asked in turn for short slices of one operation, the order reversed
// every second round. It writes tables of medians and tenth percentiles, by the
// clock and by the processor's time, and says which goals are met.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	rounds            int
	slice             time.Duration
	only, modules     string
	threads           []int
	sections          string
	objects           int
	perilune, program string
}

// sections in the order in which they run.
var sections = []struct {
	name string
	run  func(b *bench)
}{
	{"operations", operations},
	{"threads", threadScaling},
	{"processes", processScaling},
	{"audit", auditCost},
	{"objects", objects},
}

func main() {
	o := parse()
	dir, err := os.MkdirTemp("", "perilune-bench")
	check(err)
	atExit = append(atExit, func() { os.RemoveAll(dir) })
	defer cleanUp()
	b := &bench{options: o, dir: dir, drivers: filepath.Join(dir, "drivers"), out: os.Stdout}
	b.compile()
	b.modules = choose(o, dir)
	b.header()
	for _, s := range sections {
		if o.sections == "all" || strings.Contains(","+o.sections+",", ","+s.name+",") {
			start := time.Now()
			s.run(b)
			fmt.Fprintf(os.Stderr, "bench: %s took %v\n", s.name, time.Since(start).Round(time.Second))
		}
	}
	b.goals()
}

func parse() *options {
	o := &options{}
	var threads string
	flag.IntVar(&o.rounds, "rounds", 9, "slices of each operation, number of threads and module")
	flag.DurationVar(&o.slice, "slice", 40*time.Millisecond, "length of a slice; slow operations take several times as long")
	flag.StringVar(&o.only, "only", "", "measure only operations with one of these words, between commas, in their name")
	flag.StringVar(&o.modules, "modules", "all", "what to compare with: softhsm2, nss, opencryptoki, openssl, between commas; all leaves out what is not there")
	flag.StringVar(&threads, "threads", "1,16", "numbers of threads of the operations")
	flag.StringVar(&o.sections, "sections", "all", "what to run: operations, threads, processes, audit, objects, between commas")
	flag.IntVar(&o.objects, "objects", 100000, "up to how many token objects are searched; 1000000 takes some minutes more")
	flag.StringVar(&o.perilune, "module", "build/libperilune.so", "the module")
	flag.StringVar(&o.program, "program", "build/perilune", "the administration program")
	flag.Parse()
	for w := range strings.SplitSeq(threads, ",") {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n > 256 {
			fatal("-threads: %q is no number from 1 to 256", w)
		}
		o.threads = append(o.threads, n)
	}
	for _, path := range []*string{&o.perilune, &o.program} {
		abs, err := filepath.Abs(*path)
		check(err)
		*path = abs
	}
	return o
}

// bench is one run.
type bench struct {
	*options
	dir, drivers string
	modules      []*module
	out          io.Writer
	rows         []*row // of operations, for the goals
	figures      []objectFigure
}

func (b *bench) compile() {
	check(os.Mkdir(b.drivers, 0o700))
	compile := func(name string, libraries ...string) {
		cmd := exec.Command("gcc", append([]string{"-std=gnu11", "-O2", "-Wall", "-o", filepath.Join(b.drivers, name),
			"test/bench/driver/" + name + ".c", "test/bench/driver/harness.c"}, libraries...)...)
		cmd.Stderr = os.Stderr
		check(cmd.Run())
	}
	compile("pkcs11", "-ldl", "-lpthread")
	compile("openssl", "-lcrypto", "-lpthread")
}

func (b *bench) wants(op string) bool {
	for w := range strings.SplitSeq(b.only, ",") {
		if strings.Contains(op, w) {
			return true
		}
	}
	return false
}

func (b *bench) header() {
	fmt.Fprintf(b.out, "%s, %d processors, %s. %d rounds of slices of %v.\n", processor(), runtime.NumCPU(), runtime.Version(), b.rounds, b.slice)
	fmt.Fprintf(b.out, "Measured: %s", strings.TrimSpace(output(b.program, "--version")))
	packages := map[string]string{"SoftHSM2": "softhsm2", "NSS": "libnss3", "openCryptoki": "opencryptoki"}
	for _, m := range b.modules[1:] {
		if p := packages[m.name]; p != "" {
			fmt.Fprintf(b.out, ", %s %s", m.name, output("dpkg-query", "-W", "-f", "${Version}", p))
		} else {
			fmt.Fprintf(b.out, ", %s", strings.TrimSpace(output(filepath.Join(b.drivers, "openssl"), "version")))
		}
	}
	fmt.Fprintln(b.out, ".")
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "of unknown version"
	}
	return string(out)
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

var atExit []func()

func cleanUp() {
	for _, f := range slices.Backward(atExit) {
		f()
	}
}

func fatal(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	cleanUp()
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fatal("%v", err)
	}
}
