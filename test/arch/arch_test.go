// Package arch checks who imports whom: docs/DESIGN.md's table, as data.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/perilune/perilune/"

// rule is one line of the table. A package without a line fails the test: new
// packages are decided here first.
type rule struct {
	// may lists the packages of ours that it may import; "dir/..." stands for
	// the directory's packages, "*" for any.
	may []string
	cgo bool // it may use cgo
	raw bool // it may use unsafe
}

var rules = map[string]rule{
	"cryptoki/ck":         {},
	"cryptoki/ck/gen":     {may: []string{"cryptoki/ck"}},
	"cryptoki/cmem":       {may: []string{"cryptoki/ck"}, raw: true},
	"cryptoki/p11":        {may: []string{"cryptoki/ck"}},
	"cryptoki/p11test":    {may: []string{"cryptoki/ck", "cryptoki/p11"}},
	"engine":              {may: []string{"cryptoki/ck", "engine/internal/..."}},
	"engine/internal/...": {may: []string{"engine/internal/..."}},
	// Vectors lie on the lines of the cache, and only unsafe tells an address.
	"engine/internal/ifma": {may: []string{"engine/internal/..."}, raw: true},
	"ownfile":              {}, // files that only their owner may touch: made in one way, whoever makes them
	"store":                {},
	"store/...":            {may: []string{"ownfile", "store", "store/..."}, raw: true},
	"cryptoki/archive":     {may: []string{"ownfile"}},                // bytes of backups in a file; what they mean is hsm's
	"cryptoki/audit":       {may: []string{"cryptoki/ck", "ownfile"}}, // chains, files and spools; what there is to record, hsm knows
	"cryptoki/hsm":         {may: []string{"cryptoki/archive", "cryptoki/audit", "cryptoki/ck", "cryptoki/p11", "engine", "ownfile", "store"}},
	"cryptoki/capi":        {may: []string{"cryptoki/ck", "cryptoki/cmem", "cryptoki/p11"}, cgo: true, raw: true},
	"cryptoki/capi/...":    {may: []string{"*"}, cgo: true, raw: true},
	"config":               {},
	"cryptoki/local":       {may: []string{"config", "cryptoki/audit", "cryptoki/hsm", "store/sqlite"}},
	"cryptoki":             {may: []string{"*"}, cgo: true},
	"migrate":              {may: []string{"cryptoki/ck", "cryptoki/p11", "engine"}},
	"migrate/...":          {may: []string{"cryptoki/ck", "engine", "migrate/..."}},
	"cmd/perilune":         {may: []string{"*"}},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	CgoFiles     []string
	TestImports  []string
	XTestImports []string
}

func packages(t *testing.T) (list []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,CgoFiles", "-tags", "sqlite_omit_load_extension", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// ruleFor finds the line of a package: its own, else its nearest parent's "/...".
func ruleFor(name string) (rule, bool) {
	if r, ok := rules[name]; ok {
		return r, true
	}
	for dir := name; strings.Contains(dir, "/"); {
		dir = dir[:strings.LastIndex(dir, "/")]
		if r, ok := rules[dir+"/..."]; ok {
			return r, true
		}
	}
	return rule{}, false
}

func allowed(r rule, name string) bool {
	for _, m := range r.may {
		if m == "*" || m == name {
			return true
		}
		if dir, ok := strings.CutSuffix(m, "/..."); ok && strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

func TestImports(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			t.Errorf("package %s is not in a folder of the house", p.ImportPath)
			continue
		}
		seen++
		r, ok := ruleFor(name)
		if !ok {
			t.Errorf("package %s has no line in the import table of test/arch", name)
			continue
		}
		if len(p.CgoFiles) > 0 && !r.cgo {
			t.Errorf("package %s uses cgo (%v)", name, p.CgoFiles)
		}
		for _, imp := range p.Imports {
			if imp == "unsafe" && !r.raw && !r.cgo {
				t.Errorf("package %s imports unsafe", name)
			}
			if imp, ours := strings.CutPrefix(imp, module); ours && !allowed(r, imp) {
				t.Errorf("package %s imports %s, which the table does not allow", name, imp)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages seen: go list looked in the wrong place", seen)
	}
}

// TestTableIsUsed finds lines for packages that no longer exist.
func TestTableIsUsed(t *testing.T) {
	names := map[string]bool{}
	for _, p := range packages(t) {
		names[strings.TrimPrefix(p.ImportPath, module)] = true
	}
	for line := range rules {
		dir, wild := strings.CutSuffix(line, "/...")
		found := names[line]
		for n := range names {
			found = found || wild && strings.HasPrefix(n, dir+"/")
		}
		if !found {
			t.Errorf("the import table has a line for %s, and there is no such package", line)
		}
	}
}
