package crash

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

// These tests kill the administration program inside `partition delete` and
// `partition clear`, at its calls that write to the database or its log, one
// after the other, and look at what the next program finds.

const objectsEach = 260 // more than one batch

// tool runs the administration program on homes that are copies of one.
type tool struct {
	t       *testing.T
	program string
	killer  string
	env     []string
	golden  string         // the home that is copied
	stays   map[chunk]bool // what looks random in a home that was reset
}

// operator has what these tests begin with: an HSM SO, and two partitions full
// of objects. lines are commands for the HSM before it has partitions.
func operator(t *testing.T, lines ...string) *tool {
	t.Helper()
	h := newHost(t)
	o := &tool{t: t, program: built.Program(t), golden: h.home, killer: filepath.Join(t.TempDir(), "killer.so")}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O2", "-o", o.killer, "testdata/killer.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	o.env = slices.Concat(h.env, []string{"HSM_SO=" + soPIN, "SO=" + soPIN, "CO=user pin 0"})
	o.do(h.home, "hsm init --label crash --so-pin env:HSM_SO")
	o.do(h.home, "hsm factory-reset --force")
	o.stays = chunksOf(t, h.home, 1)
	o.do(h.home, "hsm init --label crash --so-pin env:HSM_SO")
	for _, line := range lines {
		o.do(h.home, line)
	}
	for slot, name := range []string{"kept", "doomed"} {
		o.do(h.home, "partition create --name "+name+" --hsm-so-pin env:HSM_SO")
		o.do(h.home, "partition init --partition "+name+" --label "+name+" --so-pin env:SO")
		o.do(h.home, "role init --partition "+name+" --role co --so-pin env:SO --new-pin env:CO")
		h.run("many", fmt.Sprint("CRASH_SLOT=", slot))
	}
	return o
}

// many creates objects, public and private.
func many(p *pkcs11.Ctx) error {
	var slot uint
	if _, err := fmt.Sscan(os.Getenv("CRASH_SLOT"), &slot); err != nil {
		return err
	}
	s, err := p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	if err := p.Login(s, pkcs11.CKU_USER, "user pin 0"); err != nil {
		return err
	}
	for i := range objectsEach {
		_, err := p.CreateObject(s, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, uint(pkcs11.CKO_DATA)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, i < objectsEach-30), pkcs11.NewAttribute(pkcs11.CKA_VALUE, value(uint32(i))),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *tool) command(home, line string, env ...string) *exec.Cmd {
	cmd := exec.Command(o.program, strings.Fields(line)...)
	cmd.Env = slices.Concat(o.env, env, []string{"PERILUNE_HOME=" + home})
	return cmd
}

// do runs a command that must succeed, and returns what it printed.
func (o *tool) do(home, line string) string {
	o.t.Helper()
	var stderr strings.Builder
	cmd := o.command(home, line)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		o.t.Fatalf("perilune %s: %v\n%s%s", line, err, out, &stderr)
	}
	return string(out)
}

func (o *tool) read(home, line string, into any) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(o.do(home, line)), into); err != nil {
		o.t.Fatalf("perilune %s: %v", line, err)
	}
}

func (o *tool) copy() (home string) {
	o.t.Helper()
	home = filepath.Join(o.t.TempDir(), "home")
	err := filepath.WalkDir(o.golden, func(path string, d fs.DirEntry, err error) error {
		to := filepath.Join(home, strings.TrimPrefix(path, o.golden))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.Mkdir(to, 0o700))
		}
		data, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(to, data, 0o600))
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return home
}

// writes runs a command to its end and counts its writes.
func (o *tool) writes(line string) int {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "count")
	if out, err := o.command(o.copy(), line, "LD_PRELOAD="+o.killer, "KILLER_COUNT="+file).CombinedOutput(); err != nil {
		o.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return o.counted(file)
}

// counted reads the count that a run has left.
func (o *tool) counted(file string) int {
	o.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || len(b) != 8 {
		o.t.Fatalf("no count of the writes: %x, %v", b, err)
	}
	return int(binary.LittleEndian.Uint64(b))
}

// killed runs a command on a copy and kills it at write number n. A run may need
// a write less than the one that was counted, and is then through.
func (o *tool) killed(line string, n int) (home string) {
	o.t.Helper()
	home = o.copy()
	out, err := o.command(home, line, "LD_PRELOAD="+o.killer, fmt.Sprint("KILLER_AT=", n)).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || err != nil && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		o.t.Fatalf("perilune %s, to be killed at write %d: %v\n%s", line, n, err, out)
	}
	return home
}

// moments are some of the writes of a command, the first and the last among them.
func moments(writes int) (list []int) {
	most := 24
	if os.Getenv("PERILUNE_SOAK") != "" {
		most = 2000
	}
	step := max(1, writes/most)
	for n := 1; n < writes; n += step {
		list = append(list, n)
	}
	return append(list, writes)
}

// found is what a program finds in a home.
type found struct {
	objects map[string]uint64 // by partition
	sealed  uint64            // records that the officer of the kept partition cannot open
}

// look examines a home with the program: the partition that nothing was done to must
// be whole, every record sound, and no older copy noticed.
func (o *tool) look(home string) (f found) {
	o.t.Helper()
	var parts []struct {
		Name    string
		Objects uint64
	}
	o.read(home, "partition list --json", &parts)
	f.objects = map[string]uint64{}
	for _, p := range parts {
		f.objects[p.Name] = p.Objects
	}
	if f.objects["kept"] != objectsEach {
		o.t.Errorf("of the other partition's objects %d are left", f.objects["kept"])
	}
	for name := range f.objects {
		var report struct{ Checked, Sealed uint64 }
		o.read(home, "partition check --partition "+name+" --pin env:CO --json", &report)
		if name == "kept" {
			f.sealed = report.Sealed
		}
	}
	var state struct{ Restored any }
	o.read(home, "hsm show --json", &state)
	if state.Restored != nil {
		o.t.Errorf("a false alarm: %v", state.Restored)
	}
	return f
}

// TestKillInsideDelete: the partition is there, whole, or it is gone with every
// object, after whoever comes next has finished the work.
func TestKillInsideDelete(t *testing.T) {
	o := operator(t)
	const line = "partition delete --partition doomed --force --hsm-so-pin env:HSM_SO"
	writes := o.writes(line)
	kept, gone := 0, 0
	for _, n := range moments(writes) {
		home := o.killed(line, n)
		f := o.look(home)
		objects, there := f.objects["doomed"]
		switch {
		case there && objects == objectsEach:
			kept++
		case !there && f.sealed == 0:
			gone++
		default:
			t.Errorf("killed at write %d of %d: the partition is there: %v, with %d objects; %d are nobody's", n, writes, there, objects, f.sealed)
		}
	}
	if kept == 0 || gone == 0 {
		t.Errorf("%d times it was kept, %d times gone: nothing was tested", kept, gone)
	}
}

// TestKillInsideClear: what is left is sound, and the next clear takes it.
func TestKillInsideClear(t *testing.T) {
	o := operator(t)
	const line = "partition clear --partition doomed --force --pin env:CO"
	writes := o.writes(line)
	seen := map[uint64]bool{}
	for _, n := range moments(writes) {
		home := o.killed(line, n)
		left := o.look(home).objects["doomed"]
		seen[left] = true
		want := fmt.Sprintf("%d objects were deleted.\n", left)
		if said := o.do(home, line); said != want {
			t.Errorf("killed at write %d of %d: the next one says %q, want %q", n, writes, said, want)
		}
		if f := o.look(home); f.objects["doomed"] != 0 {
			t.Errorf("killed at write %d of %d: %d objects are left for ever", n, writes, f.objects["doomed"])
		}
	}
	if !seen[objectsEach] || !seen[0] || len(seen) < 3 {
		t.Errorf("left over were %v: no kill came between", seen)
	}
}
