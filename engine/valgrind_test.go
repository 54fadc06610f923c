//go:build valgrind && linux && amd64

package engine

// Constant time under valgrind: see docs/SECURITY.md. test/ct runs these tests;
// by themselves, without valgrind, they fail.

import (
	"strings"
	"testing"

	"github.com/perilune/perilune/engine/internal/ct"
)

// leaks reports whether memcheck finds something in f.
func leaks(t *testing.T, f func()) bool {
	t.Helper()
	if !ct.Valgrind() {
		t.Fatal("this test needs valgrind: run test/ct")
	}
	before := ct.Errors()
	f()
	return ct.Errors() > before
}

// constantTime checks that memcheck finds nothing in f.
func constantTime(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if leaks(t, func() { f(t) }) {
			t.Error("depends on secrets in a way that timing can show: see valgrind's report")
		}
	})
}

// hide marks the secrets of the keys.
func (s *sampleKeys) hide() {
	for _, k := range []*Key{s.secret, s.private, s.peerPrivate} {
		for _, t := range s.set {
			if k != nil {
				ct.Secret(k.Bytes(t))
			}
		}
	}
}

// TestMechanisms runs every use of every row with secret keys, and with secret
// plaintexts and keys to wrap. What a row says of itself in Leaks must be so, and
// what it does not say must not be.
func TestMechanisms(t *testing.T) {
	for _, m := range Mechanisms() {
		if m.alias {
			continue
		}
		t.Run(m.Type.String(), func(t *testing.T) {
			for _, u := range uses {
				if !u.has(m) || slowUse(m, u) {
					continue
				}
				t.Run(u.name, func(t *testing.T) { hiddenTrial(t, m, u) })
			}
		})
	}
}

func hiddenTrial(t *testing.T, m *Mechanism, u use) {
	n := 0
	_ = findTrial(t, m, u, func(x *trial, in, made []byte) bool {
		n++
		x.keys.hide()
		if u.name == "encrypt" || strings.HasPrefix(u.name, "wrap") {
			ct.Secret(in)
		}
		var err error
		leaks := leaks(t, func() { _, err = u.run(x, in, made) })
		if err != nil {
			t.Errorf("%s: %v", x.keys.name, err)
		}
		if leaks && m.Leaks == "" {
			t.Errorf("%s: leaks", x.keys.name)
		}
		return false
	})
}

var lookedUp = [256]byte{1, 2, 3}

// TestLeaks is of what memcheck must find. It is not run with the others.
func TestLeaks(t *testing.T) {
	secret := func() []byte {
		b := []byte("a secret of some length")
		ct.Secret(b)
		return b
	}
	var sink byte
	for name, f := range map[string]func(){
		"look-up": func() { sink += lookedUp[secret()[3]] },
		"branch": func() {
			if secret()[2] > 17 {
				println("larger")
			}
		},
		"early exit": func() {
			a, b := secret(), secret()
			for i := range a {
				if a[i] != b[i] {
					println("differs")
				}
			}
		},
		"length": func() { _ = make([]byte, secret()[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			if !leaks(t, f) {
				t.Error("not found")
			}
		})
	}
	if leaks(t, func() {
		b := secret()
		sink ^= b[0] & b[1]
		ct.Public(b)
		if b[2] > 17 && ct.Reveal(sink) == 0 {
			println("zero")
		}
	}) {
		t.Error("found something where there is nothing")
	}
	lookedUp[0] = ct.Reveal(sink)
}
