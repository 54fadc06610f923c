package crash

import "testing"

// policyCrash is a change of a policy that destroys.
type policyCrash struct {
	name string
	// before are commands that the HSM has seen: when it had no partition yet, and
	// when its partitions were full.
	empty, full []string
	set, list   string
	id          int
	from, to    uint64
	partitions  int // that are left by the change
}

const (
	setHSM       = "hsm policy set --hsm-so-pin env:HSM_SO --force --id 12 --value "
	setPartition = "partition policy set --partition doomed --so-pin env:SO --force --id 39 --value "
)

// TestKillInsidePolicyChange: everything is as it was, with every object, or
// changed and emptied; never between.
func TestKillInsidePolicyChange(t *testing.T) {
	for _, c := range []policyCrash{
		{name: "partition", full: []string{setPartition + "on"}, set: setPartition + "off",
			list: "partition policy list --partition doomed --json", id: 39, from: 1, to: 0, partitions: 2},
		{name: "HSM", set: setHSM + "off", list: "hsm policy list --json", id: 12, from: 1, to: 0},
		{name: "HSM in FIPS mode", empty: []string{setHSM + "off"}, set: setHSM + "on", list: "hsm policy list --json", id: 12, from: 0, to: 1},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

func (c *policyCrash) run(t *testing.T) {
	o := operator(t, c.empty...)
	for _, line := range c.full {
		o.do(o.golden, line)
	}
	writes := o.writes(c.set)
	kept, changed := 0, 0
	for _, n := range moments(writes) {
		switch home := o.killed(c.set, n); o.policy(home, c) {
		case c.from:
			kept++
			if f := o.look(home); f.objects["doomed"] != objectsEach {
				t.Errorf("killed at write %d of %d: the policy is as it was, and %v are left", n, writes, f.objects)
			}
		case c.to:
			changed++
			c.emptied(o, home)
		default:
			t.Errorf("killed at write %d of %d: the policy is neither what it was nor what it was to be", n, writes)
		}
	}
	if kept == 0 || changed == 0 {
		t.Errorf("%d times all was kept, %d times the policy was changed: nothing was tested", kept, changed)
	}
	home := o.copy() // a change that nobody kills
	o.do(home, c.set)
	if v := o.policy(home, c); v != c.to {
		t.Errorf("the change was acknowledged, and the policy is %d", v)
	}
	c.emptied(o, home)
}

// emptied wants nothing to be left of what the change destroys, and all of the
// rest.
func (c *policyCrash) emptied(o *tool, home string) {
	o.t.Helper()
	left := o.objectsNow(home)
	if len(left) != c.partitions || left["doomed"] != 0 {
		o.t.Errorf("the policy is changed, and of the partitions' objects are left: %v", left)
	}
	if c.partitions == 0 {
		return
	}
	if f := o.look(home); f.sealed != 0 {
		o.t.Errorf("the policy is changed, and %d records are nobody's", f.sealed)
	}
}

// policy is the value of the policy.
func (o *tool) policy(home string, c *policyCrash) uint64 {
	o.t.Helper()
	var list []struct {
		ID    int
		Value uint64
	}
	o.read(home, c.list, &list)
	for _, p := range list {
		if p.ID == c.id {
			return p.Value
		}
	}
	o.t.Fatalf("`%s` does not show policy %d", c.list, c.id)
	return 0
}
