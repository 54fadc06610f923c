package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// stocked is how many objects are backed up and restored.
const stocked = 1500

// stock makes the objects, with several sessions at once.
func stock(p *pkcs11.Ctx) error {
	if _, _, err := loginAny(p); err != nil {
		return err
	}
	const workers = 16
	done := make(chan error, workers)
	for w := range workers {
		go func() {
			s, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
			for i := w; i < stocked && err == nil; i += workers {
				_, err = p.CreateObject(s, []*pkcs11.Attribute{
					pkcs11.NewAttribute(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY)), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_AES)),
					pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, i%2 == 0),
					pkcs11.NewAttribute(pkcs11.CKA_VALUE, value(uint32(i))), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false),
					pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true), pkcs11.NewAttribute(pkcs11.CKA_ID, objectID("a", uint32(i))),
					pkcs11.NewAttribute(pkcs11.CKA_LABEL, "stock"),
				})
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// archivist runs the program on one home.
type archivist struct {
	*host
}

func newArchivist(t *testing.T) *archivist {
	o := &archivist{newHost(t)}
	o.env = append(o.env, "SO="+soPIN, "CO=user pin 0", "DOMAIN=a domain that outlives its partitions", "CRASH_PINS=user pin 0")
	o.begin()
	return o
}

// begin initialises the partition, anew if there is one.
func (o *archivist) begin() {
	o.t.Helper()
	o.must("partition init --slot 0 --label app --so-pin env:SO --domain env:DOMAIN --force")
	o.must("role init --slot 0 --role co --so-pin env:SO --new-pin env:CO")
}

// kill runs a command and kills it after some lines of its progress; false if it
// was faster.
func (o *archivist) kill(line string, after int) bool {
	o.t.Helper()
	cmd := o.perilune(line)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for range after {
		if !lines.Scan() {
			break
		}
	}
	cmd.Process.Kill()
	return cmd.Wait() != nil
}

// contents is how many objects an archive has, all of which are intact.
func (o *archivist) contents(name string) int {
	o.t.Helper()
	var list []struct{ OUID string }
	if err := json.Unmarshal([]byte(o.must("partition archive contents --slot 0 --pin env:CO --json --name "+name)), &list); err != nil {
		o.t.Fatal(err)
	}
	return len(list)
}

// inventory checks every object that is there, and returns how many there are.
func (o *archivist) inventory() int {
	o.t.Helper()
	seen := map[string]bool{}
	for _, line := range o.run("verify") {
		id, is := strings.CutPrefix(line, "object ")
		if !is {
			continue
		}
		if seen[id] {
			o.t.Fatalf("object %s is there twice", id)
		}
		seen[id] = true
	}
	return len(seen)
}

// TestKillBackup kills backups at every stage. The archive's name has the archive
// of before or the new one, never less.
func TestKillBackup(t *testing.T) {
	o := newArchivist(t)
	o.run("stock")
	dir := filepath.Join(o.home, "archives")
	const backup = "partition archive backup --slot 0 --pin env:CO --progress --force --name app"
	killed := 0
	for round, after := range []int{0, 1, 1, 10, 50, 90, 99, 100, 101, 102} {
		if round == 2 {
			o.must(backup)
		}
		if o.kill(backup, after) {
			killed++
		}
		if _, err := os.Stat(filepath.Join(dir, "app.parc")); err == nil {
			if n := o.contents("app"); n != stocked {
				t.Errorf("killed after %d lines: the archive has %d objects", after, n)
			}
		} else if round >= 2 {
			t.Errorf("killed after %d lines: the archive is gone", after)
		}
	}
	if killed < 5 {
		t.Errorf("only %d backups were killed: the test tests nothing", killed)
	}
	o.must(backup)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "app.parc" {
		t.Errorf("after a whole backup there are %v, %v", entries, err)
	}
	if n := o.contents("app"); n != stocked {
		t.Errorf("the archive has %d objects", n)
	}
}

// TestKillRestore kills restores at every stage. Every object that is there is
// whole, none is there twice, and the next restore brings the rest.
func TestKillRestore(t *testing.T) {
	o := newArchivist(t)
	o.run("stock")
	archive := filepath.Join(filepath.Dir(o.home), "app.parc")
	o.must("partition archive backup --slot 0 --pin env:CO --file " + archive)
	restore := "partition archive restore --slot 0 --pin env:CO --progress --file " + archive
	rng := rand.New(rand.NewPCG(8, 17))
	const verifying, restoring = 101, stocked / 100 // lines of progress
	killed, partly := 0, 0
	for round := range 8 {
		o.begin()
		if n := o.inventory(); n != 0 {
			t.Fatalf("%d objects in a new partition", n)
		}
		for range 2 { // the second restore finds what the first one left
			after := verifying + rng.IntN(restoring)
			if round == 0 {
				after = rng.IntN(verifying)
			}
			if o.kill(restore, after) {
				killed++
			}
			n := o.inventory()
			if n > 0 && n < stocked {
				partly++
			}
			if round == 0 && n > 0 {
				t.Errorf("%d objects were restored before all were verified", n)
			}
		}
		o.must(restore)
		if n := o.inventory(); n != stocked {
			t.Fatalf("round %d: %d objects after the last restore", round, n)
		}
	}
	if killed < 8 || partly < 3 {
		t.Errorf("%d restores were killed, %d in their middle: the test tests nothing", killed, partly)
	}
	if out := o.must(restore); !strings.Contains(out, fmt.Sprintf("%d were there already", stocked)) {
		t.Errorf("restoring again says %q", out)
	}
}
