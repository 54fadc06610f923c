package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// Keys as a terminal sends them.
const (
	enter  = "\r"
	tab    = "\t"
	up     = "\x1b[A"
	left   = "\x1b[D"
	ctrlC  = "\x03"
	ctrlD  = "\x04"
	ctrlR  = "\x12"
	prompt = "> "
)

// interactiveShell is `perilune shell` on a terminal.
func (h *host) interactiveShell(args ...string) *dialog {
	h.t.Helper()
	size := &pty.Winsize{Rows: 24, Cols: 200}
	return h.talkIn(size, append([]string{"shell"}, args...)...).expect(prompt)
}

// keys types keys.
func (d *dialog) keys(keys string) *dialog {
	d.t.Helper()
	if _, err := io.WriteString(d.term, keys); err != nil {
		d.t.Fatal(err)
	}
	return d
}

func (h *host) historyFile() string {
	return filepath.Join(h.dir, ".local", "state", "perilune", "history")
}

// A login lasts over commands; the prompt shows it; the PIN is typed unseen.
func TestShellSession(t *testing.T) {
	h := ready(t)
	d := h.interactiveShell()
	d.keys("use app" + enter).expect("Commands work on partition").expect("app> ")
	d.keys("login" + enter).expect("PIN of the Crypto Officer")
	d.keys(pin + enter).expect("is logged in.").expect("app[co]> ")
	d.keys("key generate --type aes --label box" + enter).expect(`secret key "box"`).expect("app[co]> ")
	d.keys("key delete --label box" + enter).expect("Type 'proceed' to go on: ").keys("no" + enter).expect("not confirmed").expect("[co]> ")
	d.keys("key delete --label box" + enter).expect("Type 'proceed' to go on: ").keys("proceed" + enter).expect("1 object deleted").expect("[co]> ")
	d.keys("logout" + enter).expect("is logged out").expect("app> ")
	d.keys("key list" + enter).expect("PIN of the Crypto Officer").keys(wrong + enter).expect("9 of 10 tries are left").expect("app> ")
	d.keys("exit" + enter).ends(done)
	if !d.echoes() {
		t.Error("the terminal does not show what is typed")
	}
}

// Ctrl-C drops a line, ends a question and a command, but never the shell; Ctrl-D ends it.
func TestShellKeys(t *testing.T) {
	h := ready(t)
	d := h.interactiveShell()
	d.keys("hsm zeroize" + ctrlC).expect("^C").expect(prompt)
	d.keys("key list" + enter).expect("PIN of the Crypto Officer").keys("half" + ctrlC).expect("interrupted").expect(prompt)
	d.keys("hsm zeroize" + enter).expect("proceed").expect(": ").keys(ctrlC).expect("interrupted").expect(prompt)
	d.keys("key generate --type rsa:8192 --pin env:CO" + enter).expect("generating rsa:8192").keys(ctrlC).expect("interrupted").expect(prompt)
	d.keys("key list --pin env:CO" + enter).expect("No keys").expect(prompt)
	d.keys("slot lost" + left + left + "\x7fi" + enter).expect("initialised").expect(prompt)
	d.keys(ctrlD).ends(done)
	if !d.echoes() {
		t.Error("the terminal does not show what is typed")
	}
}

// The Tab key completes commands, flags, partitions and roles.
func TestShellCompletes(t *testing.T) {
	h := ready(t)
	d := h.interactiveShell()
	d.keys("ke" + tab).expect("key ").keys("li" + tab).expect("key list ")
	d.keys("--part" + tab).expect("--partition ").keys("p" + tab).expect("--partition partition1 ")
	d.keys("--role c" + tab + tab).expect("co").expect("cu").expect("--role c").keys("u --pin env:CU" + enter).expect("No keys").expect(prompt)
	d.keys(ctrlD).ends(done)
}

// Lines are found again, in this shell and the next; those that could hold a PIN
// are forgotten, and the file is for its owner alone.
func TestShellHistory(t *testing.T) {
	h := ready(t)
	d := h.interactiveShell()
	d.keys("key list --pin env:CO" + enter).expect("No keys").expect(prompt)
	d.keys("version" + enter).expect("SQLite").expect(prompt)
	for _, line := range []string{"key list --pin 'not kept'", "not kept", "key list --pim 'not kept'", "key list 'not kept'"} {
		d.keys(line + enter).expect("perilune: ").expect(prompt)
	}
	d.keys("key list" + enter).expect("PIN of").keys(pin + enter).expect("No keys").expect(prompt)
	d.keys(up + up + enter).expect("SQLite").expect(prompt)
	d.keys("exit" + enter).ends(done)

	text, err := os.ReadFile(h.historyFile())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), "key list --pin env:CO\nversion\nkey list\nversion\nexit\n"; got != want {
		t.Errorf("the history is\n%swant\n%s", got, want)
	}
	if info, err := os.Stat(h.historyFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the history: %v, %v", info.Mode(), err)
	}
	d = h.interactiveShell()
	d.keys(ctrlR + "env" + enter).expect("No keys").expect(prompt).keys(ctrlD).ends(done)

	d = h.interactiveShell("--no-history")
	d.keys("slot list" + enter).expect("initialised").expect(prompt).keys(ctrlD).ends(done)
	if again, _ := os.ReadFile(h.historyFile()); strings.Contains(string(again), "slot list") {
		t.Error("--no-history kept a line")
	}
}

// SIGTERM ends a shell and leaves the terminal as it was.
func TestShellTerminated(t *testing.T) {
	h := ready(t)
	d := h.interactiveShell()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil { // nothing to interrupt
		t.Fatal(err)
	}
	d.keys("version" + enter).expect("SQLite").expect(prompt)
	terminate(t, d)
	d.ends(interrupted)
	if !d.echoes() {
		t.Error("the terminal does not show what is typed")
	}
}

// A terminal that cannot edit lines still runs a shell, and asks for PINs unseen.
func TestShellOnDumbTerminal(t *testing.T) {
	h := ready(t)
	h.env = append(h.env, "TERM=dumb")
	d := h.talk("shell").expect("perilune> ")
	d.enter("login").expect("PIN of the Crypto Officer").enter(pin).expect("is logged in").expect("app[co]> ")
	d.enter("key list --slot 9").expect("no such slot").expect("app[co]> ")
	d.enter("key list").expect("No keys").expect("> ")
	d.keys(ctrlD).ends(done)
}
