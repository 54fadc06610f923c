package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// objectFigure is what one module needs among n token objects, in nanoseconds
// (of the clock) or, for memory, KiB.
type objectFigure struct {
	name, module string
	n            int
	values       []float64
}

var searches = []string{"find-by-id", "find-by-label", "find-by-several", "find-nothing", "find-all-of-class"}

// populations are how many objects the stores are filled with, up to what is asked.
var populations = []int{0, 1000, 10000, 50000, 100000, 1000000}

// starts are the driver's figures of one start, in its order.
var starts = []string{"dlopen", "C_Initialize", "C_OpenSession and C_Login", "first search", "resident memory added", "C_Initialize and C_Login after fork"}

const (
	processorsTime = ", processor's time"
	smallGCM       = "AES-GCM of 64 bytes, "
	beyond         = "p99.9 beyond p50"
)

// cheapPINs makes hashing PINs cost next to nothing: what depends on the number
// of objects shows beside it.
const cheapPINs = "[password]\npasses = 1\nmemory_kib = 64\nthreads = 1\n"

// objects fills a store of each module step by step and measures at each: search
// by the driver, and the start of fresh programs.
func objects(b *bench) {
	dir := filepath.Join(b.dir, "objects")
	check(os.Mkdir(dir, 0o700))
	check(os.WriteFile(filepath.Join(dir, "perilune.toml"), []byte(cheapPINs), 0o600))
	var mods []*module
	for _, m := range b.modules {
		if !m.isRaw() {
			mods = append(mods, m.another(dir))
		}
	}
	from := 1
	for _, n := range populations {
		if n > b.objects {
			break
		}
		for _, m := range mods {
			if n > 0 && n <= m.most {
				m.populate(b.drivers, from, n)
			}
		}
		fmt.Fprintln(os.Stderr, "stores filled with", n, "objects")
		b.start(mods, n)
		if n > 0 {
			b.search(mods, n)
		}
		from = n + 1
	}
	b.objectTable(mods)
	b.sessionObjects(mods)
}

// populate adds the objects with the numbers from to n.
func (m *module) populate(drivers string, from, n int) {
	if m.fill != nil {
		m.fill(m, drivers, from, n)
		return
	}
	d := m.start(drivers)
	threads := 1
	if m.name == "Perilune" {
		threads = 64
	}
	d.must("populate %d %d %d", from, n, threads)
	d.stop()
}

// slow says that a module needs a second or more to do anything with n objects.
func (m *module) slow(n int) bool { return m.fill != nil && n > 10000 }

func (b *bench) start(mods []*module, n int) {
	for round := range b.rounds {
		for _, m := range mods {
			if n > m.most || m.slow(n) && round >= 3 {
				continue
			}
			for i, v := range m.once(b.drivers, m.known(n)) {
				if n == 0 && starts[i] == "first search" { // there is nothing to find
					continue
				}
				b.record(starts[i], m.name, n, v)
			}
		}
	}
}

func (b *bench) search(mods []*module, n int) {
	var drivers []*driver
	for _, m := range mods {
		if n <= m.most {
			d := m.start(b.drivers)
			d.must("known %d", m.known(n))
			drivers = append(drivers, d)
		}
	}
	for _, op := range searches {
		if !b.wants(op) {
			continue
		}
		for round := range b.rounds {
			for _, d := range drivers {
				if d.m.slow(n) && round >= 2 {
					continue
				}
				f := d.must("run %s 1 %d", op, b.slice.Milliseconds())
				b.record(op, d.m.name, n, f[1]/f[0])
				b.record(op+processorsTime, d.m.name, n, f[2]/f[0])
			}
		}
	}
	for _, d := range drivers {
		if d.m.name == "Perilune" || n == 1000 {
			b.latency(d, n)
		}
		d.stop()
	}
}

// latency measures single calls. Its p10 is that of the quietest rounds.
func (b *bench) latency(d *driver, n int) {
	for range b.rounds {
		f := d.ask("latency aes256-gcm-64 20000")
		if f == nil {
			return
		}
		for i, name := range []string{"p50", "p99", "p99.9"} {
			b.record(smallGCM+name, d.m.name, n, f[i])
		}
		b.record(smallGCM+beyond, d.m.name, n, f[2]-f[0])
	}
}

func (b *bench) record(name, module string, n int, v float64) {
	for i := range b.figures {
		f := &b.figures[i]
		if f.name == name && f.module == module && f.n == n {
			f.values = append(f.values, v)
			return
		}
	}
	b.figures = append(b.figures, objectFigure{name, module, n, []float64{v}})
}

// figure is nil if nothing was measured.
func (b *bench) figure(name, module string, n int) []float64 {
	for _, f := range b.figures {
		if f.name == name && f.module == module && f.n == n {
			return f.values
		}
	}
	return nil
}

func (b *bench) objectTable(mods []*module) {
	fmt.Fprint(b.out, "\nAmong N token objects (AES keys, private), by the clock: median / p10. PINs are hashed as cheaply as the configuration allows.\n")
	columns := []string{"N"}
	for _, m := range mods {
		columns = append(columns, m.name)
	}
	tableHead(b.out, "", append(columns, "SoftHSM2 : Perilune")...)
	type line struct {
		name string
		n    int
	}
	done := map[line]bool{}
	for _, f := range b.figures {
		if done[line{f.name, f.n}] {
			continue
		}
		done[line{f.name, f.n}] = true
		cells := []string{f.name, fmt.Sprint(f.n)}
		for _, m := range mods {
			cells = append(cells, b.showFigure(f.name, m.name, f.n))
		}
		ratio := "-"
		if ours, theirs := b.figure(f.name, "Perilune", f.n), b.figure(f.name, "SoftHSM2", f.n); ours != nil && theirs != nil {
			ratio = times(median(theirs) / median(ours))
		}
		tableRow(b.out, append(cells, ratio)...)
	}
}

func (b *bench) showFigure(name, module string, n int) string {
	values := b.figure(name, module, n)
	switch {
	case values == nil || median(values) == 0:
		return "-"
	case strings.HasPrefix(name, "resident"):
		return fmt.Sprintf("%.1f MiB", median(values)/1024)
	}
	return pair(values, duration)
}

// sessionObjects weighs objects that live in memory.
func (b *bench) sessionObjects(mods []*module) {
	const n = 10000
	columns := []string{}
	cells := []string{"resident bytes for a session object, of " + fmt.Sprint(n)}
	for _, m := range mods {
		d := m.start(b.drivers)
		columns = append(columns, m.name)
		cells = append(cells, fmt.Sprintf("%.0f", d.must("session-objects %d", n)[0]*1024/n))
		d.stop()
	}
	tableHead(b.out, "", columns...)
	tableRow(b.out, cells...)
}
