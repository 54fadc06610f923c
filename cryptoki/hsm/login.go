package hsm

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// roleOf is the role that a user type names on a slot.
func (h *HSM) roleOf(p *partition, user ck.UserType) (p11.Role, error) {
	for _, role := range h.rolesOn(p) {
		if role.IsUser(user) {
			return role, nil
		}
	}
	return 0, deny(refuseUserType, "user type %#x", uint64(user))
}

// handleLogin serves C_Login and C_LoginUser (PKCS#11 v3.1 sections 5.6.8 and
// 5.6.9). The login is the application's, on all its sessions of the slot.
func (h *HSM) handleLogin(ctx context.Context, s *session, q *p11.Login, _ *p11.None) error {
	if q.User == ck.CKU_CONTEXT_SPECIFIC {
		return h.contextLogin(ctx, s, q)
	}
	p := s.part
	role, err := h.roleOf(p, q.User)
	if err != nil {
		return err
	}
	if q.Username != "" && !strings.EqualFold(q.Username, role.String()) {
		return deny(refuseUserType, "there is no %s named %q", role, q.Username)
	}
	p.mu.RLock()
	err = p.mayLogin(role)
	p.mu.RUnlock()
	if err != nil {
		return err
	}
	ok, err := h.authenticate(ctx, p, role, q.PIN)
	if err != nil {
		return err
	}
	if err := p.logIn(role, ok); err != nil {
		return err
	}
	return h.shareLogin(ctx, p)
}

// mayLogin is the part of a login that the PIN does not matter for. The caller
// holds p.mu.
func (p *partition) mayLogin(role p11.Role) error {
	switch {
	case p.who().role == role:
		return deny(refuseSameRole, "the %v is logged in already", role)
	case p.who().role != p11.RoleNone:
		return deny(refuseOtherRole, "the %v is logged in", p.who().role)
	case !p.admin() && !p.state.Initialized:
		return deny(refuseNoPIN, "the token is not initialised")
	case roleTable[role].rw && p.nRW < p.nSessions:
		return deny(refuseReadOnlyExists, "a R/O session is open")
	}
	return nil
}

// logIn makes role the one logged in.
func (p *partition) logIn(role p11.Role, ok *passed) error {
	var keys *spaceKeys
	if ok.secret != nil && roleTable[role].holder {
		var err error
		if keys, err = p.objectKeys(ok.secret); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost || p.nSessions == 0 {
		return ck.CKR_SESSION_HANDLE_INVALID
	}
	if err := p.mayLogin(role); err != nil {
		return err // another thread was faster
	}
	p.login.Store(&presence{role: role, mustChange: ok.mustChange, shared: ok.shared, keys: keys, secret: ok.secret})
	return nil
}

// objectKeys are the keys of private objects, made from the partition key and
// the salt that makes them forgettable.
func (p *partition) objectKeys(secret []byte) (*spaceKeys, error) {
	salt := p.stateNow().ObjectSalt
	if len(salt) == 0 { // a partition of old
		return newSpaceKeys(secret)
	}
	salted, err := hkdf.Key(sha256.New, secret, salt, "perilune private objects", 32)
	if err != nil {
		return nil, err
	}
	defer clear(salted)
	return newSpaceKeys(salted)
}

// contextLogin authenticates the one operation of the session that waits for
// it (CKA_ALWAYS_AUTHENTICATE).
func (h *HSM) contextLogin(ctx context.Context, s *session, q *p11.Login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	role := s.role()
	if role == p11.RoleNone {
		return deny(refuseNotLoggedIn, "nobody is logged in")
	}
	op := s.contextOperation()
	if op == nil {
		return fmt.Errorf("no operation waits for a login of its own: %w", ck.CKR_OPERATION_NOT_INITIALIZED)
	}
	if err := h.verifyPIN(ctx, s.part, role, q.PIN); err != nil {
		return err
	}
	op.authenticated = true
	return nil
}

func (h *HSM) handleLogout(ctx context.Context, s *session, _ *p11.Logout, _ *p11.None) error {
	p := s.part
	p.mu.Lock()
	if p.who().role == p11.RoleNone {
		p.mu.Unlock()
		return deny(refuseNotLoggedIn, "nobody is logged in")
	}
	shared := p.who().shared
	h.forgetLogin(p)
	p.mu.Unlock()
	h.cancelOperations(p)
	if shared {
		return h.shareLogin(ctx, p)
	}
	return nil
}

// cancelOperations ends what a login opened.
func (h *HSM) cancelOperations(p *partition) {
	// Operations may work with private keys, searches may list private
	// objects: they end with the login (section 5.6.10).
	for _, s := range h.sessionsOf(p) {
		s.mu.Lock()
		s.cancelAll()
		s.search = nil
		s.mu.Unlock()
	}
}

// forgetLogin drops the login and all that it opened. The caller holds p.mu.
func (h *HSM) forgetLogin(p *partition) {
	clear(p.who().secret)
	p.login.Store(&nobody)
	h.dropPrivate(p)
}

// forgetTaken drops the partition key of the Partition SO where the role no
// longer holds it, because this or another process took it.
func (h *HSM) forgetTaken(tx store.Tx, p *partition) error {
	if !p.soHolds() {
		return nil
	}
	roles, err := h.readRoles(tx, p.space)
	if err != nil {
		return err
	}
	if so := roles[p11.RolePartitionSO]; so != nil && len(so.Wrap) > 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if who := p.who(); who.role == p11.RolePartitionSO {
		clear(who.secret)
		p.relogin(func(l *presence) { l.secret = nil })
	}
	return nil
}

// soHolds reports whether the Partition SO is logged in here with the partition
// key.
func (p *partition) soHolds() bool {
	who := p.who()
	return who.role == p11.RolePartitionSO && who.secret != nil
}

// handleInitPIN sets the Crypto Officer's PIN, whether it has one or not.
func (h *HSM) handleInitPIN(ctx context.Context, s *session, q *p11.InitPIN, _ *p11.None) error {
	return h.ruleRole(ctx, s, p11.RoleCryptoOfficer, q.PIN, anyway)
}

func (h *HSM) handleInitRole(ctx context.Context, s *session, q *p11.InitRole, _ *p11.None) error {
	return h.ruleRole(ctx, s, q.Role, q.PIN, first)
}

func (h *HSM) handleResetRole(ctx context.Context, s *session, q *p11.ResetRole, _ *p11.None) error {
	return h.ruleRole(ctx, s, q.Role, q.PIN, again)
}

// settingOf says whether a role must have a PIN already when another sets it.
type settingOf int

const (
	first settingOf = iota
	again
	anyway
)

// ruleRole sets the PIN of a role from the session of the role that rules it.
// The keys stay: the ruler has the partition key and gives it on.
func (h *HSM) ruleRole(ctx context.Context, s *session, role p11.Role, pin []byte, how settingOf) error {
	p := s.part
	if err := h.mayRule(s, role); err != nil {
		return err
	}
	if err := h.checkPIN(p, pin); err != nil {
		return err
	}
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return err
	}
	defer release()
	roles, err := h.viewRoles(ctx, p.space)
	if err != nil {
		return err
	}
	if err := h.maySet(role, roles[role] != nil, how); err != nil {
		return err
	}
	secret := p.copySecret()
	defer clear(secret)
	if len(secret) == 0 {
		return deny(refuseNoKey, "the %s does not hold the partition key, so it cannot give it to the %s", s.role(), role)
	}
	return h.setPIN(ctx, p, role, pin, secret, true)
}

// mayRule says whether the role logged in sets the PIN of role.
func (h *HSM) mayRule(s *session, role p11.Role) error {
	if !slices.Contains(h.rolesOn(s.part), role) || roleTable[role].ruler == p11.RoleNone {
		return deny(refuseUserType, "nobody sets the PIN of the %s for it", role)
	}
	if acting, _ := s.acting(); acting != roleTable[role].ruler {
		return deny(refuseRole, "the %s sets the PIN of the %s", roleTable[role].ruler, role)
	}
	return nil
}

// maySet says whether the PIN of a role may be set, which exists or not.
func (h *HSM) maySet(role p11.Role, exists bool, how settingOf) error {
	switch {
	case how == again && !exists:
		return deny(refuseNoPIN, "the %s has no PIN yet", role)
	case how == first && exists:
		return deny(refuseRoleHasPIN, "the %s has a PIN already; reset it", role)
	case exists && role == p11.RoleCryptoOfficer && !h.policies().on(policySOResetsPIN):
		return deny(refuseSOReset, "the %s cannot reset the PIN of the %s, for HSM policy %d is off", p11.RolePartitionSO, role, policySOResetsPIN)
	}
	return nil
}

// handleSetPIN changes the PIN of the role logged in, or with nobody logged in
// the Crypto Officer's (section 5.5.8). A wrong old PIN counts as a failed login.
func (h *HSM) handleSetPIN(ctx context.Context, s *session, q *p11.SetPIN, _ *p11.None) error {
	p := s.part
	if err := h.checkPIN(p, q.New); err != nil {
		return err
	}
	role := s.role()
	if role == p11.RoleNone {
		role = p11.RoleCryptoOfficer
		if p.admin() {
			role = p11.RoleHSMSO
		}
	}
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return err
	}
	defer release()
	ok, err := h.authenticateLocked(ctx, p, role, q.Old)
	if err != nil {
		return err
	}
	defer clear(ok.secret)
	if err := h.setPIN(ctx, p, role, q.New, ok.secret, false); err != nil {
		return err
	}
	p.mu.Lock()
	if p.who().role == role {
		p.relogin(func(l *presence) { l.mustChange = false })
	}
	shared := p.who().shared
	p.mu.Unlock()
	if shared {
		return h.shareLogin(ctx, p)
	}
	return nil
}
