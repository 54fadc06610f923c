package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bashCompletion is the library that completion in bash works with.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// completed is what bash offers at the end of a line.
func (h *host) completed(script, line string) []string {
	h.t.Helper()
	cmd := exec.Command("bash", "--norc", "-c", `
		source "$1" && source "$2" || exit 1
		COMP_LINE=$3 COMP_POINT=${#3}
		read -ra COMP_WORDS <<<"$3"
		[[ $3 == *" " ]] && COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=63
		__start_perilune
		printf '%s\n' "${COMPREPLY[@]}"`, "bash", bashCompletion, script, line)
	cmd.Env = append(slices.Clone(h.env), "PATH="+filepath.Dir(h.program)+":"+os.Getenv("PATH"))
	out, err := cmd.Output() // on stderr bash says that nobody pressed Tab
	if err != nil {
		h.t.Fatalf("bash: %v\n%s", err, out)
	}
	var list []string
	for l := range strings.Lines(string(out)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(l), " "); word != "" {
			list = append(list, word)
		}
	}
	return list
}

// bash completes commands and flags, and asks the HSM for partitions and keys.
func TestCompletionInBash(t *testing.T) {
	if _, err := os.Stat(bashCompletion); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: bash-completion is not installed")
	}
	h := ready(t)
	h.run(done, "key generate --type ec --label signer --pin env:CO")
	script := filepath.Join(h.dir, "completion.bash")
	if err := os.WriteFile(script, []byte(h.run(done, "completion bash").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"perilune ke":                             {"key"},
		"perilune key li":                         {"list"},
		"perilune key list --rol":                 {"--role"},
		"perilune key list --role ":               {"co", "lco", "cu"},
		"perilune role list --partition ":         {"partition1"},
		"perilune key show --public --label si":   {"signer"},
		"perilune key generate --type ec:P-5":     {"ec:P-521", "P-521"}, // bash takes : for a separator
		"perilune hsm policy set --id 12":         {"12"},
		"perilune shell --no":                     {"--no-history"},
		"perilune partition show --slot 0 --json": {"--json"},
	} {
		got := h.completed(script, line)
		if len(got) == 0 {
			t.Errorf("%q: bash offers nothing", line)
		}
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("%q: bash offers %q, want %q", line, got, want)
				break
			}
		}
	}
}

// make install-man puts pages and completion where man and shells look.
func TestInstalledPages(t *testing.T) {
	need(t, "make")
	h := newHost(t)
	cmd := exec.Command("make", "-s", "install-man", "BUILD="+filepath.Dir(h.program), "DESTDIR="+h.dir, "PREFIX=/usr")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install-man: %v\n%s", err, out)
	}
	for _, file := range []string{
		"man/man1/perilune.1", "man/man1/perilune-key-generate.1", "man/man1/perilune-shell.1",
		"bash-completion/completions/perilune", "zsh/site-functions/_perilune", "fish/vendor_completions.d/perilune.fish",
	} {
		if info, err := os.Stat(filepath.Join(h.dir, "usr/share", file)); err != nil || info.Size() < 500 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
