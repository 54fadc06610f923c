package hsm

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/perilune/perilune/cryptoki/p11"
)

// directions are those in which a partition's template made the changes of a
// policy destructive, beyond what the table says.
type directions uint8

const (
	offToOn directions = 1 << iota
	onToOff
)

func (d directions) offOn() bool { return d&offToOn != 0 }
func (d directions) onOff() bool { return d&onToOff != 0 }

// policyChange is a wish to set policies, and what there is to say of it.
type policyChange struct {
	of       string // "HSM" or "partition", for people
	table    []policy
	conflict []conflict
	profile  *profile
	hsm      *settings // that bind a partition's; nil for the HSM's own
	before   *settings
	list     []p11.PolicySetting
	// first says that this is an initialisation, where a policy has no value
	// yet but its default, and nothing is there that could be destroyed.
	first bool
	more  map[uint64]directions

	verdicts []error // by the list; nil for what can be
	destroys bool
}

// policyChange judges a change of the HSM's policies.
func (m *metaState) policyChange(list []p11.PolicySetting) *policyChange {
	c := &policyChange{of: "HSM", table: hsmPolicies, profile: m.hsm.profile(), before: m.hsm.settings(), list: list}
	c.judge()
	c.boundPartitions(len(m.parts))
	return c
}

// firstPolicies judges what an initialisation with a profile sets. It destroys
// where partitions are there already that a change would destroy.
func (m *metaState) firstPolicies(prof *profile, list []p11.PolicySetting) *policyChange {
	c := &policyChange{of: "HSM", table: hsmPolicies, profile: prof, list: list, first: true,
		before: settingsOf(hsmPolicies, prof.hsmPolicies, nil)}
	c.judge()
	if !m.hsm.Initialized && len(m.parts) > 0 {
		c.boundPartitions(len(m.parts))
		c.destroys = c.destructive(m.hsm.settings(), c.after())
	}
	return c
}

// boundPartitions refuses fewer partitions than there are.
func (c *policyChange) boundPartitions(have int) {
	for i, s := range c.list {
		if s.ID == policyMaxPartitions && s.Value < uint64(have) && c.verdicts[i] == nil {
			c.verdicts[i] = c.refuse(refusePolicyDepends, s, "the HSM has %d partitions", have)
		}
	}
}

// policyChange judges a change of the partition's policies.
func (s *partitionState) policyChange(m *hsmState, list []p11.PolicySetting) *policyChange {
	c := &policyChange{of: "partition", table: partitionPolicies, conflict: partitionConflicts, profile: m.profile(),
		hsm: m.settings(), before: s.settings(m), list: list, more: s.Destructive}
	c.judge()
	return c
}

// firstPartitionPolicies judges what the initialisation of a partition sets.
func (s *hsmState) firstPartitionPolicies(list []p11.PolicySetting) *policyChange {
	c := &policyChange{of: "partition", table: partitionPolicies, conflict: partitionConflicts, profile: s.profile(),
		hsm: s.settings(), before: s.partitionDefaults(), list: list, first: true}
	c.judge()
	return c
}

// judge finds the verdicts, and whether the change destroys.
func (c *policyChange) judge() {
	c.verdicts = make([]error, len(c.list))
	seen := map[uint64]bool{}
	for i, s := range c.list {
		c.verdicts[i] = c.alone(s)
		if seen[s.ID] && c.verdicts[i] == nil {
			c.verdicts[i] = c.refuse(refusePolicyDepends, s, "it is set twice")
		}
		seen[s.ID] = true
	}
	if c.err() != nil {
		return
	}
	after := c.after()
	for _, x := range c.conflict {
		if x.has(after, c.profile) {
			c.blame(x, after)
		}
	}
	c.destroys = !c.first && c.destructive(c.before, after)
}

// alone judges one setting by its own row.
func (c *policyChange) alone(s p11.PolicySetting) error {
	p := findPolicy(c.table, s.ID)
	switch {
	case p == nil:
		return deny(refusePolicyUnknown, "there is no %s policy %d", c.of, s.ID)
	case !p.settable() && s.Value == c.before[s.ID] && !s.OffOn && !s.OnOff:
		return nil // as it is: templates list what is fixed, too
	case !p.settable():
		return c.refuse(refusePolicyFixed, s, "nobody can change it")
	case s.Value > p.cap || s.Value < p.min:
		return c.refuse(refusePolicyValue, s, "it takes %s", p.values())
	case p.onlyDown && s.Value > c.before[s.ID]:
		return c.refuse(refusePolicyFixed, s, "it is %d and can only become less", c.before[s.ID])
	case p.needs != 0 && s.Value != 0 && !c.hsm.on(p.needs):
		return c.refuse(refusePolicyDepends, s, "HSM policy %d, %q, is off", p.needs, findPolicy(hsmPolicies, p.needs).text)
	case (s.OffOn || s.OnOff) && (!c.first || c.hsm == nil || p.number):
		return c.refuse(refusePolicyFixed, s, "only the initialisation of a partition says what else destroys, and of policies that are on or off")
	}
	return nil
}

// values says what a policy takes.
func (p *policy) values() string {
	if p.number {
		return fmt.Sprintf("%d to %d", p.min, p.cap)
	}
	return "off and on"
}

// refuse is the error of a rule about one setting.
func (c *policyChange) refuse(r refusal, s p11.PolicySetting, format string, args ...any) error {
	p := findPolicy(c.table, s.ID)
	err := deny(r, "%s policy %d, %q, cannot be %d: %s", c.of, s.ID, p.name(), s.Value, fmt.Sprintf(format, args...)).(*p11.Refusal)
	err.Policy = policyRef{c.table, s.ID}.String()
	return err
}

// name is the text of the policy, or of the capability where there is none.
func (p *policy) name() string { return cmp.Or(p.text, p.capability) }

// blame refuses the settings of the list that make a conflict. Without one
// there the conflict was there before, and is not this change's.
func (c *policyChange) blame(x conflict, after *settings) {
	for i, s := range c.list {
		if s.ID == x.a || s.ID == x.b {
			other := x.a + x.b - s.ID
			c.verdicts[i] = c.refuse(refusePolicyDepends, s, "%s, and policy %d, %q, is %d",
				x.why, other, findPolicy(c.table, other).text, after[other])
		}
	}
}

// after are the settings after the change.
func (c *policyChange) after() *settings {
	s := *c.before
	for _, set := range c.list {
		s[set.ID] = set.Value
	}
	return &s
}

// destructive reports whether a change destroys.
func (c *policyChange) destructive(before, after *settings) bool {
	for i := range c.table {
		p := &c.table[i]
		more := c.more[p.id]
		switch {
		case p.number || before[p.id] == after[p.id]:
		case after.on(p.id) && (p.offOn || more.offOn()), !after.on(p.id) && (p.onOff || more.onOff()):
			return true
		}
	}
	return false
}

// err is the first verdict that refuses.
func (c *policyChange) err() error {
	for _, err := range c.verdicts {
		if err != nil {
			return err
		}
	}
	return nil
}

// agreed refuses a change that cannot be, or that destroys without agreement.
func (c *policyChange) agreed(destroy bool) error {
	if err := c.err(); err != nil || !c.destroys || destroy {
		return err
	}
	what := "all partitions of the HSM"
	if c.hsm != nil {
		what = "all objects of the partition"
	}
	return deny(refusePolicyDestroys, "the change destroys %s, and nobody agreed to that", what)
}

// merged are the settings to be stored after the change.
func (c *policyChange) merged(old map[uint64]uint64) map[uint64]uint64 {
	set := maps.Clone(old)
	if set == nil || c.first {
		set = map[uint64]uint64{}
	}
	for _, s := range c.list {
		if findPolicy(c.table, s.ID).settable() {
			set[s.ID] = s.Value
		}
	}
	return set
}

// directions are what the list adds to the destructive directions.
func (c *policyChange) directions() map[uint64]directions {
	more := map[uint64]directions{}
	for _, s := range c.list {
		p := findPolicy(c.table, s.ID)
		if s.OffOn && !p.offOn {
			more[s.ID] |= offToOn
		}
		if s.OnOff && !p.onOff {
			more[s.ID] |= onToOff
		}
	}
	return more
}
