package hsm

import (
	"context"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// roleOf is the role that a user type names on a slot.
func (h *HSM) roleOf(p *partition, user ck.UserType) (p11.Role, error) {
	if user == ck.CKU_LIMITED_USER_OLD {
		user = ck.CKU_CRYPTO_USER
	}
	for _, role := range h.rolesOn(p) {
		if roleTable[role].user == user {
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
	secret, err := h.authenticate(ctx, p, role, q.PIN)
	if err != nil {
		return err
	}
	if err := p.logIn(role, secret); err != nil {
		return err
	}
	return h.shareLogin(ctx, p)
}

// mayLogin is the part of a login that the PIN does not matter for. The caller
// holds p.mu.
func (p *partition) mayLogin(role p11.Role) error {
	switch {
	case p.role == role:
		return deny(refuseSameRole, "the %v is logged in already", role)
	case p.role != p11.RoleNone:
		return deny(refuseOtherRole, "the %v is logged in", p.role)
	case !p.admin() && !p.state.Initialized:
		return deny(refuseNoPIN, "the token is not initialised")
	case (role == p11.RolePartitionSO || role == p11.RoleHSMSO) && p.nRW < p.nSessions:
		return deny(refuseReadOnlyExists, "a R/O session is open")
	}
	return nil
}

// logIn makes role the one logged in.
func (p *partition) logIn(role p11.Role, secret []byte) error {
	var keys *spaceKeys
	if secret != nil && roleTable[role].holder {
		var err error
		if keys, err = newSpaceKeys(secret); err != nil {
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
	p.role, p.keys, p.secret = role, keys, secret
	return nil
}

// contextLogin authenticates the one operation of the session that waits for
// it (CKA_ALWAYS_AUTHENTICATE).
func (h *HSM) contextLogin(ctx context.Context, s *session, q *p11.Login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	role := s.role()
	if role == p11.RoleNone {
		return ck.CKR_USER_NOT_LOGGED_IN
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
	if p.role == p11.RoleNone {
		p.mu.Unlock()
		return ck.CKR_USER_NOT_LOGGED_IN
	}
	shared := p.shared
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
	clear(p.secret)
	p.role, p.keys, p.secret, p.mustChange, p.shared = p11.RoleNone, nil, nil, false, false
	h.dropPrivate(p)
}

// handleInitPIN sets the Crypto Officer's PIN. If the officer had one, the keys
// stay: the SO's own wrap opens them.
func (h *HSM) handleInitPIN(ctx context.Context, s *session, q *p11.InitPIN, _ *p11.None) error {
	return h.initRole(ctx, s, p11.RoleCryptoOfficer, q.PIN)
}

// initRole sets the PIN of a role from the session of the role that rules it.
func (h *HSM) initRole(ctx context.Context, s *session, role p11.Role, pin []byte) error {
	p := s.part
	if err := h.checkPIN(p, pin); err != nil {
		return err
	}
	p.mu.RLock()
	secret := append([]byte(nil), p.secret...)
	p.mu.RUnlock()
	defer clear(secret)
	if len(secret) == 0 {
		return fmt.Errorf("the %s does not hold the partition key, so it cannot give it to the %s: %w", s.role(), role, ck.CKR_FUNCTION_NOT_SUPPORTED)
	}
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return err
	}
	defer release()
	return h.setPIN(ctx, p, role, pin, secret)
}

// handleSetPIN changes the PIN of the role logged in, or with nobody logged in
// the Crypto Officer's (section 5.5.8). A wrong old PIN counts as a failed login.
func (h *HSM) handleSetPIN(ctx context.Context, s *session, q *p11.SetPIN, _ *p11.None) error {
	if err := h.checkPIN(s.part, q.New); err != nil {
		return err
	}
	role := s.role()
	if role == p11.RoleNone {
		role = p11.RoleCryptoOfficer
		if s.part.admin() {
			role = p11.RoleHSMSO
		}
	}
	p := s.part
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return err
	}
	defer release()
	secret, err := h.authenticateLocked(ctx, p, role, q.Old)
	if err != nil {
		return err
	}
	defer clear(secret)
	return h.setPIN(ctx, p, role, q.New, secret)
}
