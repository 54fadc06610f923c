package headers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const includeDir = "../../include"

// A header is one implementation of the C interface as a program sees it.
type header struct {
	name    string
	include string   // the lines that include it
	flags   []string // compiler flags
}

func ours(t *testing.T) header {
	t.Helper()
	dir, err := filepath.Abs(includeDir)
	if err != nil {
		t.Fatal(err)
	}
	return header{"ours", "#include <pkcs11.h>\n", []string{"-I", dir}}
}

// packaged returns the headers of other projects. One that is missing fails
// the test: a comparison that did not take place must not look like success.
func packaged(t *testing.T) []header {
	t.Helper()
	return []header{
		{
			"p11-kit",
			"#include <p11-kit/pkcs11.h>\n",
			[]string{"-I", find(t, "libp11-kit-dev", "p11-kit/pkcs11.h", "/usr/include/p11-kit-1", "/usr/local/include/p11-kit-1")},
		},
		{
			"NSS",
			"#include <pkcs11.h>\n",
			[]string{
				"-I", find(t, "libnss3-dev", "pkcs11t.h", "/usr/include/nss", "/usr/include/nss3"),
				"-I", find(t, "libnspr4-dev", "prtypes.h", "/usr/include/nspr", "/usr/include/nspr4"),
			},
		},
		{
			"miekg/pkcs11",
			"#include \"pkcs11go.h\"\n",
			[]string{"-I", moduleDir(t, "github.com/miekg/pkcs11")},
		},
	}
}

func find(t *testing.T, debianPackage, file string, dirs ...string) string {
	t.Helper()
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir
		}
	}
	t.Fatalf("%s not found: install the Debian package %s", file, debianPackage)
	return ""
}

func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("go mod download %s: %v", module, err)
	}
	var info struct{ Dir string }
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatal(err)
	}
	return info.Dir
}

// compiler returns the C or C++ compiler.
func compiler(t *testing.T, language string) string {
	t.Helper()
	variable, names, debianPackage := "CC", []string{"cc", "gcc", "clang"}, "gcc"
	if language == "c++" {
		variable, names, debianPackage = "CXX", []string{"c++", "g++", "clang++"}, "g++"
	}
	if cc := os.Getenv(variable); cc != "" {
		names = append([]string{cc}, names...)
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("no %s compiler found: install the Debian package %s", language, debianPackage)
	return ""
}

// compile feeds source to the compiler and returns what it prints.
func compile(t *testing.T, language, source string, flags ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(compiler(t, language), append(flags, "-x", language, "-")...)
	cmd.Stdin = strings.NewReader(source)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", language, strings.Join(flags, " "), err, &stderr)
	}
	return string(out), nil
}

// run compiles and runs a program and returns the lines that it prints.
func run(t *testing.T, language, source string, flags ...string) []string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if _, err := compile(t, language, source, append(flags, "-w", "-o", program)...); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

// preprocess returns the text of h after preprocessing; flags may ask for
// something else, such as -dM for the macros.
func preprocess(t *testing.T, h header, flags ...string) string {
	t.Helper()
	out, err := compile(t, "c", h.include, append(append([]string{"-E", "-P"}, flags...), h.flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	macro      = regexp.MustCompile(`(?m)^#define (CK[A-Z]?_[A-Za-z0-9_]+) +\S`)
	notNumbers = regexp.MustCompile(`^CK_(PTR|SPEC|CALL_SPEC_?|LINK_SPEC_?)$|FUNCTION`)
	numberedFn = regexp.MustCompile(`^CK[A-Z]_`) // CKR_FUNCTION_FAILED is a number
)

// constants returns the value of every constant of h as the compiler sees it.
func constants(t *testing.T, h header) map[string]uint64 {
	t.Helper()
	var b strings.Builder
	b.WriteString(h.include + "#include <stdio.h>\nint main(void) {\n")
	for _, m := range macro.FindAllStringSubmatch(preprocess(t, h, "-dM"), -1) {
		if name := m[1]; numberedFn.MatchString(name) || !notNumbers.MatchString(name) {
			fmt.Fprintf(&b, "printf(\"%s %%lx\\n\", (unsigned long)(%s));\n", name, name)
		}
	}
	b.WriteString("return 0; }\n")
	values := make(map[string]uint64)
	for _, line := range run(t, "c", b.String(), h.flags...) {
		name, hex, _ := strings.Cut(line, " ")
		v, err := strconv.ParseUint(hex, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		values[name] = v
	}
	return values
}

// A field of a structure: where it is and how long.
type field struct {
	name         string
	offset, size int
}

// A structure as the compiler lays it out.
type structure struct {
	size   int
	fields []field
}

var (
	taggedStruct   = regexp.MustCompile(`struct\s+(\w+)\s*\{([^{}]*)\}`)
	structTypedef  = regexp.MustCompile(`typedef\s+struct\s+(\w+)\s+(CK_\w+)\s*;`)
	inlineTypedef  = regexp.MustCompile(`typedef\s+struct\s+(\w+)\s*\{[^{}]*\}\s*(CK_\w+)`)
	unnamedTypedef = regexp.MustCompile(`typedef\s+struct\s*\{([^{}]*)\}\s*(CK_\w+)`)
	lastWord       = regexp.MustCompile(`(\w+)\s*(\[\w+\])?\s*$`)
)

// structures returns every CK_ structure of h, laid out with the given
// additional compiler flags.
func structures(t *testing.T, h header, flags ...string) map[string]structure {
	t.Helper()
	text := preprocess(t, h, flags...)
	bodies := make(map[string]string) // by tag
	for _, m := range taggedStruct.FindAllStringSubmatch(text, -1) {
		bodies[m[1]] = m[2]
	}
	fieldsOf := make(map[string][]string) // by type name
	for _, re := range []*regexp.Regexp{structTypedef, inlineTypedef} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			if body, ok := bodies[m[1]]; ok {
				fieldsOf[m[2]] = fieldNames(body)
			}
		}
	}
	for _, m := range unnamedTypedef.FindAllStringSubmatch(text, -1) {
		fieldsOf[m[2]] = fieldNames(m[1])
	}

	var b strings.Builder
	b.WriteString(h.include + "#include <stdio.h>\n#include <stddef.h>\nint main(void) {\n")
	for name, fields := range fieldsOf {
		fmt.Fprintf(&b, "printf(\"%s . 0 %%d\\n\", (int)sizeof(%s));\n", name, name)
		for _, f := range fields {
			fmt.Fprintf(&b, "printf(\"%s %s %%d %%d\\n\", (int)offsetof(%s, %s), (int)sizeof(((%s *)0)->%s));\n",
				name, f, name, f, name, f)
		}
	}
	b.WriteString("return 0; }\n")

	result := make(map[string]structure)
	for _, line := range run(t, "c", b.String(), append(flags, h.flags...)...) {
		var name string
		var f field
		if _, err := fmt.Sscan(line, &name, &f.name, &f.offset, &f.size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s := result[name]
		if f.name == "." {
			s.size = f.size
		} else {
			s.fields = append(s.fields, f)
		}
		result[name] = s
	}
	return result
}

func fieldNames(body string) []string {
	var names []string
	for decl := range strings.SplitSeq(body, ";") {
		if m := lastWord.FindStringSubmatch(strings.TrimSpace(decl)); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

var (
	pointerType = regexp.MustCompile(`\bCK_(C_\w+)\b`)
	structTag   = regexp.MustCompile(`\b_?((?:CK|ck)_\w+)`)
)

// signatures returns the type of every function of h, spelled the same way
// for all headers: typedefs of numbers resolved, structures by their name.
func signatures(t *testing.T, h header) map[string]string {
	t.Helper()
	var b strings.Builder
	b.WriteString(h.include + "#include <cxxabi.h>\n#include <stdio.h>\n#include <typeinfo>\nint main() {\n")
	seen := make(map[string]bool)
	for _, m := range pointerType.FindAllStringSubmatch(preprocess(t, h), -1) {
		if name := m[1]; !seen[name] && name != "C_INITIALIZE_ARGS" && name != "C_INITIALIZE_ARGS_PTR" {
			seen[name] = true
			fmt.Fprintf(&b, "printf(\"%s %%s\\n\", abi::__cxa_demangle(typeid(CK_%s).name(), 0, 0, 0));\n", name, name)
		}
	}
	b.WriteString("return 0; }\n")
	result := make(map[string]string)
	for _, line := range run(t, "c++", b.String(), h.flags...) {
		name, signature, _ := strings.Cut(line, " ")
		result[name] = structTag.ReplaceAllStringFunc(signature, func(tag string) string {
			return strings.ToUpper(strings.TrimPrefix(tag, "_"))
		})
	}
	return result
}
