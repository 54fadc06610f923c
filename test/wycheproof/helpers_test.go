package wycheproof

import (
	"crypto"
	_ "crypto/sha1"
	_ "crypto/sha256"
	"crypto/sha3"
	_ "crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// digestOf hashes with the standard library, for the mechanisms that take a
// digest.
func digestOf(sha string, msg []byte) ([]byte, error) {
	switch sha { // with the lengths that RFC 8692 gives them for ECDSA
	case "SHAKE128":
		return sha3.SumSHAKE128(msg, 32), nil
	case "SHAKE256":
		return sha3.SumSHAKE256(msg, 64), nil
	}
	h, ok := map[string]crypto.Hash{
		"SHA-1": crypto.SHA1, "SHA-224": crypto.SHA224, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512,
		"SHA-512/224": crypto.SHA512_224, "SHA-512/256": crypto.SHA512_256,
		"SHA3-224": crypto.SHA3_224, "SHA3-256": crypto.SHA3_256, "SHA3-384": crypto.SHA3_384, "SHA3-512": crypto.SHA3_512,
	}[sha]
	if !ok {
		return nil, noHash
	}
	w := h.New()
	w.Write(msg)
	return w.Sum(nil), nil
}

// vectors is the folder of the vectors, in the module that go.mod names.
var vectors = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/c2sp/wycheproof").Output()
	if err != nil {
		return "", fmt.Errorf("the module of the vectors is not there (%w): run go mod download in test/", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "testvectors_v1"), nil
})

// allFiles names all files of vectors, without their common ending.
func allFiles(t *testing.T) (list []string) {
	t.Helper()
	dir, err := vectors()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), "_test.json"); ok {
			list = append(list, name)
		}
	}
	return list
}
