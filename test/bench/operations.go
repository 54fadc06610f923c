package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// operation is one row of the driver's, and how it is measured.
type operation struct {
	name    string
	times   int   // a slice is this many times as long
	threads []int // instead of the usual
}

var one, oneAndMany = []int{1}, []int{1, 64}

var operationRows = []operation{
	{"rsa2048-sign", 3, nil}, {"rsa3072-sign", 3, nil}, {"rsa4096-sign", 4, nil},
	{"rsa2048-verify", 1, nil}, {"rsa3072-verify", 1, one}, {"rsa4096-verify", 1, one},
	{"rsa2048-keygen", 20, one}, {"rsa3072-keygen", 20, one}, {"rsa4096-keygen", 20, one},
	{"rsa2048-sha256-sign", 1, one}, {"rsa2048-pss-sign", 1, one}, {"rsa2048-pss-verify", 1, one},
	{"rsa2048-oaep-encrypt", 1, one}, {"rsa2048-oaep-decrypt", 1, one}, {"rsa2048-pkcs1-decrypt", 1, one}, {"rsa2048-unwrap", 1, one},
	{"p256-sign", 1, nil}, {"p256-verify", 1, nil}, {"p256-ecdh", 1, nil}, {"p256-keygen", 1, one},
	{"p384-sign", 1, nil}, {"p384-verify", 1, one}, {"p384-ecdh", 1, one}, {"p384-keygen", 1, one},
	{"p521-sign", 1, nil}, {"p521-verify", 1, one}, {"p521-ecdh", 1, one}, {"p521-keygen", 1, one},
	{"brainpool256-sign", 1, nil}, {"brainpool256-verify", 1, one}, {"brainpool256-ecdh", 1, one}, {"brainpool256-keygen", 1, one},
	{"brainpool384-sign", 1, one}, {"brainpool384-verify", 1, one}, {"brainpool384-ecdh", 1, one},
	{"brainpool512-sign", 1, one}, {"brainpool512-verify", 1, one}, {"brainpool512-ecdh", 1, one},
	{"secp256k1-sign", 1, one}, {"secp256k1-verify", 1, one}, {"secp256k1-ecdh", 1, one},
	{"ed25519-sign", 1, nil}, {"ed25519-verify", 1, nil}, {"ed25519-keygen", 1, one},
	{"aes256-gcm-16", 1, nil}, {"aes256-gcm-1024", 1, nil}, {"aes256-gcm-16384", 1, nil}, {"aes256-gcm-decrypt-1024", 1, one},
	{"aes256-cbc-16", 1, one}, {"aes256-cbc-1024", 1, nil}, {"aes256-cbc-16384", 1, one},
	{"aes256-cbc-decrypt-1024", 1, one}, {"aes256-cbc-decrypt-16384", 1, one}, {"aes256-cbc-pad-1024", 1, one},
	{"aes256-ctr-1024", 1, one}, {"aes256-ctr-16384", 1, one}, {"aes256-ecb-1024", 1, one},
	{"aes256-cmac-1024", 1, one}, {"des3-cbc-1024", 1, one},
	{"aes256-key-wrap", 1, one}, {"aes256-key-unwrap", 1, one}, {"aes256-keygen", 1, one},
	{"md5-1024", 1, one}, {"sha1-64", 1, one}, {"sha1-16384", 1, one},
	{"sha256-64", 1, nil}, {"sha256-1024", 1, one}, {"sha256-16384", 1, nil},
	{"sha384-64", 1, one}, {"sha512-64", 1, one}, {"sha512-16384", 1, one},
	{"hmac-sha1-64", 1, one}, {"hmac-sha256-64", 1, nil}, {"hmac-sha256-16384", 1, one}, {"hmac-sha256-verify-64", 1, one},
	{"hmac-sha512-64", 1, one}, {"hmac-sha512-16384", 1, one},
	{"random-32", 1, nil}, {"random-4096", 1, one},
	{"session-open-close", 1, one}, {"get-attributes", 1, one}, {"logout-login", 2, one},
	{"create-session-object", 1, one}, {"create-token-object", 4, oneAndMany}, {"generate-token-key", 4, oneAndMany},
}

// operations measures each operation on all modules in turn.
func operations(b *bench) {
	var drivers []*driver
	for _, m := range b.modules {
		drivers = append(drivers, m.start(b.drivers))
	}
	for _, op := range operationRows {
		threads := op.threads
		if threads == nil {
			threads = b.threads
		}
		for _, n := range threads {
			if b.wants(op.name) {
				b.rows = append(b.rows, b.measure(drivers, op, n))
			}
		}
	}
	for _, d := range drivers {
		d.stop()
	}
	b.wallTable()
	b.processorTable()
}

// longRow is when a row has no more rounds than three: some modules need seconds
// for a single call of every thread.
const longRow = 15 * time.Second

func (b *bench) measure(drivers []*driver, op operation, threads int) *row {
	r := &row{op.name, threads, map[string]*cell{}}
	run := fmt.Sprintf("run %s %d", op.name, threads)
	var able []*driver
	for _, d := range drivers { // keys are made, caches filled
		if d.ask("%s 1", run) != nil {
			able = append(able, d)
			r.cells[d.m.name] = &cell{}
		}
	}
	ms := int(b.slice.Milliseconds()) * op.times
	begun := time.Now()
	for round := range b.rounds {
		if round >= 3 && time.Since(begun) > longRow {
			break
		}
		for i := range able {
			if round%2 == 1 {
				i = len(able) - 1 - i
			}
			r.cells[able[i].m.name].add(able[i].must("%s %d", run, ms))
		}
	}
	fmt.Fprintf(os.Stderr, "%-24s %3d  of SoftHSM2 %-6s of OpenSSL %s\n", op.name, threads, times(r.ratio("SoftHSM2", median)), times(r.ratio("OpenSSL", median)))
	return r
}

func (b *bench) names() (names []string) {
	for _, m := range b.modules {
		names = append(names, m.name)
	}
	return names
}

func (b *bench) has(name string) bool {
	for _, m := range b.modules {
		if m.name == name {
			return true
		}
	}
	return false
}

// wallTable has calls a second of all threads together.
func (b *bench) wallTable() {
	fmt.Fprint(b.out, "\nCalls a second by the clock, all threads together: median / in the best tenth of the slices.\n")
	tableHead(b.out, "operation", append([]string{"threads"}, b.names()...)...)
	for _, r := range b.rows {
		cells := []string{r.op, fmt.Sprint(r.threads)}
		for _, name := range b.names() {
			cells = append(cells, r.show(name, func(c *cell) string { return pair(c.wall, perSecond) }))
		}
		tableRow(b.out, cells...)
	}
}

// processorTable has what a call costs, and how much more the others need.
func (b *bench) processorTable() {
	fmt.Fprint(b.out, "\nThe processor's time for a call: median / p10; and how many times as much others need: by medians / by p10.\n")
	columns := append([]string{"threads"}, b.names()...)
	var others []string
	for _, name := range []string{"SoftHSM2", "OpenSSL"} {
		if b.has(name) {
			others = append(others, name)
			columns = append(columns, name+" : Perilune")
		}
	}
	tableHead(b.out, "operation", columns...)
	for _, r := range b.rows {
		cells := []string{r.op, fmt.Sprint(r.threads)}
		for _, name := range b.names() {
			cells = append(cells, r.show(name, func(c *cell) string { return pair(c.cpu, duration) }))
		}
		for _, name := range others {
			cells = append(cells, r.show(name, func(*cell) string { return times(r.ratio(name, median)) + " / " + times(r.ratio(name, p10)) }))
		}
		tableRow(b.out, cells...)
	}
}

func (r *row) show(name string, as func(*cell) string) string {
	if c := r.cells[name]; !c.none() {
		return as(c)
	}
	return "-"
}

// Scaling

var threadCounts = []int{1, 2, 4, 8, 16, 64, 256}

// threadScaling measures some operations over many threads: sessions of their
// own, and one session for all where a call is complete in itself.
func threadScaling(b *bench) {
	ops := []struct {
		name   string
		shared bool
	}{
		{"rsa2048-sign", false}, {"p256-sign", false}, {"aes256-gcm-1024", false}, {"random-32", false},
		{"rsa2048-unwrap", true}, {"p256-ecdh", true}, {"random-32", true}, {"create-token-object", true},
	}
	columns := make([]string, len(threadCounts))
	for i, n := range threadCounts {
		columns[i] = fmt.Sprint(n)
	}
	var drivers []*driver
	for _, m := range b.modules {
		if m.name == "Perilune" || m.name == "SoftHSM2" || m.name == "OpenSSL" {
			drivers = append(drivers, m.start(b.drivers))
		}
	}
	fmt.Fprint(b.out, "\nCalls a second by the clock and number of threads, medians; \"shared\": all threads use one session.\n")
	tableHead(b.out, "operation", append([]string{"module"}, columns...)...)
	for _, op := range ops {
		if !b.wants(op.name) {
			continue
		}
		title, word := op.name, ""
		if op.shared {
			title, word = title+", shared", " shared"
		}
		cells, tooSlow := map[string][]string{}, map[string]bool{}
		for _, n := range threadCounts {
			for name, c := range b.scale(drivers, op.name, n, word, tooSlow) {
				shown := "-"
				if !c.none() {
					shown = perSecond(median(c.wall))
				}
				cells[name] = append(cells[name], shown)
			}
		}
		for _, d := range drivers {
			if op.shared && d.m.isRaw() { // it has no sessions
				continue
			}
			tableRow(b.out, append([]string{title, d.m.name}, cells[d.m.name]...)...)
		}
		fmt.Fprintln(os.Stderr, title)
	}
	for _, d := range drivers {
		d.stop()
	}
}

// scale leaves out, and marks, who needs more than two seconds for a slice.
func (b *bench) scale(drivers []*driver, op string, threads int, word string, tooSlow map[string]bool) map[string]*cell {
	cells := map[string]*cell{}
	for range max(1, b.rounds/2) {
		for _, d := range drivers {
			if cells[d.m.name] == nil {
				cells[d.m.name] = &cell{}
			}
			if tooSlow[d.m.name] {
				continue
			}
			f := d.ask("run %s %d %d%s", op, threads, 2*b.slice.Milliseconds(), word)
			if f != nil {
				cells[d.m.name].add(f)
				tooSlow[d.m.name] = f[1] > 2e9
			}
		}
	}
	return cells
}

var processCounts = []int{1, 2, 8}

// processScaling has several processes work on one store at once.
func processScaling(b *bench) {
	fmt.Fprint(b.out, "\nCalls a second by the clock and number of processes on one store, a thread each, medians.\n")
	columns := make([]string, len(processCounts))
	for i, n := range processCounts {
		columns[i] = fmt.Sprint(n)
	}
	tableHead(b.out, "operation", append([]string{"module"}, columns...)...)
	for _, op := range []string{"rsa2048-sign", "p256-sign", "aes256-gcm-1024", "create-session-object", "create-token-object"} {
		if !b.wants(op) {
			continue
		}
		for _, m := range b.modules {
			if m.name != "Perilune" && m.name != "SoftHSM2" {
				continue
			}
			cells := []string{op, m.name}
			for _, n := range processCounts {
				cells = append(cells, perSecond(median(b.together(m, op, n).wall)))
			}
			tableRow(b.out, cells...)
		}
		fmt.Fprintln(os.Stderr, op, "in processes")
	}
}

// together measures n processes at the same time.
func (b *bench) together(m *module, op string, n int) *cell {
	var drivers []*driver
	for range n {
		d := m.start(b.drivers)
		d.must("run %s 1 1", op) // the first makes the keys that the others find
		drivers = append(drivers, d)
	}
	c := &cell{}
	for range max(1, b.rounds/2) {
		answers := make([][]float64, n)
		var wait sync.WaitGroup
		for i, d := range drivers {
			wait.Go(func() { answers[i] = d.must("run %s 1 %d", op, 3*b.slice.Milliseconds()) })
		}
		wait.Wait()
		var calls, longest, cpu float64
		for _, f := range answers {
			calls, longest, cpu = calls+f[0], max(longest, f[1]), cpu+f[2]
		}
		c.add([]float64{calls, longest, cpu})
	}
	for _, d := range drivers {
		d.stop()
	}
	return c
}

// auditCost measures signing on two HSMs in turn, of which one records every use
// of a private key.
func auditCost(b *bench) {
	var drivers []*driver
	for _, name := range []string{"on", "off"} {
		m := b.modules[0].another(filepath.Join(b.dir, "audit-"+name))
		m.name = name
		if name == "on" {
			m.env = append(m.env, "AUDITOR=auditor pin", "DOMAIN=bench")
			check(m.quietly("", b.program, "audit", "init", "--audit-pin", "env:AUDITOR", "--domain", "env:DOMAIN"))
			check(m.quietly("", b.program, "audit", "config", "--audit-pin", "env:AUDITOR", "--events", "asymmetric,success,failure"))
		}
		drivers = append(drivers, m.start(b.drivers))
	}
	fmt.Fprint(b.out, "\nWith every use of a private key recorded, and without: calls a second by the clock, medians; and the processor's time.\n")
	tableHead(b.out, "operation", "threads", "on", "off", "on : off", "by the processor's time")
	for _, op := range []operation{{"p256-sign", 2, nil}, {"rsa2048-sign", 2, nil}} {
		for _, n := range []int{1, 2} {
			if !b.wants(op.name) {
				continue
			}
			r := b.measure(drivers, op, n)
			on, off := r.cells["on"], r.cells["off"]
			tableRow(b.out, op.name, fmt.Sprint(n), perSecond(median(on.wall)), perSecond(median(off.wall)),
				times(median(off.wall)/median(on.wall)), times(median(off.cpu)/median(on.cpu)))
		}
	}
	for _, d := range drivers {
		d.stop()
	}
}
