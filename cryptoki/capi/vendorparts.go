package capi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Partitions, their state and storage by the vendor's functions.

// createContainer makes an empty partition. Its SO sets his PIN when he
// initialises it, so none is taken here.
func createContainer(c call) error {
	name, err := c.bytes(2)
	if err != nil {
		return err
	}
	if c.words[5] != 0 || c.words[11] == 0 {
		return ck.CKR_ARGUMENTS_BAD
	}
	p, err := ask(c, &p11.CreatePartition{Session: c.session(), Name: string(name), Size: c.number(10)})
	if err == nil {
		set(c, 11, containerNumber(p.Slot))
	}
	return err
}

func deleteContainer(c call) error {
	p, err := c.partition(c.number(1))
	if err != nil {
		return err
	}
	return c.do(&p11.DeletePartition{Session: c.session(), Slot: p.Slot}, new(p11.None))
}

func deleteToken(c call) error {
	return c.do(&p11.DeletePartition{Session: c.session(), Slot: c.slot(1)}, new(p11.None))
}

func resizeContainer(c call) error {
	p, err := c.partition(c.number(1))
	if err != nil {
		return err
	}
	return c.do(&p11.ResizePartition{Session: c.session(), Slot: p.Slot, Size: c.number(2)}, new(p11.None))
}

// changeLabel changes the label of the session's own partition, which the slot
// must name too.
func changeLabel(c call) error {
	label, err := c.bytes(2)
	if err != nil {
		return err
	}
	info, err := ask(c, &p11.GetSessionInfo{Session: c.session()})
	if err != nil {
		return err
	}
	if info.SlotID != c.slot(1) {
		return ck.CKR_SLOT_ID_INVALID
	}
	return c.do(&p11.LabelPartition{Session: c.session(), Label: unpad(label)}, new(p11.None))
}

// roleFlags are the flags of a partition's state that a role brings.
var roleFlags = map[p11.Role]struct{ initialized, locked, change uint64 }{
	p11.RolePartitionSO:   {initialized: ck.CAF_CONTAINER_INITIALIZED, locked: ck.CAF_CONTAINER_SO_PIN_LOCKED},
	p11.RoleCryptoOfficer: {ck.CAF_CONTAINER_USER_PIN_INITIALIZED, ck.CAF_CONTAINER_USER_PIN_LOCKED, ck.CAF_CONTAINER_USER_PIN_CHANGE},
	p11.RoleCryptoUser:    {ck.CAF_CONTAINER_LIMITED_CREATED, ck.CAF_CONTAINER_LIMITED_PIN_LOCKED, ck.CAF_CONTAINER_LIMITED_PIN_CHANGE},
}

// status is the state of a partition: its flags, and the failed logins of each
// role.
func (c call) status(slot ck.SlotID) (flags uint64, failed map[p11.Role]uint64, err error) {
	r, err := ask(c, &p11.ListRoles{Slot: slot})
	if err != nil {
		return 0, nil, err
	}
	flags, failed = ck.CAF_CONTAINER_ENABLED, map[p11.Role]uint64{}
	for _, role := range r.Roles {
		bits := roleFlags[role.Role]
		failed[role.Role] = uint64(role.Threshold - role.AttemptsLeft)
		if role.Initialized {
			flags |= bits.initialized
		}
		if role.Locked {
			flags |= bits.locked
		}
		if role.MustChange {
			flags |= bits.change
		}
	}
	return flags, failed, nil
}

// numbers stores each number where its argument points, unless that is null.
func (c call) numbers(first int, values ...uint64) {
	for k, v := range values {
		if c.words[first+k] != 0 {
			set(c, first+k, v)
		}
	}
}

// domainFlag is the flag of a partition with a cloning domain.
func domainFlag(p p11.PartitionInfo) uint64 {
	if p.HasDomain {
		return ck.CAF_CONTAINER_DOMAIN_CREATED
	}
	return 0
}

func containerStatus(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	flags, failed, err := c.status(p.Slot)
	if err != nil {
		return err
	}
	flags |= domainFlag(p)
	c.numbers(2, flags, failed[p11.RolePartitionSO], failed[p11.RoleCryptoOfficer], failed[p11.RoleCryptoUser])
	return nil
}

func tokenStatus(c call) error {
	flags, _, err := c.status(c.slot(0))
	if err != nil {
		return err
	}
	// The administration's slot and the free one have no partition.
	p, err := c.partition(containerNumber(c.slot(0)))
	if err != nil && !errors.Is(err, ck.CKR_CONTAINER_HANDLE_INVALID) {
		return err
	}
	flags |= domainFlag(p)
	info, err := ask(c, &p11.GetTokenInfo{Slot: c.slot(0)})
	if err != nil {
		return err
	}
	c.numbers(1, flags, info.SessionCount, info.RwSessionCount)
	return nil
}

// limits are an account as the functions tell it: without a limit there is as
// much as a CK_ULONG can say.
func limits(s p11.Storage) (list []uint64) {
	if s.Total == 0 {
		s.Total, s.Free = ck.UnavailableInformation, ck.UnavailableInformation
	}
	return []uint64{s.Overhead, s.Total, s.Used, s.Free}
}

func hsmStorage(c call) error {
	info, err := c.hsmInfo()
	if err != nil {
		return err
	}
	c.numbers(1, limits(info.Storage)...)
	return nil
}

func tokenStorage(c call) error {
	p, err := c.partition(containerNumber(c.slot(0)))
	return c.storage(1, p, err)
}

func containerStorage(c call) error {
	p, err := c.container()
	return c.storage(2, p, err)
}

// storage tells the account of a partition, and how many objects it has, from
// argument i on.
func (c call) storage(i int, p p11.PartitionInfo, err error) error {
	if err == nil {
		c.numbers(i, append(limits(p.Storage), p.Objects)...)
	}
	return err
}

// explainRefusal tells why the last call on the session was refused.
func explainRefusal(c call) error {
	out, err := c.output(1)
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.ExplainRefusal{Session: c.session()})
	if err != nil {
		return err
	}
	return c.give(1, out, []byte(explanation(&r)))
}

func explanation(r *p11.Explanation) string {
	if r.Request == "" {
		return ""
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"request", r.Request}, {"code", r.Code.String()}, {"refused", r.Text}, {"rule", r.Rule},
		{"attribute", r.Attribute}, {"policy", r.Policy}, {"remedy", r.Remedy},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
		}
	}
	return b.String()
}
