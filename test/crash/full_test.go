package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/pkcs11"
)

// fill creates objects until the disk is full, then makes room and goes on.
func fill(p *pkcs11.Ctx) error {
	s, _, err := loginAny(p)
	if err != nil {
		return err
	}
	mine := map[uint32]pkcs11.ObjectHandle{}
	var n uint32
	for {
		if err = create(p, s, "a", n+1, false, mine); err != nil {
			break
		}
		if n++; n > 100_000 {
			return fmt.Errorf("the disk never filled")
		}
	}
	fmt.Printf("full %d %v\n", n, err)
	fmt.Printf("random %v\n", p.FindObjectsInit(s, nil))
	if _, _, err := p.FindObjects(s, 1); err != nil {
		return fmt.Errorf("find on a full disk: %w", err)
	}
	if err := p.FindObjectsFinal(s); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(filepath.Dir(os.Getenv("PERILUNE_HOME")), "ballast")); err != nil {
		return err
	}
	if err := create(p, s, "a", 200_000, false, mine); err != nil {
		return fmt.Errorf("create with room again: %w", err)
	}
	fmt.Println("again")
	return nil
}

// TestFullDisk fills a small file system: a clear error, nothing lost, and a
// usable store when there is room again.
func TestFullDisk(t *testing.T) {
	h := newHost(t)
	small := filepath.Dir(h.home)
	conf, err := os.ReadFile(filepath.Join(small, "perilune.toml"))
	if err != nil {
		t.Fatal(err)
	}
	// The mount lives in a name space of its own, so that it ends with the test's shell.
	script := `set -e
mount -t tmpfs -o size=6m tmpfs "$1"
printf '%s' "$2" > "$1/perilune.toml"
chmod 600 "$1/perilune.toml"
CRASH_WORKER=init "$0"
head -c 2000000 /dev/zero > "$1/ballast"
CRASH_WORKER=fill "$0"
CRASH_WORKER=verify "$0"
`
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-Urm"
	}
	cmd := exec.Command("unshare", flags, "bash", "-c", script, os.Args[0], small, string(conf))
	cmd.Env = append(h.env, "CRASH_PINS=user pin 0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(string(out)))
	}
	text := string(out)
	var full int
	var reason string
	acknowledged, found := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "done "):
			acknowledged++
		case strings.HasPrefix(line, "object "):
			found++
		case strings.HasPrefix(line, "full "):
			fmt.Sscanf(line, "full %d", &full)
			reason = line
		}
	}
	if full == 0 || !strings.Contains(reason, "CKR_DEVICE_MEMORY") {
		t.Errorf("the full disk was answered by %q, want CKR_DEVICE_MEMORY", reason)
	}
	if !strings.Contains(text, "\nagain\n") || found != acknowledged {
		t.Errorf("%d objects acknowledged, %d found\n%s", acknowledged, found, tail(text))
	}
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// TestReadOnlyDirectory: reading works, writing is refused clearly, and the
// store is usable when the directory is writable again.
func TestReadOnlyDirectory(t *testing.T) {
	h := newHost(t)
	h.run("init")
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-Urm"
	}
	script := `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec pkcs11-tool --module "$PERILUNE_MODULE" --login --pin 'user pin 0' --keygen --key-type AES:32`
	cmd := exec.Command("unshare", flags, "bash", "-c", script, "bash", h.home)
	cmd.Env = h.env
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("a key was made in a read-only directory:\n%s", out)
	}
	var exit *exec.ExitError
	if ok := asExit(err, &exit); !ok || exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("pkcs11-tool ended by %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "CKR_TOKEN_WRITE_PROTECTED") && !strings.Contains(string(out), "read-only") {
		t.Errorf("the refusal does not say why:\n%s", out)
	}
	h.run("verify", "CRASH_PINS=user pin 0")
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}
