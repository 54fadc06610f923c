package hsm

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/perilune/perilune/cryptoki/audit"
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
	admin bool // it belongs to the HSM's administration, not to a partition
	// ruler sets the role's first PIN, and resets it. Roles without one are
	// made by an initialisation.
	ruler p11.Role
	// holder says that logging in opens the private objects.
	holder bool
	// rw says that it logs in only where no session is R/O.
	rw bool
	// tries are the consecutive failed logins that the role can bear; 0 is what
	// policy 20 of the partition says. What happens then is in punish.
	tries int
	// pause is after what time a locked role unlocks by itself; 0 for never.
	pause time.Duration
	// lastTry is what a login answers that uses up the last try, locked what
	// every later one does; beyond is the rule of both, if it is one of its own.
	lastTry, locked ck.RV
	beyond          refusal
	// fate is what the last try brings upon the role, in words.
	fate string
}

var roleTable = [p11.NumRoles]roleRow{
	p11.RoleHSMSO: {admin: true, rw: true, tries: 3,
		lastTry: ck.CKR_SO_LOGIN_FAILURE_THRESHOLD, locked: ck.CKR_SO_LOGIN_FAILURE_THRESHOLD, beyond: refuseSOThreshold, fate: "the HSM is zeroized"},
	p11.RoleAuditor: {admin: true, rw: true, tries: 10, pause: 10 * time.Minute,
		lastTry: ck.CKR_AUDIT_LOGIN_FAILURE_THRESHOLD, locked: ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS, fate: "locked for 10 minutes"},
	p11.RolePartitionSO: {rw: true, tries: 10,
		lastTry: ck.CKR_PIN_INCORRECT, locked: ck.CKR_PIN_LOCKED, fate: "the partition is zeroized"},
	p11.RoleCryptoOfficer: {ruler: p11.RolePartitionSO, holder: true,
		lastTry: ck.CKR_PIN_INCORRECT, locked: ck.CKR_PIN_LOCKED, fate: "locked"},
	p11.RoleLimitedCryptoOfficer: {ruler: p11.RoleCryptoOfficer, holder: true,
		lastTry: ck.CKR_PIN_INCORRECT, locked: ck.CKR_PIN_LOCKED, fate: "locked"},
	p11.RoleCryptoUser: {ruler: p11.RoleCryptoOfficer, holder: true,
		lastTry: ck.CKR_PIN_INCORRECT, locked: ck.CKR_PIN_LOCKED, fate: "locked"},
}

// mostTries is more than which no policy lets a role bear.
const mostTries = 10

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
	for role := p11.RoleHSMSO; int(role) < p11.NumRoles; role++ {
		if roleTable[role].admin == p.admin() && (role != p11.RoleLimitedCryptoOfficer || h.profile().limitedOfficer) {
			list = append(list, role)
		}
	}
	return list
}

// pinLengths are the least and greatest lengths in bytes of PINs on p.
func (h *HSM) pinLengths(p *partition) (least, greatest int) {
	if p.admin() {
		return h.profile().minSOPIN, greatestPIN
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
	Wrap []byte
	// Least is the least length in bytes that PINs had to have when this one
	// was set; 0 in records of old versions, where it was 4.
	Least    int `json:",omitempty"`
	Failures int // tries begun since the last success
	// Locked says that the last try was begun, at LockedAt, and not passed.
	Locked   bool      `json:",omitempty"`
	LockedAt time.Time `json:",omitzero"`
	// MustChange says that somebody else set the PIN, and policy 21 of the HSM
	// wants the role to set its own before anything else.
	MustChange bool `json:",omitempty"`
	Created    string
}

// begin counts a try. A role whose pause is over begins anew.
func (r *roleState) begin(threshold int, now time.Time) {
	if r.Locked {
		r.Failures = 0
	}
	r.Failures++
	r.Locked, r.LockedAt = r.Failures >= threshold, time.Time{}
	if r.Locked {
		r.LockedAt = now.UTC()
	}
}

// pass notes a success.
func (r *roleState) pass() { r.Failures, r.Locked, r.LockedAt = 0, false, time.Time{} }

// locked reports whether a role has no try now.
func (h *HSM) locked(r *roleState) bool {
	row := &roleTable[r.Role]
	if row.pause != 0 {
		return r.Locked && r.lockedUntil().After(h.opts.Now())
	}
	// Records of old versions have no other mark than the number.
	return r.Locked || r.Failures >= mostTries || row.tries != 0 && r.Failures >= row.tries
}

// lockedUntil is when a role unlocks by itself; the zero time for never.
func (r *roleState) lockedUntil() time.Time {
	if pause := roleTable[r.Role].pause; pause != 0 && r.Locked {
		return r.LockedAt.Add(pause)
	}
	return time.Time{}
}

// attemptsLeft are the tries that a role of p has now.
func (h *HSM) attemptsLeft(p *partition, r *roleState) int {
	switch {
	case h.locked(r):
		return 0
	case r.Locked: // the pause is over
		return p.threshold(r.Role)
	}
	return max(1, p.threshold(r.Role)-r.Failures)
}

// roleKey is what a password opens.
type roleKey struct{ aead cipher.AEAD }

var checkText = []byte("perilune password check")

// newRoleState makes the record of a role whose PIN has at least so many bytes,
// and who holds secret, which may be nil.
func (h *HSM) newRoleState(space store.Space, role p11.Role, pin []byte, least int, secret []byte) (*roleState, error) {
	r := &roleState{Role: role, Salt: randomBytes(16), Cost: h.opts.Password, Least: least, Created: h.timestamp()}
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
		err := h.openMeta(rec, &r.record, r)
		if isDamage(err) {
			h.noteDamage(&rec, err)
			continue
		}
		if err != nil {
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
	if n, err := tx.Count(space, kindRole); err != nil || n != uint64(len(roles)) {
		return cmp.Or(err, errDamagedRole) // the damaged one may be this role's
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

// authenticate checks a password. The try is counted durably before the password is looked at, and the
// count is cleared after success, so that killing the process gains nothing.
func (h *HSM) authenticate(ctx context.Context, p *partition, role p11.Role, pin []byte) (*passed, error) {
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return nil, err
	}
	defer release()
	return h.authenticateLocked(ctx, p, role, pin)
}

func (h *HSM) authenticateLocked(ctx context.Context, p *partition, role p11.Role, pin []byte) (*passed, error) {
	r, err := h.countTry(ctx, p, role, len(pin))
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
	return h.succeeded(ctx, p, r, key)
}

// passed is what a right PIN gives.
type passed struct {
	secret     []byte // the partition key, nil if the role holds none
	mustChange bool
	shared     bool // it is the login of an application id
}

// countTry notes durably that a try begins, with a PIN of n bytes.
func (h *HSM) countTry(ctx context.Context, p *partition, role p11.Role, n int) (*roleState, error) {
	var r *roleState
	var spent bool // the last try was begun before and not passed
	err := h.store.Update(ctx, func(tx store.Tx) error {
		roles, err := h.readRoles(tx, p.space)
		if err != nil {
			return err
		}
		if r = roles[role]; r == nil {
			return h.absent(tx, p.space, role)
		}
		if err := h.lockedWith(role, roles); err != nil {
			return err
		}
		now := h.opts.Now()
		if spent = h.locked(r); spent {
			if roleTable[role].pause == 0 || !now.Before(r.LockedAt) {
				return nil
			}
			r.LockedAt = now.UTC() // the clock was set back: the pause must not last for ever
		} else if n < max(r.Least, leastPIN) || n > greatestPIN {
			// It cannot be the PIN, so nothing was guessed.
			return deny(refuseTryLength, "the PIN of the %s has another length than %d bytes", role, n)
		} else {
			r.begin(p.threshold(role), now)
		}
		return h.replaceMeta(tx, p.space, kindRole, &r.record, r)
	})
	if err != nil {
		return nil, storeError(err)
	}
	if spent {
		// A process that was killed in its last try may have left this.
		if err := h.punish(ctx, p, role); err != nil {
			return nil, err
		}
		row := &roleTable[role]
		return nil, recoded(deny(cmp.Or(row.beyond, refusePINLocked), "the %s is locked out", role), row.locked)
	}
	return r, nil
}

// lockedWith is the error for roles that the Crypto Officer's lock locks too.
func (h *HSM) lockedWith(role p11.Role, roles map[p11.Role]*roleState) error {
	co := roles[p11.RoleCryptoOfficer]
	if roleTable[role].ruler == p11.RoleCryptoOfficer && co != nil && h.locked(co) {
		return deny(refusePINLocked, "the %s is locked out with the %s", role, co.Role)
	}
	return nil
}

// failed settles a try with a wrong password.
func (h *HSM) failed(ctx context.Context, p *partition, r *roleState) error {
	if !r.Locked {
		return deny(refusePINWrong, "wrong PIN for the %s, %d tries left", r.Role, h.attemptsLeft(p, r))
	}
	h.log.Warn("too many wrong PINs", "role", r.Role.String(), "slot", uint64(p.slot))
	if err := h.punish(ctx, p, r.Role); err != nil {
		return err
	}
	row := &roleTable[r.Role]
	return recoded(deny(cmp.Or(row.beyond, refusePINWrong), "wrong PIN for the %s, and it was the last try: %s", r.Role, row.fate), row.lastTry)
}

// punish is what happens when a role reaches its threshold: an SO's domain is
// zeroized. The others stay locked; and where nobody may unlock the Crypto
// Officer, nothing is left that could.
func (h *HSM) punish(ctx context.Context, p *partition, role p11.Role) error {
	switch {
	case role == p11.RoleHSMSO:
		return h.auditAct(ctx, audit.Zeroize, "the HSM, after too many wrong PINs of the HSM SO", func() error {
			return h.zeroizeHSM(ctx, false)
		})
	case role == p11.RolePartitionSO:
		return h.auditAct(ctx, audit.Zeroize, "partition "+h.serial(p)+", after too many wrong PINs of its SO", func() error {
			return h.zeroizePartition(ctx, p.space, false)
		})
	case role == p11.RoleCryptoOfficer && !h.policies().on(policySOResetsPIN):
		return h.auditAct(ctx, audit.Zeroize, "private keys of partition "+h.serial(p)+", after too many wrong PINs of the Crypto Officer", func() error {
			return h.destroyWraps(ctx, p.space)
		})
	}
	return nil
}

// succeeded clears the count and opens the partition key. Another process may
// have taken the key from the role while the password was checked.
func (h *HSM) succeeded(ctx context.Context, p *partition, r *roleState, key *roleKey) (*passed, error) {
	var now *roleState
	err := h.store.Update(ctx, func(tx store.Tx) error {
		roles, err := h.readRoles(tx, p.space)
		if err != nil {
			return err
		}
		if now = roles[r.Role]; now == nil || now.ref != r.ref {
			return fmt.Errorf("the %s was destroyed meanwhile: %w", r.Role, ck.CKR_DEVICE_REMOVED)
		}
		if err := h.lockedWith(r.Role, roles); err != nil {
			return err
		}
		now.pass()
		return h.replaceMeta(tx, p.space, kindRole, &now.record, now)
	})
	if err != nil {
		return nil, storeError(err)
	}
	secret, err := key.secret(now)
	if err != nil {
		return nil, storeError(err)
	}
	return &passed{secret: secret, mustChange: now.MustChange}, nil
}

// verifyPIN checks the password of a role without logging in, for
// CKU_CONTEXT_SPECIFIC. Failures count as for a login.
func (h *HSM) verifyPIN(ctx context.Context, p *partition, role p11.Role, pin []byte) error {
	ok, err := h.authenticate(ctx, p, role, pin)
	if err == nil {
		clear(ok.secret)
	}
	return err
}

// setPIN gives a role a password and the partition key, and clears its counter.
// By says that another role does it, so that policy 21 may ask for a change.
func (h *HSM) setPIN(ctx context.Context, p *partition, role p11.Role, pin, secret []byte, by bool) error {
	least, _ := h.pinLengths(p)
	r, err := h.newRoleState(p.space, role, pin, least, secret)
	if err != nil {
		return err
	}
	r.MustChange = by && h.policies().on(policyForcePINChange)
	epoch := p.stateNow().Epoch
	taken := false
	err = h.store.Update(ctx, func(tx store.Tx) error {
		if _, _, err := h.sameEpoch(tx, p, epoch); err != nil {
			return err
		}
		if err := h.putRole(tx, p.space, r); err != nil {
			return err
		}
		taken, err = h.takeSOKey(tx, p.space, h.policies())
		return err
	})
	if err != nil {
		return storeError(err)
	}
	if taken {
		return h.clean(ctx)
	}
	return nil
}

// takeSOKey takes the partition key from the Partition SO, once there is a
// Crypto Officer, unless policy 15 of the HSM lets the SO reset the officer's
// PIN. It reports whether anything was taken.
func (h *HSM) takeSOKey(tx store.Tx, space store.Space, s *settings) (bool, error) {
	roles, err := h.readRoles(tx, space)
	if err != nil {
		return false, err
	}
	so := roles[p11.RolePartitionSO]
	if so == nil || len(so.Wrap) == 0 || roles[p11.RoleCryptoOfficer] == nil || s.on(policySOResetsPIN) {
		return false, nil
	}
	so.Wrap = nil
	if err := h.replaceMeta(tx, space, kindRole, &so.record, so); err != nil {
		return false, err
	}
	if err := h.unshare(tx, space, p11.RolePartitionSO); err != nil {
		return false, err
	}
	return true, h.markUnclean(tx)
}

// sameEpoch is readPartition, and fails if another process initialised or deleted
// the partition meanwhile: a key wrapped now would belong to nothing.
func (h *HSM) sameEpoch(tx store.Tx, p *partition, epoch []byte) (*metaState, *partitionState, error) {
	m, s, err := h.readPartition(tx, p.space)
	if err != nil || p.admin() {
		return m, &partitionState{}, err
	}
	if s == nil || string(s.Epoch) != string(epoch) {
		return nil, nil, fmt.Errorf("the partition was initialised anew meanwhile: %w", ck.CKR_DEVICE_REMOVED)
	}
	return m, s, nil
}

// checkPIN says whether a role of p may have this PIN from now on.
func (h *HSM) checkPIN(p *partition, pin []byte) error {
	least, greatest := h.pinLengths(p)
	return h.profile().checkPIN(pin, least, greatest)
}

func (prof *profile) checkPIN(pin []byte, least, greatest int) error {
	if len(pin) < least || len(pin) > greatest {
		return deny(refusePINLength, "a PIN has %d to %d bytes, this one %d", least, greatest, len(pin))
	}
	if !prof.pins.allows(pin) {
		return deny(refusePINCharacters, "a PIN has letters, digits, spaces but at its beginning, and%s", prof.pins)
	}
	return nil
}
