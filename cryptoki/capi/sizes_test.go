package capi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
)

// The structures that are stored or read whole have the size that they have in
// C, on every platform.
func TestStructureSizes(t *testing.T) {
	for target, abi := range map[string]cmem.ABI{
		"x86_64-linux-gnu":       cmem.LP64,
		"i686-linux-gnu":         cmem.ILP32,
		"x86_64-w64-windows-gnu": cmem.Windows64,
		"i686-w64-windows-gnu":   cmem.Windows32,
	} {
		var c strings.Builder
		c.WriteString("#include <pkcs11.h>\n")
		for name, v := range map[string]any{
			"CK_INFO":              new(info),
			"CK_SLOT_INFO":         new(slotInfo),
			"CK_TOKEN_INFO":        new(tokenInfo),
			"CK_SESSION_INFO":      new(ck.SessionInfo),
			"CK_MECHANISM_INFO":    new(ck.MechanismInfo),
			"CK_C_INITIALIZE_ARGS": new(initializeArgs),
		} {
			size, err := cmem.Size(v, abi)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(&c, "_Static_assert(sizeof(%[1]s) == %[2]d, \"%[1]s is not of %[2]d bytes\");\n", name, size)
		}
		source := filepath.Join(t.TempDir(), "sizes.c")
		if err := os.WriteFile(source, []byte(c.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("clang", "--target="+target, "-I", "../../include", "-fsyntax-only", source)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", target, err, out)
		}
	}
}
