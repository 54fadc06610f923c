package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the threads of the soak do at the same time, one each.
const soakMix = "rsa2048-sign,p256-sign,p256-ecdh,p384-verify,ed25519-sign,brainpool256-sign,aes256-gcm-1024,aes256-gcm-16384," +
	"aes256-cbc-pad-1024,aes256-key-unwrap,rsa2048-unwrap,hmac-sha256-64,sha256-16384,random-32,session-open-close," +
	"create-session-object,create-token-object,generate-token-key,find-by-id,find-by-several,find-all-of-class,find-nothing,get-attributes,p256-keygen"

// held is what a process holds at one moment.
type held struct{ kib, descriptors, threads int }

func holds(t *testing.T, pid int) held {
	t.Helper()
	count := func(folder string) int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, folder))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return held{pages * os.Getpagesize() / 1024, count("fd"), count("task")}
}

// Two processes do mixed work on one store, with logins, forks and programs that
// come and go: what they hold does not grow.
func TestSoak(t *testing.T) {
	length := soakLength(t)
	b, _ := newBench(t, "none")
	m := b.modules[0]
	m.populate(b.drivers, 1, 500)
	drivers := []*driver{m.start(b.drivers), m.start(b.drivers)}
	for _, d := range drivers {
		d.must("known 500")
		d.must("run %s 24 1", soakMix) // keys are made
	}
	var history [][2]held
	calls := 0.0
	for begun := time.Now(); time.Since(begun) < length || len(history) < 9; {
		calls += soakRound(b, m, drivers)
		history = append(history, [2]held{holds(t, drivers[0].cmd.Process.Pid), holds(t, drivers[1].cmd.Process.Pid)})
	}
	t.Logf("%d rounds, %.0f calls", len(history), calls)
	for i := range drivers {
		flat(t, i, history)
	}
	for _, d := range drivers {
		d.must("run find-all-of-class 1 1") // the population is still all there
		d.stop()
	}
	journal, err := os.ReadDir(filepath.Join(m.home, "home"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range journal {
		if info, err := f.Info(); err == nil && info.Size() > 64<<20 {
			t.Errorf("%s has grown to %d bytes", f.Name(), info.Size())
		}
	}
}

// soakLength is half a minute, an hour with PERILUNE_SOAK=1, or what
// PERILUNE_SOAK says, such as 10m.
func soakLength(t *testing.T) time.Duration {
	switch text := os.Getenv("PERILUNE_SOAK"); text {
	case "":
		return 25 * time.Second
	case "1":
		return time.Hour
	default:
		length, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("PERILUNE_SOAK: %v", err)
		}
		return length
	}
}

// soakRound has both processes work at once, log in anew, fork, and a third come
// and go.
func soakRound(b *bench, m *module, drivers []*driver) (calls float64) {
	for _, d := range drivers {
		d.send("run %s 24 500", soakMix)
	}
	for _, d := range drivers {
		calls += d.receive()[0]
	}
	for _, d := range drivers {
		d.must("run logout-login 1 10")
		d.must("fork")
	}
	m.once(b.drivers, 500)
	return calls
}

// flat compares the last third of the time with the one before it; the first is
// for caches to fill.
func flat(t *testing.T, process int, history [][2]held) {
	t.Helper()
	third := len(history) / 3
	of := func(part [][2]held, value func(held) int) (all []float64) {
		for _, h := range part {
			all = append(all, float64(value(h[process])))
		}
		return all
	}
	for _, x := range []struct {
		name  string
		value func(held) int
		slack float64
	}{
		{"KiB of memory", func(h held) int { return h.kib }, 24 << 10}, // the collector's steps
		{"descriptors", func(h held) int { return h.descriptors }, 12}, // the database's connections, as many as once were needed at a time
		{"threads", func(h held) int { return h.threads }, 12},         // Go keeps what it once needed at a time
	} {
		before, after := median(of(history[third:2*third], x.value)), median(of(history[2*third:], x.value))
		t.Logf("process %d: %s %.0f, then %.0f", process, x.name, before, after)
		if after > before+x.slack {
			t.Errorf("process %d: %s grow: %.0f in the second third of the time, %.0f in the last", process, x.name, before, after)
		}
	}
}
