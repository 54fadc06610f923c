package clients

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(runChild(name))
	}
	flag.Parse()
	code := m.Run()
	if code == 0 && ranEverything() {
		for _, err := range unmet() {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// ranEverything reports whether every step had its chance to run: no filter,
// and nothing missing on the machine.
func ranEverything() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return !skippedSomething.Load()
}
