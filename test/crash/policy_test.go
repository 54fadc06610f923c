package crash

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/test/built"
)

// perilune is a command of the program on the host's HSM.
func (h *host) perilune(line string) *exec.Cmd {
	cmd := exec.Command(built.Program(h.t), strings.Fields(line)...)
	cmd.Env = append(h.env, "HSM_SO=hsm so pin", "SO="+soPIN, "CO=user pin 0")
	return cmd
}

func (h *host) must(line string) string {
	h.t.Helper()
	out, err := h.perilune(line).CombinedOutput()
	if err != nil {
		h.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestKillPolicyChange kills the program again and again in changes of policies
// that destroy, at any point: of the program's start, of the change, and of what
// it does afterwards. The HSM is then as it was, with every object, or changed
// and emptied; never between.
func TestKillPolicyChange(t *testing.T) {
	rounds := 25
	if os.Getenv("PERILUNE_SOAK") != "" {
		rounds = 500
	}
	for _, c := range []policyCrash{
		{"partition", "partition policy set --id 39 --value %s --so-pin env:SO --force", "partition policy list", "39 "},
		{"HSM", "hsm policy set --id 12 --value %s --hsm-so-pin env:HSM_SO --force", "hsm policy list", "12 "},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, rounds) })
	}
}

// policyCrash is a policy that is set again and again.
type policyCrash struct {
	name, set, list, id string
}

func (c *policyCrash) run(t *testing.T, rounds int) {
	h := newHost(t)
	h.must("hsm init --label crash --so-pin env:HSM_SO")
	outcomes := map[string]int{}
	whole := time.Duration(0) // how long a change takes that is left alone
	for round := range rounds {
		h.fillPartition(c)
		before := h.policy(c)
		value := map[string]string{"on": "off", "off": "on"}[before]
		cmd := h.perilune(fmt.Sprintf(c.set, value))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if round > 0 {
			// Earlier and later, from the very beginning to the end.
			timer := time.AfterFunc(whole*time.Duration(round)/time.Duration(rounds), func() { cmd.Process.Kill() })
			defer timer.Stop()
		}
		err := cmd.Wait()
		if round == 0 {
			if whole = time.Since(begin); err != nil {
				t.Fatalf("the change, left alone: %v", err)
			}
		}
		outcome := h.afterPolicy(c, before, value, err == nil)
		outcomes[outcome]++
	}
	t.Logf("%v", outcomes)
	if outcomes["as it was"] == 0 || outcomes["changed"] == 0 {
		t.Errorf("the kills met one outcome only: %v", outcomes)
	}
}

// fillPartition sees to a partition with an officer and some objects, and with
// the policy so that the next change destroys.
func (h *host) fillPartition(c *policyCrash) {
	h.t.Helper()
	if strings.Contains(h.must("partition list"), "There are no partitions") {
		h.must("partition create --name app --hsm-so-pin env:HSM_SO")
	}
	if strings.Contains(h.must("partition show"), "no label") {
		h.must("partition init --label app --so-pin env:SO")
		h.must("role init --role co --so-pin env:SO --new-pin env:CO")
	}
	if c.name == "partition" && h.policy(c) == "off" { // off to on does not destroy
		h.must(fmt.Sprintf(c.set, "on"))
	}
	for h.objects() < 6 {
		h.must("key generate --type ec --label k --pin env:CO")
	}
}

// policy is the value of the policy, on or off.
func (h *host) policy(c *policyCrash) string {
	h.t.Helper()
	for line := range strings.Lines(h.must(c.list)) {
		if strings.HasPrefix(line, c.id) {
			if f := strings.Fields(line); strings.Contains(line, " on ") {
				return "on"
			} else if len(f) > 0 {
				return "off"
			}
		}
	}
	h.t.Fatalf("`%s` does not show policy %s", c.list, c.id)
	return ""
}

// objects counts what the officer finds.
func (h *host) objects() int {
	h.t.Helper()
	return strings.Count(h.must("key list --pin env:CO"), " ec:P-256 ")
}

// afterPolicy looks at what a change left that was killed, or not.
func (h *host) afterPolicy(c *policyCrash, before, value string, done bool) string {
	h.t.Helper()
	now := h.policy(c)
	gone := strings.Contains(h.must("partition list"), "There are no partitions")
	n := 0
	if !gone {
		n = h.objects()
	}
	switch {
	case done && now != value:
		h.t.Errorf("the change was acknowledged, and policy %sis %s", c.id, now)
	case now == before && n != 6:
		h.t.Errorf("policy %sis as it was, and %d of 6 objects are left", c.id, n)
	case now == value && (n != 0 || gone != (c.name == "HSM")):
		h.t.Errorf("policy %schanged, and %d objects are left, the partition gone: %v", c.id, n, gone)
	}
	if now == before {
		return "as it was"
	}
	return "changed"
}
