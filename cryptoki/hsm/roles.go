package hsm

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// PasswordCost is what one try at a PIN costs, for Argon2id (RFC 9106).
type PasswordCost struct {
	Passes    uint32
	MemoryKiB uint32
	Threads   uint8
}

// DefaultPasswordCost takes some 10 to 20 ms. It stays resident in a process
// that logs in, which is why it is no more: the root key, without which no
// guess can be tried, is the first defence.
var DefaultPasswordCost = PasswordCost{Passes: 1, MemoryKiB: 8 * 1024, Threads: 1}

// roleRow is what is fixed about a role.
type roleRow struct {
	user  ck.UserType // what C_Login calls it
	admin bool        // it belongs to the HSM's administration, not to a partition
	// ruler sets the role's first PIN, and resets it. Roles without one are
	// made by an initialisation.
	ruler p11.Role
	// holder says that logging in opens the private objects.
	holder bool
	// tries are the consecutive failed logins that the role can bear; 0 is what
	// policy 20 of the partition says. What happens then is in failed.
	tries int
}

var roleTable = [p11.NumRoles]roleRow{
	p11.RoleHSMSO:                {user: ck.CKU_SO, admin: true, tries: 3},
	p11.RoleAuditor:              {user: ck.CKU_AUDIT, admin: true, tries: 10},
	p11.RolePartitionSO:          {user: ck.CKU_SO, tries: 10},
	p11.RoleCryptoOfficer:        {user: ck.CKU_USER, ruler: p11.RolePartitionSO, holder: true},
	p11.RoleLimitedCryptoOfficer: {user: ck.CKU_LIMITED_CRYPTO_OFFICER, ruler: p11.RoleCryptoOfficer, holder: true},
	p11.RoleCryptoUser:           {user: ck.CKU_CRYPTO_USER, ruler: p11.RoleCryptoOfficer, holder: true},
}

// threshold is how many consecutive failed logins a role of p can bear.
func (p *partition) threshold(role p11.Role) int {
	if n := roleTable[role].tries; n != 0 {
		return n
	}
	return int(p.policies.Load()[policyMaxFailedLogins])
}

// Lengths in bytes that no profile and no policy goes beyond.
const (
	leastPIN    = 4
	greatestPIN = 255
)

// rolesOn are the roles that can log in on p.
func (h *HSM) rolesOn(p *partition) (list []p11.Role) {
	h.mu.RLock()
	limited := h.info.profile().limitedOfficer
	h.mu.RUnlock()
	for role := p11.RoleHSMSO; int(role) < p11.NumRoles; role++ {
		if roleTable[role].admin == p.admin() && (role != p11.RoleLimitedCryptoOfficer || limited) {
			list = append(list, role)
		}
	}
	return list
}

// pinLengths are the least and greatest lengths in bytes of PINs on p.
func (h *HSM) pinLengths(p *partition) (least, greatest int) {
	if p.admin() {
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.info.profile().minSOPIN, greatestPIN
	}
	s := p.policies.Load()
	return 255 - int(s[policyMinPIN]), int(s[policyMaxPIN])
}

// roleState is the record of a role.
type roleState struct {
	record
	Role  p11.Role
	Salt  []byte
	Cost  PasswordCost
	Check []byte // opens under the role's key if the password is right
	// Wrap is the partition key under the role's key; empty where the role
	// holds none. Who holds one is decided here, by cryptography.
	Wrap     []byte
	Failures int // tries begun since the last success
	// MustChange says that somebody else set the PIN, and policy 21 of the HSM
	// wants the role to set its own before anything else.
	MustChange bool `json:",omitempty"`
	Created    string
}

// locked reports whether a role of p has no try left.
func (p *partition) locked(r *roleState) bool { return r.Failures >= p.threshold(r.Role) }

func (p *partition) attemptsLeft(r *roleState) int { return max(0, p.threshold(r.Role)-r.Failures) }

// roleKey is what a password opens.
type roleKey struct{ aead cipher.AEAD }

var checkText = []byte("perilune password check")

// newRoleState makes the record of a role that holds secret, which may be nil.
func (h *HSM) newRoleState(space store.Space, role p11.Role, pin, secret []byte) (*roleState, error) {
	r := &roleState{Role: role, Salt: randomBytes(16), Cost: h.opts.Password, Created: h.timestamp()}
	key, err := h.roleKey(space, r, pin)
	if err != nil {
		return nil, err
	}
	r.Check = key.aead.Seal(nil, nil, checkText, []byte("check"))
	if secret != nil {
		r.Wrap = key.aead.Seal(nil, nil, secret, []byte("partition key"))
	}
	return r, nil
}

// roleKey is derived from the password by Argon2id and from the root key, so
// that neither the password nor the files alone are of use.
func (h *HSM) roleKey(space store.Space, r *roleState, pin []byte) (*roleKey, error) {
	if r.Cost.Passes == 0 || r.Cost.Threads == 0 {
		return nil, fmt.Errorf("role record without password cost: %w", store.ErrCorrupt)
	}
	stretched := argon2.IDKey(pin, r.Salt, r.Cost.Passes, r.Cost.MemoryKiB, r.Cost.Threads, 32)
	defer clear(stretched)
	pepper, err := h.root.Derive(fmt.Sprintf("role %d of %d", r.Role, space), r.Salt)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, append(pepper, stretched...), nil, "perilune role key", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	return &roleKey{aead}, err
}

// check reports whether the password was right.
func (k *roleKey) check(r *roleState) bool {
	_, err := k.aead.Open(nil, nil, r.Check, []byte("check"))
	return err == nil
}

// secret returns the partition key that the role holds, nil if it holds none.
func (k *roleKey) secret(r *roleState) ([]byte, error) {
	if len(r.Wrap) == 0 {
		return nil, nil
	}
	secret, err := k.aead.Open(nil, nil, r.Wrap, []byte("partition key"))
	if err != nil {
		return nil, fmt.Errorf("partition key of the %s does not open: %w", r.Role, store.ErrCorrupt)
	}
	return secret, nil
}

// readRoles reads the roles of a space.
func (h *HSM) readRoles(tx store.Tx, space store.Space) (map[p11.Role]*roleState, error) {
	recs, err := tx.List(space, kindRole, 0, 0)
	if err != nil {
		return nil, err
	}
	roles := map[p11.Role]*roleState{}
	for _, rec := range recs {
		r := new(roleState)
		if err := h.openMeta(rec, &r.record, r); err != nil {
			return nil, err
		}
		if r.Role == p11.RoleNone || int(r.Role) >= p11.NumRoles {
			return nil, fmt.Errorf("record %d: unknown role %d: %w", rec.Ref, r.Role, store.ErrCorrupt)
		}
		roles[r.Role] = r
	}
	return roles, nil
}

// viewRoles reads the roles of a space in a transaction of its own.
func (h *HSM) viewRoles(ctx context.Context, space store.Space) (roles map[p11.Role]*roleState, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		roles, err = h.readRoles(tx, space)
		return err
	})
	return roles, storeError(err)
}

// putRole inserts a role, or replaces the one that is there.
func (h *HSM) putRole(tx store.Tx, space store.Space, r *roleState) error {
	roles, err := h.readRoles(tx, space)
	if err != nil {
		return err
	}
	if old := roles[r.Role]; old != nil {
		r.record = old.record
		return h.replaceMeta(tx, space, kindRole, &r.record, r)
	}
	return h.insertMeta(tx, space, kindRole, &r.record, r)
}

// lockRole serialises all tries at a role's password, of all processes. So at
// most one is under way, and a failure that is counted but was never settled
// belongs to a process that was killed.
func (h *HSM) lockRole(ctx context.Context, space store.Space, role p11.Role) (release func(), err error) {
	release, err = h.store.Lock(ctx, fmt.Sprintf("role-%d-%d", space, role))
	return release, storeError(err)
}

// authenticate checks a password and returns the partition key that the role
// holds. The try is counted durably before the password is looked at, and the
// count is cleared after success, so that killing the process gains nothing.
func (h *HSM) authenticate(ctx context.Context, p *partition, role p11.Role, pin []byte) ([]byte, error) {
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return nil, err
	}
	defer release()
	return h.authenticateLocked(ctx, p, role, pin)
}

func (h *HSM) authenticateLocked(ctx context.Context, p *partition, role p11.Role, pin []byte) ([]byte, error) {
	if len(pin) < leastPIN || len(pin) > greatestPIN {
		// No such PIN can have been set, so nothing was guessed.
		return nil, fmt.Errorf("PIN of %d bytes: %w", len(pin), ck.CKR_PIN_INCORRECT)
	}
	r, err := h.countTry(ctx, p, role)
	if err != nil {
		return nil, err
	}
	key, err := h.roleKey(p.space, r, pin)
	if err != nil {
		return nil, storeError(err)
	}
	if !key.check(r) {
		return nil, h.failed(ctx, p, r)
	}
	secret, err := key.secret(r)
	if err != nil {
		return nil, storeError(err)
	}
	return secret, h.clearFailures(ctx, p, r)
}

// countTry notes durably that a try begins.
func (h *HSM) countTry(ctx context.Context, p *partition, role p11.Role) (*roleState, error) {
	var r *roleState
	var spent bool // the last try was begun before and not passed
	err := h.store.Update(ctx, func(tx store.Tx) error {
		roles, err := h.readRoles(tx, p.space)
		if err != nil {
			return err
		}
		if r = roles[role]; r == nil {
			return fmt.Errorf("the %s has no PIN yet: %w", role, ck.CKR_USER_PIN_NOT_INITIALIZED)
		}
		if co := roles[p11.RoleCryptoOfficer]; role == p11.RoleCryptoUser && co != nil && p.locked(co) {
			return fmt.Errorf("the %s is locked out with the %s: %w", role, co.Role, ck.CKR_PIN_LOCKED)
		}
		if spent = p.locked(r); spent {
			return nil
		}
		r.Failures++
		return h.replaceMeta(tx, p.space, kindRole, &r.record, r)
	})
	if err != nil {
		return nil, storeError(err)
	}
	if spent {
		// A process killed in its last try left this; for the Crypto roles
		// it is simply the state of being locked.
		if err := h.punish(ctx, p, role); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("the %s is locked out: %w", role, ck.CKR_PIN_LOCKED)
	}
	return r, nil
}

// failed settles a try with a wrong password.
func (h *HSM) failed(ctx context.Context, p *partition, r *roleState) error {
	left := p.attemptsLeft(r)
	if left > 0 {
		return fmt.Errorf("wrong PIN for the %s, %d tries left: %w", r.Role, left, ck.CKR_PIN_INCORRECT)
	}
	h.log.Warn("too many wrong PINs", "role", r.Role.String(), "slot", uint64(p.slot))
	if err := h.punish(ctx, p, r.Role); err != nil {
		return err
	}
	if r.Role == p11.RoleHSMSO {
		return ck.CKR_SO_LOGIN_FAILURE_THRESHOLD
	}
	return fmt.Errorf("wrong PIN for the %s, and it was the last try: %w", r.Role, ck.CKR_PIN_INCORRECT)
}

// punish is what happens when a role reaches its threshold: the Crypto roles
// stay locked by their counters, the SO's domain is zeroized.
func (h *HSM) punish(ctx context.Context, p *partition, role p11.Role) error {
	switch role {
	case p11.RoleHSMSO:
		return h.zeroizeHSM(ctx, true)
	case p11.RolePartitionSO:
		return h.zeroizePartition(ctx, p.space, false)
	}
	return nil
}

// clearFailures notes a success.
func (h *HSM) clearFailures(ctx context.Context, p *partition, r *roleState) error {
	return storeError(h.store.Update(ctx, func(tx store.Tx) error {
		fresh := *r
		fresh.Failures = 0
		return h.replaceMeta(tx, p.space, kindRole, &fresh.record, &fresh)
	}))
}

// verifyPIN checks the password of a role without logging in, for
// CKU_CONTEXT_SPECIFIC. Failures count as for a login.
func (h *HSM) verifyPIN(ctx context.Context, p *partition, role p11.Role, pin []byte) error {
	secret, err := h.authenticate(ctx, p, role, pin)
	clear(secret)
	return err
}

// setPIN gives a role a password and the partition key, and clears its counter.
func (h *HSM) setPIN(ctx context.Context, p *partition, role p11.Role, pin, secret []byte) error {
	r, err := h.newRoleState(p.space, role, pin, secret)
	if err != nil {
		return err
	}
	epoch := p.stateNow().Epoch
	return storeError(h.store.Update(ctx, func(tx store.Tx) error {
		if _, err := h.sameEpoch(tx, p, epoch); err != nil {
			return err
		}
		return h.putRole(tx, p.space, r)
	}))
}

// sameEpoch returns the partition's record as it is now, and fails if another process initialised or deleted the partition
// meanwhile: a key wrapped now would belong to nothing.
func (h *HSM) sameEpoch(tx store.Tx, p *partition, epoch []byte) (*partitionState, error) {
	if p.admin() {
		return &partitionState{}, nil
	}
	_, s, err := h.readPartition(tx, p.space)
	if err != nil {
		return nil, err
	}
	if s == nil || string(s.Epoch) != string(epoch) {
		return nil, fmt.Errorf("the partition was initialised anew meanwhile: %w", ck.CKR_DEVICE_REMOVED)
	}
	return s, nil
}

// checkPIN says whether a role of p may have this PIN from now on.
func (h *HSM) checkPIN(p *partition, pin []byte) error {
	least, greatest := h.pinLengths(p)
	return checkPINLength(pin, least, greatest)
}

func checkPINLength(pin []byte, least, greatest int) error {
	if len(pin) < least || len(pin) > greatest {
		return fmt.Errorf("a PIN has %d to %d bytes, this one %d: %w", least, greatest, len(pin), ck.CKR_PIN_LEN_RANGE)
	}
	return nil
}

// zeroizePartition destroys the contents of a partition, keys first; with
// remove the partition too.
func (h *HSM) zeroizePartition(ctx context.Context, space store.Space, remove bool) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		_, s, err := h.readPartition(tx, space)
		if err != nil || s == nil {
			return err
		}
		s.Removing = remove
		return h.destroyKeys(tx, s)
	})
	if err == nil {
		err = h.scrub(ctx)
	}
	if err == nil {
		err = h.wipe(ctx, space)
	}
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

// zeroizeHSM destroys the HSM SO and all partitions, all keys before any
// object.
func (h *HSM) zeroizeHSM(ctx context.Context, byFailure bool) error {
	var spaces []store.Space
	err := h.store.Update(ctx, func(tx store.Tx) error {
		spaces = nil
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		for i := range m.parts {
			s := &m.parts[i]
			s.Removing = true
			spaces = append(spaces, spaceOf(s.Number))
			if err := h.destroyKeys(tx, s); err != nil {
				return err
			}
		}
		if err := deleteAll(tx, 0, kindRole); err != nil {
			return err
		}
		m.hsm.Initialized, m.hsm.Zeroized, m.hsm.Label = false, byFailure, ""
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err == nil {
		err = h.scrub(ctx)
	}
	for _, space := range spaces {
		if err == nil {
			err = h.wipe(ctx, space)
		}
	}
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}
