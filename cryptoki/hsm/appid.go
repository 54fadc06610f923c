package hsm

import (
	"context"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Application ids. A login belongs to the process that made it. A process that
// sets an id, and finds it open on a slot, shares its login with all others that
// do the same: the login lies in a record until the id is closed. So long the
// partition key is sealed under the root key alone.

// accessState is the record of an id that is open on a partition.
type accessState struct {
	record
	ID     p11.AppID
	Role   p11.Role // who is logged in under the id
	Secret []byte   `json:",omitempty"` // the partition key, where the role holds it
	// MustChange is the role's state at its login.
	MustChange bool   `json:",omitempty"`
	Opened     string // RFC 3339, UTC
}

func (h *HSM) handleSetAppID(_ context.Context, q *p11.SetAppID, _ *p11.None) error {
	id := q.ID
	if q.Random {
		copy(id[:], randomBytes(len(id)))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.appID, h.sharesLogin = id, !q.Random
	return nil
}

func (h *HSM) handleGetAppID(_ context.Context, _ *p11.GetAppID, r *p11.AppIDReply) error {
	r.ID, _ = h.application()
	return nil
}

// application is the id of this process, and whether it set one to share.
func (h *HSM) application() (p11.AppID, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.appID, h.sharesLogin
}

// takeID makes id that of the process for a session that wants it. A process has
// one at a time.
func (h *HSM) takeID(id p11.AppID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == h.appID && h.sharesLogin {
		return nil
	}
	if len(h.sessions.all()) > 0 {
		return fmt.Errorf("sessions of the process are open under another application id: %w", ck.CKR_ACCESS_ID_CONFLICT)
	}
	h.appID, h.sharesLogin = id, true
	return nil
}

// handleIsActive serves CA_CheckOperationState.
func (h *HSM) handleIsActive(_ context.Context, s *session, q *p11.IsActive, r *p11.Answer) error {
	if int(q.Op) >= len(s.ops) {
		return ck.CKR_ARGUMENTS_BAD
	}
	r.Yes = s.ops[q.Op] != nil
	return nil
}

func (h *HSM) handleOpenAppID(ctx context.Context, q *p11.OpenAppID, _ *p11.None) error {
	p, err := h.realPartition(q.Slot)
	if err != nil {
		return err
	}
	return storeError(h.store.Update(ctx, func(tx store.Tx) error {
		old, err := h.readAccess(tx, p.space, q.ID)
		if err != nil {
			return err
		}
		if old != nil {
			return fmt.Errorf("the application id is open on slot %d already: %w", q.Slot, ck.CKR_ACCESS_ID_ALREADY_EXISTS)
		}
		a := &accessState{ID: q.ID, Opened: h.timestamp()}
		return h.insertMeta(tx, p.space, kindAccess, &a.record, a)
	}))
}

func (h *HSM) handleCloseAppID(ctx context.Context, q *p11.CloseAppID, _ *p11.None) error {
	p, err := h.realPartition(q.Slot)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		a, err := h.readAccess(tx, p.space, q.ID)
		if err != nil {
			return err
		}
		if a == nil {
			return fmt.Errorf("the application id is not open on slot %d: %w", q.Slot, ck.CKR_ACCESS_ID_INVALID)
		}
		return tx.Delete(a.ref, a.version)
	})
	if err == nil {
		err = h.scrub(ctx)
	}
	if err != nil {
		return storeError(err)
	}
	if id, shares := h.application(); shares && id == q.ID {
		for _, s := range h.sessionsOf(p) {
			h.closeSession(s)
		}
	}
	return h.refresh(ctx)
}

// handleRestartSlot makes every process take the partition for a new one.
func (h *HSM) handleRestartSlot(ctx context.Context, q *p11.RestartSlot, _ *p11.None) error {
	p, err := h.realPartition(q.Slot)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		if err := deleteAll(tx, p.space, kindAccess); err != nil {
			return err
		}
		_, s, err := h.readPartition(tx, p.space)
		if err != nil {
			return err
		}
		if s == nil {
			return ck.CKR_SLOT_ID_INVALID
		}
		s.Restarts++
		return h.replaceMeta(tx, 0, kindPartition, &s.record, s)
	})
	if err == nil {
		err = h.scrub(ctx)
	}
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

// accesses reads the records of the ids that are open on a partition, with an
// error those before the one that cannot be read.
func (h *HSM) accesses(tx store.Tx, space store.Space) (list []*accessState, err error) {
	recs, err := tx.List(space, kindAccess, 0, 0)
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		a := new(accessState)
		if err := h.openMeta(rec, &a.record, a); err != nil {
			return list, err
		}
		list = append(list, a)
	}
	return list, nil
}

// readAccess reads the record of an id, nil if it is not open.
func (h *HSM) readAccess(tx store.Tx, space store.Space, id p11.AppID) (*accessState, error) {
	list, err := h.accesses(tx, space)
	if i := slices.IndexFunc(list, func(a *accessState) bool { return a.ID == id }); i >= 0 {
		return list[i], nil
	}
	return nil, err
}

// adoptLogin gives a process that has opened a session the login that is shared
// under its id, if there is one.
func (h *HSM) adoptLogin(ctx context.Context, p *partition) error {
	id, shares := h.application()
	if !shares || p.admin() {
		return nil
	}
	if p.who().role != p11.RoleNone {
		return nil
	}
	a, err := h.viewAccess(ctx, p, id)
	if err != nil || a == nil || a.Role == p11.RoleNone {
		return err
	}
	// It may be refused, to an SO beside R/O sessions for example: then nobody
	// is logged in.
	_ = p.logIn(a.Role, &passed{secret: a.Secret, mustChange: a.MustChange, shared: true})
	return nil
}

func (h *HSM) viewAccess(ctx context.Context, p *partition, id p11.AppID) (a *accessState, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		a, err = h.readAccess(tx, p.space, id)
		return err
	})
	return a, storeError(err)
}

// shareLogin notes who is logged in now, if the process's id is open on the
// slot. Nobody logged in ends the login everywhere.
func (h *HSM) shareLogin(ctx context.Context, p *partition) error {
	id, shares := h.application()
	if !shares || p.admin() {
		return nil
	}
	p.mu.RLock()
	who := p.who()
	role, secret, mustChange := who.role, append([]byte(nil), who.secret...), who.mustChange
	p.mu.RUnlock()
	defer clear(secret)
	var changed bool
	err := h.store.Update(ctx, func(tx store.Tx) error {
		a, err := h.readAccess(tx, p.space, id)
		if changed = err == nil && a != nil; !changed {
			return err
		}
		a.Role, a.Secret, a.MustChange = role, secret, mustChange
		return h.replaceMeta(tx, p.space, kindAccess, &a.record, a)
	})
	if err == nil && changed && role == p11.RoleNone {
		err = h.scrub(ctx)
	}
	if err != nil {
		return storeError(err)
	}
	p.mu.Lock()
	p.relogin(func(l *presence) { l.shared = changed && role != p11.RoleNone && l.role == role })
	p.mu.Unlock()
	return nil
}

// unshare takes the partition key out of the shared logins of a role that no
// longer holds it.
func (h *HSM) unshare(tx store.Tx, space store.Space, role p11.Role) error {
	list, err := h.accesses(tx, space)
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Role != role || len(a.Secret) == 0 {
			continue
		}
		a.Secret = nil
		if err := h.replaceMeta(tx, space, kindAccess, &a.record, a); err != nil {
			return err
		}
	}
	return nil
}

// checkShared ends a login that another process ended. Operations under way
// end when their calls return.
func (h *HSM) checkShared(tx store.Tx, p *partition) error {
	id, shares := h.application()
	who := p.who()
	shared, role := who.shared, who.role
	if !shares || !shared {
		return nil
	}
	a, err := h.readAccess(tx, p.space, id)
	if err != nil || a != nil && a.Role == role {
		return err
	}
	p.mu.Lock()
	h.forgetLogin(p)
	p.mu.Unlock()
	go h.cancelOperations(p)
	return nil
}
