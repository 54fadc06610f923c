package capi

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The functions of perilune.h: roles, partitions and objects. A container is a
// partition by its number.

// roleState as it is in C.
type roleStateInfo struct {
	Flags, LoginAttemptsLeft, PrimaryAuthMech, SecondaryAuthMech byte
}

func initRolePIN(c call) error { return c.initRole(1) }

// initRole sets the first PIN of the role whose user type argument i is. The
// PIN is the next two.
func (c call) initRole(i int) error {
	pin, err := c.bytes(i + 1)
	if err != nil {
		return err
	}
	role, ok := p11.PartitionRole(ck.UserType(c.words[i]))
	if !ok {
		return ck.CKR_USER_TYPE_INVALID
	}
	return c.do(&p11.InitRole{Session: c.session(), Role: role, PIN: pin}, new(p11.None))
}

// initSlotRolePIN is for the session's own slot: no role sets PINs on another.
func initSlotRolePIN(c call) error {
	if err := c.onSlot(c.slot(1)); err != nil {
		return err
	}
	return c.initRole(2)
}

// onSlot refuses a slot that is not the session's own.
func (c call) onSlot(slot ck.SlotID) error {
	info, err := ask(c, &p11.GetSessionInfo{Session: c.session()})
	if err == nil && info.SlotID != slot {
		err = ck.CKR_USER_NOT_AUTHORIZED
	}
	return err
}

// challenge refuses to make a login challenge: this HSM has passwords only.
func challenge(call) error { return ck.CKR_CANCEL }

// zeroize and factoryReset destroy the whole HSM, so they want to be told its
// own slot.
func zeroize(c call) error      { return c.toHSM(&p11.ZeroizeHSM{}) }
func factoryReset(c call) error { return c.toHSM(&p11.FactoryReset{}) }

func (c call) toHSM(req p11.Request) error {
	if c.slot(0) != p11.AdminSlot {
		return ck.CKR_SLOT_ID_INVALID
	}
	return c.do(req, new(p11.None))
}

func zeroizePartition(c call) error {
	return c.do(&p11.ZeroizePartition{Session: c.session()}, new(p11.None))
}

func zeroizeToken(c call) error {
	if err := c.onSlot(c.slot(1)); err != nil {
		return err
	}
	return zeroizePartition(c)
}

// onAnySlot refuses a slot that there is not, for functions that are about the
// HSM of the slot that argument 0 is.
func (c call) onAnySlot() error {
	_, err := ask(c, &p11.GetSlotInfo{Slot: c.slot(0)})
	return err
}

func (c call) hsmInfo() (p11.HSMInfo, error) {
	if err := c.onAnySlot(); err != nil {
		return p11.HSMInfo{}, err
	}
	return ask(c, &p11.GetHSMInfo{})
}

// firmwareVersion tells the version that the HSM's profile has.
func firmwareVersion(c call) error {
	info, err := c.hsmInfo()
	if err != nil {
		return err
	}
	var v [3]uint64
	if _, err := fmt.Sscanf(info.Firmware, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		return fmt.Errorf("firmware %q: %w", info.Firmware, ck.CKR_GENERAL_ERROR)
	}
	c.numbers(1, v[:]...)
	return nil
}

// resetPIN is the SO's way to give the Crypto Officer another PIN.
func resetPIN(c call) error {
	pin, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.ResetRole{Session: c.session(), Role: p11.RoleCryptoOfficer, PIN: pin}, new(p11.None))
}

// role finds the state of a role of a slot by its user type.
func (c call) role(slot ck.SlotID, user ck.UserType) (p11.RoleInfo, error) {
	r, err := ask(c, &p11.ListRoles{Slot: slot})
	if err != nil {
		return p11.RoleInfo{}, err
	}
	for _, info := range r.Roles {
		if info.Role.User() == user {
			return info, nil
		}
	}
	return p11.RoleInfo{}, ck.CKR_USER_TYPE_INVALID
}

func roleState(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	info, err := c.role(ck.SlotID(c.words[0]), ck.UserType(c.words[1]))
	if err != nil {
		return err
	}
	out := roleStateInfo{LoginAttemptsLeft: byte(info.AttemptsLeft)}
	if info.Initialized {
		out.Flags |= byte(ck.CAF_ROLE_STATE_INITIALIZED)
		out.PrimaryAuthMech = byte(ck.CA_AUTH_PASSWORD)
	}
	if info.Locked {
		out.Flags |= byte(ck.CAF_ROLE_STATE_LOCKED_OUT)
	}
	if info.MustChange {
		out.Flags |= byte(ck.CAF_ROLE_STATE_PIN_CHANGE)
	}
	return cmem.Store(&out, c.ptr(2), cmem.Host)
}

// deactivate has nothing to drop: passwords are never cached.
func deactivate(c call) error {
	_, err := c.role(ck.SlotID(c.words[0]), ck.UserType(c.words[1]))
	return err
}

func adminSlot(c call) error {
	if err := c.needs(1); err != nil {
		return err
	}
	if err := c.onAnySlot(); err != nil {
		return err
	}
	set(c, 1, p11.AdminSlot)
	return nil
}

// containerNumber is the number of the partition in a slot.
func containerNumber(slot ck.SlotID) uint64 { return uint64(slot) + 1 }

// partition is the partition of a container number.
func (c call) partition(number uint64) (p11.PartitionInfo, error) {
	r, err := ask(c, &p11.ListPartitions{})
	if err != nil {
		return p11.PartitionInfo{}, err
	}
	for _, p := range r.Partitions {
		if containerNumber(p.Slot) == number {
			return p, nil
		}
	}
	return p11.PartitionInfo{}, ck.CKR_CONTAINER_HANDLE_INVALID
}

// container is the partition of the slot that argument 0 is and the container
// number that is the next; number 0 is the slot's own.
func (c call) container() (p11.PartitionInfo, error) {
	if c.number(1) == 0 {
		return c.partition(containerNumber(c.slot(0)))
	}
	return c.partition(c.number(1))
}

func containerSlot(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	p, err := c.container()
	if err != nil {
		return err
	}
	set(c, 2, p.Slot)
	return nil
}

func containerList(c call) error {
	if err := c.needs(4); err != nil {
		return err
	}
	if err := c.onAnySlot(); err != nil {
		return err
	}
	r, err := ask(c, &p11.ListPartitions{})
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, p := range r.Partitions {
		numbers = append(numbers, containerNumber(p.Slot))
	}
	return list(c, 3, numbers)
}

func containerName(c call) error {
	out, err := c.output(2)
	if err != nil {
		return err
	}
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.give(2, out, []byte(p.Name))
}

func allowedContainers(c call) error {
	if err := c.needs(1); err != nil {
		return err
	}
	info, err := c.hsmInfo()
	if err != nil {
		return err
	}
	set(c, 1, uint64(info.MaxPartitions))
	return nil
}

// modifyUsageCount sets or raises how often a key was used.
func modifyUsageCount(c call) error {
	command := c.number(2)
	if command != ck.CA_USAGE_COUNT_INCREMENT && command != ck.CA_USAGE_COUNT_SET {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.do(&p11.ModifyUsageCount{Session: c.session(), Key: c.object(1),
		Set: command == ck.CA_USAGE_COUNT_SET, Value: c.number(3)}, new(p11.None))
}

// destroyObjects destroys one object after the other; where it stops, the index
// tells.
func destroyObjects(c call) error {
	n := c.number(1)
	if c.words[3] == 0 || c.words[2] == 0 && n != 0 || n > maxBytes {
		return ck.CKR_ARGUMENTS_BAD
	}
	for i := range n {
		object := ck.ObjectHandle(c.element(2, int(i)))
		if err := c.do(&p11.DestroyObject{Session: c.session(), Object: object}, new(p11.None)); err != nil {
			set(c, 3, i)
			return err
		}
	}
	return nil
}
