package hsm

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// sessionTable finds sessions by handle without a lock. A handle is the index
// of a place in the table, from 1, and above that how often the place was used
// before, so that a handle of a closed session is not soon valid again.
type sessionTable struct {
	places atomic.Pointer[[]*sessionPlace]

	mu   sync.Mutex // guards what follows, and changes
	free []int
}

type sessionPlace struct {
	session atomic.Pointer[session]
	uses    uint64 // guarded by sessionTable.mu
}

const sessionIndexBits = 20

// add gives s its handle; false if the table is full.
func (t *sessionTable) add(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.place()
	if !ok {
		return false
	}
	p := (*t.places.Load())[i]
	p.uses++
	s.handle = ck.SessionHandle(p.uses%(1<<11)<<sessionIndexBits | uint64(i+1))
	p.session.Store(s)
	return true
}

// place takes a free place, making room if there is none.
func (t *sessionTable) place() (int, bool) {
	if len(t.free) == 0 {
		var places []*sessionPlace
		if old := t.places.Load(); old != nil {
			places = *old
		}
		n := len(places)
		if n >= 1<<sessionIndexBits-1 {
			return 0, false
		}
		grown := append(make([]*sessionPlace, 0, 2*n+64), places...)
		for i := n; i < cap(grown) && i < 1<<sessionIndexBits-1; i++ {
			grown = append(grown, new(sessionPlace))
		}
		for i := len(grown) - 1; i >= n; i-- { // the lowest is handed out first
			t.free = append(t.free, i)
		}
		t.places.Store(&grown)
	}
	last := len(t.free) - 1
	i := t.free[last]
	t.free = t.free[:last]
	return i, true
}

// get returns the session of a handle, or nil.
func (t *sessionTable) get(handle ck.SessionHandle) *session {
	i := uint64(handle)&(1<<sessionIndexBits-1) - 1
	places := t.places.Load()
	if places == nil || i >= uint64(len(*places)) {
		return nil
	}
	if s := (*places)[i].session.Load(); s != nil && s.handle == handle {
		return s
	}
	return nil
}

// remove frees the place of s; false if somebody did before.
func (t *sessionTable) remove(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := int(uint64(s.handle)&(1<<sessionIndexBits-1)) - 1
	p := (*t.places.Load())[i]
	if !p.session.CompareAndSwap(s, nil) {
		return false
	}
	t.free = append(t.free, i)
	return true
}

// all returns the sessions that are open now.
func (t *sessionTable) all() (list []*session) {
	if places := t.places.Load(); places != nil {
		for _, p := range *places {
			if s := p.session.Load(); s != nil {
				list = append(list, s)
			}
		}
	}
	return list
}

// session returns an open session.
func (h *HSM) session(handle ck.SessionHandle) (*session, error) {
	if s := h.sessions.get(handle); s != nil {
		return s, nil
	}
	return nil, ck.CKR_SESSION_HANDLE_INVALID
}

// sessionsOf returns the open sessions on a slot.
func (h *HSM) sessionsOf(p *partition) (list []*session) {
	for _, s := range h.sessions.all() {
		if s.part == p {
			list = append(list, s)
		}
	}
	return list
}

func (h *HSM) handleOpenSession(ctx context.Context, q *p11.OpenSession, r *p11.Session) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	if q.Flags&ck.CKF_SERIAL_SESSION == 0 {
		return deny(refuseParallel, "CKF_SERIAL_SESSION is missing")
	}
	s := &session{part: p, rw: q.Flags&ck.CKF_RW_SESSION != 0}
	if q.App != nil {
		if err := h.takeID(*q.App); err != nil {
			return err
		}
	}
	if err := h.addSession(p, s); err != nil {
		return err
	}
	r.Session = s.handle
	return h.adoptLogin(ctx, p)
}

func (h *HSM) addSession(p *partition, s *session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost {
		return ck.CKR_SLOT_ID_INVALID
	}
	if !s.rw && roleTable[p.who().role].rw {
		return deny(refuseSOExists, "the %s is logged in, so there are no R/O sessions", p.who().role)
	}
	if !h.sessions.add(s) {
		return ck.CKR_SESSION_COUNT
	}
	p.count(s, 1)
	return nil
}

// count notes that a session was opened or closed. The caller holds p.mu.
func (p *partition) count(s *session, n int) {
	p.nSessions += n
	if s.rw {
		p.nRW += n
	}
}

func (h *HSM) handleCloseSession(_ context.Context, s *session, _ *p11.CloseSession, _ *p11.None) error {
	if !h.closeSession(s) {
		return ck.CKR_SESSION_HANDLE_INVALID
	}
	return nil
}

func (h *HSM) handleCloseAllSessions(_ context.Context, q *p11.CloseAllSessions, _ *p11.None) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	for _, s := range h.sessionsOf(p) {
		h.closeSession(s)
	}
	return nil
}

// closeSession ends one session, after the call that uses it; false if it was
// closed already. With the last session of a slot its login ends (PKCS#11 v3.1
// section 5.6.3).
func (h *HSM) closeSession(s *session) bool {
	if !h.sessions.remove(s) {
		return false
	}
	s.mu.Lock()
	h.endSession(s)
	s.mu.Unlock()

	p := s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(s, -1)
	if p.nSessions == 0 {
		h.forgetLogin(p)
	}
	return true
}

// endSession drops what a closed session holds. The caller holds s.mu.
func (h *HSM) endSession(s *session) {
	s.closed = true
	s.cancelAll()
	s.search = nil
	h.dropSessionObjects(s)
}

// closeAll ends everything on a slot whose token was destroyed or deleted. It
// may be a call on one of the slot's sessions that noticed: what such a session
// holds goes when the call is over.
func (h *HSM) closeAll(p *partition) {
	p.mu.Lock()
	p.lost = true
	h.forgetLogin(p)
	p.mu.Unlock()
	for _, s := range h.sessionsOf(p) {
		if !h.sessions.remove(s) {
			continue
		}
		end := func() {
			h.endSession(s)
			s.mu.Unlock()
		}
		if s.mu.TryLock() {
			end()
			continue
		}
		go func() {
			s.mu.Lock()
			end()
		}()
	}
}

func (h *HSM) handleGetSessionInfo(_ context.Context, s *session, _ *p11.GetSessionInfo, r *ck.SessionInfo) error {
	*r = ck.SessionInfo{SlotID: s.part.slot, State: s.state(), Flags: ck.CKF_SERIAL_SESSION}
	if s.rw {
		r.Flags |= ck.CKF_RW_SESSION
	}
	return nil
}

// state is the session state of PKCS#11 v3.1 section 3.2; the Crypto User is a
// user.
func (s *session) state() ck.SessionState {
	switch s.role() {
	case p11.RoleCryptoOfficer, p11.RoleLimitedCryptoOfficer, p11.RoleCryptoUser:
		if s.rw {
			return ck.CKS_RW_USER_FUNCTIONS
		}
		return ck.CKS_RO_USER_FUNCTIONS
	case p11.RolePartitionSO, p11.RoleHSMSO:
		return ck.CKS_RW_SO_FUNCTIONS
	case p11.RoleAuditor:
		return ck.CKS_RW_AUDIT_FUNCTIONS
	}
	if s.rw {
		return ck.CKS_RW_PUBLIC_SESSION
	}
	return ck.CKS_RO_PUBLIC_SESSION
}
