// Package profiles calls the built library, on HSMs of each profile of
// behaviour, as C programs and other people's programs do.
package profiles

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

var update = flag.Bool("update", false, "write what the library answers now into testdata")

// patience ends a program that hangs; none comes near it otherwise.
const patience = 2 * time.Minute

// The profiles.
const (
	standard = "standard"
	luna     = "luna-7.2"
)

// PINs long enough for every profile.
const (
	hsmPIN  = "pin-of-the-hsm-so"
	soPIN   = "pin-of-the-so"
	pin     = "pin-of-the-officer"
	userPIN = "pin-of-the-user"
)

// host is an HSM of a profile with one partition, in slot 0, and the library
// that has it open.
type host struct {
	t       *testing.T
	program string
	library string
	dir     string
	*c11.Module
	*c11.Arena
	s uint64 // a R/W session on slot 0
}

// bare is a host whose HSM nobody initialised. The library is not open.
func bare(t *testing.T, settings ...string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), Arena: new(c11.Arena),
		program: built.Program(t), library: built.Library(t)}
	t.Cleanup(h.Arena.Free)
	conf := filepath.Join(h.dir, "perilune.toml")
	text := built.CheapPINs + strings.Join(settings, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PERILUNE_CONF": conf, "PERILUNE_HOME": filepath.Join(h.dir, "home"),
		"HSM_SO": hsmPIN, "SO": soPIN, "FIRST": "pin-given-at-first", "CO": pin, "CU": userPIN,
	} {
		t.Setenv(name, value)
	}
	return h
}

// newHost is a host with an HSM of a profile and a partition, whose Crypto
// Officer has chosen its own PIN. The library is open, and nobody logged in.
func newHost(t *testing.T, profile string, settings ...string) *host {
	t.Helper()
	return newHostWith(t, profile, func(*host) {}, settings...)
}

// inFIPSMode is newHost with FIPS mode.
func inFIPSMode(t *testing.T, profile string, settings ...string) *host {
	t.Helper()
	return newHostWith(t, profile, func(h *host) {
		h.perilune("hsm policy set --id 12 --value off --force --hsm-so-pin env:HSM_SO")
	}, settings...)
}

// newHostWith is newHost with policies that are set before there is a partition.
func newHostWith(t *testing.T, profile string, policies func(*host), settings ...string) *host {
	t.Helper()
	h := bare(t, settings...)
	h.perilune("hsm init --label hsm --force --so-pin env:HSM_SO --profile " + profile)
	policies(h)
	h.perilune("partition create --name test --hsm-so-pin env:HSM_SO")
	h.perilune("partition init --slot 0 --label test --so-pin env:SO")
	h.perilune("role init --slot 0 --role co --so-pin env:SO --new-pin env:FIRST")
	h.perilune("role changepw --slot 0 --role co --pin env:FIRST --new-pin env:CO")
	h.open()
	return h
}

// open opens the library and a session on slot 0.
func (h *host) open() {
	h.t.Helper()
	m, err := c11.Open(h.library)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Module = m
	if rv := m.Initialize(); rv != ck.CKR_OK {
		h.t.Fatalf("C_Initialize: %v", rv)
	}
	h.t.Cleanup(h.close)
	h.s = h.session(0, ck.CKF_RW_SESSION)
}

// close ends the library's work; another host may open it then.
func (h *host) close() { h.Finalize() }

// officer is newHost with the Crypto Officer logged in.
func officer(t *testing.T, profile string, settings ...string) *host {
	t.Helper()
	return newHost(t, profile, settings...).asOfficer()
}

// asOfficer logs the Crypto Officer in.
func (h *host) asOfficer() *host {
	h.t.Helper()
	h.answers(ck.CKR_OK, "C_Login", h.login(h.s, ck.CKU_USER, pin))
	return h
}

// run runs a program.
func (h *host) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = h.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// perilune runs the program, which must succeed.
func (h *host) perilune(line string) string {
	h.t.Helper()
	out, err := h.run(h.program, strings.Fields(line)...)
	if err != nil {
		h.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return out
}

// must calls a function that has to succeed.
func (h *host) must(name string, args ...any) {
	h.t.Helper()
	if rv := h.Call(name, args...); rv != ck.CKR_OK {
		h.t.Fatalf("%s: %v", name, rv)
	}
}

func (h *host) session(slot uint64, flags ck.Flags) uint64 {
	h.t.Helper()
	s := h.ULong(0)
	h.must("C_OpenSession", slot, uint64(flags|ck.CKF_SERIAL_SESSION), nil, nil, s)
	return c11.Number(s)
}

func (h *host) login(s uint64, user ck.UserType, pin string) ck.RV {
	return h.Call("C_Login", s, uint64(user), h.Exact([]byte(pin)), len(pin))
}

// generate makes a secret key.
func (h *host) generate(list ...ck.Attribute) uint64 {
	h.t.Helper()
	key, rv := h.Generate(h.Arena, h.s, c11.Mech{Type: ck.CKM_AES_KEY_GEN}, append(list, ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))...)
	if rv != ck.CKR_OK {
		h.t.Fatalf("C_GenerateKey: %v", rv)
	}
	return key
}

func yes(list ...ck.AttributeType) (out []ck.Attribute) {
	for _, t := range list {
		out = append(out, ck.NewBool(t, true))
	}
	return out
}

// truth reads a CK_BBOOL.
func (h *host) truth(o uint64, t ck.AttributeType) string {
	v, rv := h.Get(h.s, o, t)
	if rv != ck.CKR_OK {
		return rv.String()
	}
	return fmt.Sprint(v[0] != 0)
}
