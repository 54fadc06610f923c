package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/test/built"
)

// TestMain works where make bench does, at the root of the project.
func TestMain(m *testing.M) {
	var err error
	testModule, err = built.FindLibrary()
	check(err)
	testProgram, err = built.FindProgram()
	check(err)
	check(os.Chdir("../.."))
	code := m.Run()
	cleanUp()
	os.Exit(code)
}

var testModule, testProgram string

// newBench is a run that is as short as it can be.
func newBench(t *testing.T, modules string) (*bench, *bytes.Buffer) {
	t.Helper()
	dir, out := t.TempDir(), &bytes.Buffer{}
	o := &options{rounds: 1, slice: time.Millisecond, modules: modules, threads: []int{1, 2}, objects: 100, perilune: testModule, program: testProgram}
	if err := os.WriteFile(filepath.Join(dir, "perilune.toml"), []byte(cheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o, dir: dir, drivers: filepath.Join(dir, "drivers"), out: out}
	b.compile()
	b.modules = choose(o, dir)
	return b, out
}

// Every operation of the benchmark works: through the module, and through OpenSSL
// what that has.
func TestOperations(t *testing.T) {
	b, out := newBench(t, "openssl")
	b.only = "" // all
	operationRows := quickRows()
	drivers := []*driver{b.modules[0].start(b.drivers), b.modules[1].start(b.drivers)}
	for _, op := range operationRows {
		b.rows = append(b.rows, b.measure(drivers, op, 2))
	}
	for _, d := range drivers {
		d.stop()
	}
	for _, r := range b.rows {
		if r.cells["Perilune"].none() {
			t.Errorf("the module cannot do %s", r.op)
		}
	}
	b.wallTable()
	b.processorTable()
	b.goals()
	for _, want := range []string{"| p256-sign | 2 |", "OpenSSL : Perilune", "| goal |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables lack %q", want)
		}
	}
}

// quickRows are the operations but for keys that take seconds to make, and what
// others must not be at work beside.
func quickRows() (rows []operation) {
	for _, op := range operationRows {
		if strings.Contains(op.name, "4096") && strings.Contains(op.name, "rsa") || op.name == "rsa3072-keygen" || op.name == "logout-login" {
			continue
		}
		op.times = 1
		rows = append(rows, op)
	}
	return rows
}

// The parts about objects, processes, threads and the audit log write their rows.
func TestSections(t *testing.T) {
	threadCounts, processCounts, populations = []int{1, 4}, []int{1, 2}, []int{0, 100}
	b, out := newBench(t, "none")
	threadScaling(b)
	processScaling(b)
	auditCost(b)
	objects(b)
	for _, want := range []string{"| p256-ecdh, shared | Perilune |", "| create-token-object | Perilune |", "| p256-sign | 2 |", "| find-by-several | 100 |", "| C_Initialize | 0 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables lack %q in\n%s", want, out)
		}
	}
}

func TestQuantiles(t *testing.T) {
	v := []float64{9, 1, 8, 2, 7, 3, 6, 4, 5, 10, 0}
	if median(v) != 5 || p10(v) != 1 || quantile([]float64{1, 2}, 0.5) != 1.5 || quantile([]float64{3}, 0.1) != 3 {
		t.Errorf("median %v, p10 %v", median(v), p10(v))
	}
}
