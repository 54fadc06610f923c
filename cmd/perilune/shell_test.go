package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{"   # nothing", nil},
		{"key list", []string{"key", "list"}},
		{" key\tlist # all", []string{"key", "list"}},
		{"a#b '#'", []string{"a#b", "#"}},
		{`use 'my store'`, []string{"use", "my store"}},
		{`a"b c"'d e'\ f`, []string{"ab cd e f"}},
		{`"a\"b\\c\d" '\'`, []string{`a"b\c\d`, `\`}},
		{`'' ""`, []string{"", ""}},
	} {
		got, err := words(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("words(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
	for line, want := range map[string]string{
		`use 'my store`: "inside quotes", `use "my store`: "inside quotes", `use my\`: "nothing behind it",
	} {
		if got, err := words(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("words(%q) = %q, %v", line, got, err)
		}
	}
}

// FuzzWords: what is quoted comes back, and no line makes the splitter fail.
func FuzzWords(f *testing.F) {
	f.Add(`key list --label "a \"b\"" 'c d' # e`, "f g")
	f.Add(`\`, "'")
	f.Fuzz(func(t *testing.T, line, word string) {
		args, err := words(line)
		if err == nil {
			var again []string
			for _, a := range args {
				again = append(again, quoted(a))
			}
			if got, err := words(strings.Join(again, " ")); err != nil || !slices.Equal(got, args) {
				t.Errorf("%q is %q, and that quoted is %q, %v", line, args, got, err)
			}
		}
		if s := split(line); s.start > len(line) {
			t.Errorf("split(%q) begins its last word at %d", line, s.start)
		}
		if got, err := words(quoted(word)); err != nil || len(got) != 1 || got[0] != word {
			t.Errorf("%q quoted is %q, %v", word, got, err)
		}
	})
}

// inShell is a shell of a bench, as `perilune shell` makes it.
func (b *bench) inShell() (*shell, *strings.Builder) {
	var out strings.Builder
	a := &app{
		stdin: strings.NewReader(b.stdin), stdout: &out, stderr: &out, base: b.ctx,
		env: func(name string) string { return b.env[name] }, open: b.open,
	}
	sh := &shell{app: a, logins: map[ck.SlotID]login{}}
	a.shell = sh
	b.t.Cleanup(func() {
		if a.module != nil {
			a.module.Close()
		}
	})
	return sh, &out
}

func TestShellPrompt(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label a-rather-long-label-of-an-hsm --so-pin env:HSM_SO")
	sh, out := b.inShell()
	for _, c := range []struct{ line, prompt string }{
		{"", "a-rather-long-l~> "},
		{"use app", "a-rather-long-l~ app> "},
		{"login --role so --hsm-so-pin env:HSM_SO", "a-rather-long-l~[so] app> "},
		{"login --role cu --pin env:CU", "a-rather-long-l~[so] app[cu]> "},
		{"key list", "a-rather-long-l~[so] app[cu]> "},
		{"logout --role so", "a-rather-long-l~ app[cu]> "},
		{"use", "a-rather-long-l~> "},
		{"hsm zeroize --force", "perilune> "},
	} {
		sh.line(b.ctx, c.line)
		sh.refresh(b.ctx)
		if got := sh.prompt(b.ctx); got != c.prompt {
			t.Errorf("after %q the prompt is %q, want %q\n%s", c.line, got, c.prompt, out)
		}
	}
}

// A login that another program ended is noticed, and so is a partition that it
// deleted.
func TestShellNotices(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	sh, out := b.inShell()
	if status := sh.line(b.ctx, "login --pin env:CO"); status != exitDone {
		t.Fatal(out)
	}
	b.do("partition delete --partition app --hsm-so-pin env:HSM_SO --force")
	out.Reset()
	sh.refresh(b.ctx)
	if got := sh.prompt(b.ctx); got != "lab> " || !strings.Contains(out.String(), "no longer logged in") {
		t.Errorf("prompt %q\n%s", got, out)
	}
}

// No session outlives its command, but for those of logins.
func TestShellTidies(t *testing.T) {
	b := ready(t)
	sh, out := b.inShell()
	for _, line := range []string{"key list --pin env:CO", "login --pin env:CO", "key list", "key list", "key generate --type aes"} {
		if status := sh.line(b.ctx, line); status != exitDone {
			t.Fatalf("%s: %s", line, out)
		}
	}
	info, err := p11.Call(b.ctx, sh.module, &p11.GetTokenInfo{Slot: 0})
	if err != nil || info.SessionCount != 1 {
		t.Errorf("%d sessions are open, %v", info.SessionCount, err)
	}
}

// A command that was left behind by Ctrl-C takes the logins with it, and the
// shell goes on.
func TestShellAfterInterruption(t *testing.T) {
	b := ready(t)
	release := make(chan struct{})
	defer close(release)
	var sh *shell
	b.interpose(func(_ context.Context, req p11.Request) (bool, error) {
		if _, ok := req.(*p11.GenerateKeyPair); !ok {
			return false, nil
		}
		sh.cancel()
		<-release
		return true, ck.CKR_FUNCTION_CANCELED
	})
	sh, out := b.inShell()
	sh.line(b.ctx, "login --pin env:CO")
	if status := sh.line(b.ctx, "key generate --type rsa"); status != exitInterrupted {
		t.Errorf("exit status %d\n%s", status, out)
	}
	if !strings.Contains(out.String(), "the interruption has ended all logins") {
		t.Errorf("the logins that are gone are not told:\n%s", out)
	}
	if status := sh.line(b.ctx, "key list --pin env:CO"); status != exitDone {
		t.Errorf("the shell does not go on:\n%s", out)
	}
}

func TestShellCompletion(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	b.run("partition", "create", "--name", "box(1)", "--hsm-so-pin", "env:HSM_SO")
	b.do("key generate --type aes --label private --slot 0 --pin env:CO")
	sh, _ := b.inShell()
	sh.line(b.ctx, "login --slot 0 --pin env:CO")
	t.Chdir(t.TempDir())
	write(t, "some key.pem", "")
	for _, c := range []struct {
		line string
		want []string // how the line may go on
	}{
		{"key li", []string{"key list "}},
		{"perilune key li", []string{"perilune key list "}},
		{"key list --cl", []string{"key list --class "}},
		{"key list --class se", []string{"key list --class secret "}},
		{"role log", []string{"role login ", "role logout "}},
		{"login --role c", []string{"login --role co ", "login --role cu "}},
		{"use bo", []string{"use 'box(1)' "}},
		{"use 'bo", []string{"use 'box(1)' "}},
		{"key list --partition part", []string{"key list --partition partition1 "}},
		{"key show --label p", []string{"key show --label private "}},
		{"key list --pin e", []string{"key list --pin env:"}},
		{"key import so", []string{"key import 'some key.pem' "}},
		{"nothing x", nil},
	} {
		head, list, tail := sh.complete(b.ctx, c.line+"|", len([]rune(c.line)))
		var got []string
		for _, x := range list {
			got = append(got, head+x)
		}
		if tail != "|" || !slices.Equal(got, c.want) {
			t.Errorf("%q goes on as %q, want %q", c.line, got, c.want)
		}
	}
	if len(sh.sessions) > 0 {
		t.Error("completion left sessions open")
	}
}

// The history is for its owner alone, follows no link, and is bounded.
func TestHistoryFile(t *testing.T) {
	dir := t.TempDir()
	env := func(name string) string { return map[string]string{"XDG_STATE_HOME": dir}[name] }
	h := openHistory(env)
	h.append("key list")
	h.append("slot\nlist")
	if got := h.load(); got != "key list\nslot list\n" {
		t.Errorf("history %q", got)
	}
	path := filepath.Join(dir, "perilune", "history")
	for _, mode := range []os.FileMode{0o666, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		h.append("version")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 * maxHistory / 64 {
		h.append(strings.Repeat("x", 63))
	}
	if got := h.load(); len(got) > maxHistory || !strings.HasSuffix(got, "x\n") || strings.HasPrefix(got, "key") {
		t.Errorf("%d bytes of history", len(got))
	}
	if got := h.load(); len(got) > maxHistory/2 {
		t.Errorf("%d bytes of history after it was cut", len(got))
	}
	other := write(t, filepath.Join(dir, "other"), "precious\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	h.append("key list")
	if b, _ := os.ReadFile(other); string(b) != "precious\n" || h.load() != "" {
		t.Error("a link was followed")
	}
	if h := openHistory(func(string) string { return "" }); h != nil || h.load() != "" {
		t.Error("a history without a place for it")
	}
}
