package crash

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// These tests kill the administration program inside what destroys keys and what
// changes PINs, at its writes, one after the other.

// chunk is a part of a file that looks random, as sealed bytes and keyed hashes
// do.
type chunk [16]byte

func looksRandom(b []byte) bool {
	var seen [256]bool
	distinct, high := 0, 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			distinct++
		}
		if c >= 0x80 {
			high++
		}
	}
	return distinct >= 12 && high >= 4
}

// chunksOf collects what looks random in the database of a home, one every step
// bytes.
func chunksOf(t *testing.T, home string, step int) map[chunk]bool {
	t.Helper()
	list := map[chunk]bool{}
	for _, name := range []string{"perilune.db", "perilune.db-wal"} {
		b, err := os.ReadFile(filepath.Join(home, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for i := 0; i+len(chunk{}) <= len(b); i += step {
			if c := chunk(b[i : i+len(chunk{})]); looksRandom(c[:]) {
				list[c] = true
			}
		}
	}
	return list
}

// foundIn counts the chunks that are anywhere in the files of a home.
func foundIn(t *testing.T, home string, chunks map[chunk]bool) int {
	t.Helper()
	found := map[chunk]bool{}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for i := 0; i+len(chunk{}) <= len(b); i++ {
			if c := chunk(b[i : i+len(chunk{})]); chunks[c] {
				found[c] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// TestKillInsideZeroize: everything is there, whole, or everything is gone, also
// from the files, after whoever comes next has finished the work.
func TestKillInsideZeroize(t *testing.T) {
	o := operator(t)
	before := chunksOf(t, o.golden, len(chunk{}))
	for c := range o.stays { // the secret of the audit log
		delete(before, c)
	}
	if len(before) < 1000 {
		t.Fatalf("only %d chunks of the database look random", len(before))
	}
	for _, line := range []string{"hsm zeroize --force", "hsm factory-reset --force"} {
		writes := o.writes(line)
		kept, gone := 0, 0
		for _, n := range moments(writes) {
			home := o.killed(line, n)
			var hsm struct{ Initialized, Zeroized bool }
			o.read(home, "hsm show --json", &hsm)
			if hsm.Initialized {
				kept++
				if f := o.look(home); f.objects["doomed"] != objectsEach {
					t.Errorf("%s, killed at write %d of %d: nothing happened, but %v are left", line, n, writes, f.objects)
				}
				continue
			}
			gone++
			var parts []struct{}
			if o.read(home, "partition list --json", &parts); len(parts) != 0 || !hsm.Zeroized {
				t.Errorf("%s, killed at write %d of %d: %+v with %d partitions", line, n, writes, hsm, len(parts))
			}
			// The checkpoint of the audit log is a record that stays until the
			// next event.
			o.do(home, "hsm init --label again --so-pin env:HSM_SO")
			if left := foundIn(t, home, before); left != 0 {
				t.Errorf("%s, killed at write %d of %d: %d of %d chunks of the old database are in the files", line, n, writes, left, len(before))
			}
		}
		if kept == 0 || gone == 0 {
			t.Errorf("%s: %d times all was kept, %d times all was gone: nothing was tested", line, kept, gone)
		}
	}
}

// TestKillInsidePINChange: the old PIN is right or the new one, and the keys are
// there.
func TestKillInsidePINChange(t *testing.T) {
	o := operator(t)
	o.env = append(o.env, "NEW=user pin 1")
	const line = "role changepw --partition doomed --role co --pin env:CO --new-pin env:NEW"
	writes := o.writes(line)
	changed := map[bool]int{}
	for _, n := range moments(writes) {
		home := o.killed(line, n)
		var role struct {
			Locked       bool
			AttemptsLeft int `json:"attempts_left"`
		}
		o.read(home, "role show --partition doomed --role co --json", &role)
		if role.Locked || role.AttemptsLeft < 9 {
			t.Errorf("killed at write %d of %d: the role is %+v", n, writes, role)
		}
		right := map[string]bool{}
		for _, pin := range []string{"CO", "NEW"} {
			out, err := o.command(home, "partition check --partition doomed --json --pin env:"+pin).CombinedOutput()
			right[pin] = err == nil
			if err != nil && len(out) == 0 {
				t.Errorf("killed at write %d of %d: %v", n, writes, err)
			}
		}
		if right["CO"] == right["NEW"] {
			t.Errorf("killed at write %d of %d: these PINs are right: %v", n, writes, right)
		}
		changed[right["NEW"]]++
	}
	if changed[true] == 0 || changed[false] == 0 {
		t.Errorf("the PIN was changed %d times and not %d times: nothing was tested", changed[true], changed[false])
	}
}

// TestKillInsideLastTry: the last wrong PIN of a Partition SO leaves the
// partition whole, with one try at most, or empties it.
func TestKillInsideLastTry(t *testing.T) {
	o := operator(t)
	o.env = append(o.env, "WRONG=nobody's pin")
	const line = "role changepw --partition doomed --role po --so-pin env:WRONG --new-pin env:SO"
	for range 9 {
		_ = o.command(o.golden, line).Run()
	}
	count := filepath.Join(t.TempDir(), "count")
	_ = o.command(o.copy(), line, "LD_PRELOAD="+o.killer, "KILLER_COUNT="+count).Run()
	writes := o.counted(count)
	whole, emptied := 0, 0
	for _, n := range moments(writes) {
		home := o.copy()
		_ = o.command(home, line, "LD_PRELOAD="+o.killer, fmt.Sprint("KILLER_AT=", n)).Run()
		f := o.objectsNow(home)
		var roles []struct {
			Initialized  bool
			AttemptsLeft int `json:"attempts_left"`
		}
		o.read(home, "role list --partition doomed --json", &roles)
		role := roles[0] // the Partition SO
		switch {
		case f["doomed"] == objectsEach && role.Initialized && role.AttemptsLeft == 1:
			whole++
		case f["doomed"] == 0 && !role.Initialized:
			emptied++
		default:
			t.Errorf("killed at write %d of %d: %d objects, role %+v", n, writes, f["doomed"], role)
		}
		if f["kept"] != objectsEach {
			t.Errorf("killed at write %d of %d: the other partition has %d objects", n, writes, f["kept"])
		}
	}
	if whole == 0 || emptied == 0 {
		t.Errorf("%d times the partition was whole, %d times empty: nothing was tested", whole, emptied)
	}
}

// objectsNow counts the objects of each partition.
func (o *tool) objectsNow(home string) map[string]uint64 {
	o.t.Helper()
	var parts []struct {
		Name    string
		Objects uint64
	}
	o.read(home, "partition list --json", &parts)
	list := map[string]uint64{}
	for _, p := range parts {
		list[p.Name] = p.Objects
	}
	return list
}
