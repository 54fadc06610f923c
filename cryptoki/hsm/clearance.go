package hsm

import (
	"reflect"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// clearance remembers that an operation may begin, for a session that begins the
// same one again and again: nothing that was looked at has changed, because all
// of it is immutable and still what it was. It is only given where that is all
// there is to look at: not in FIPS mode, nor for keys with dates, with a limit
// of uses or with a login for each of them.
type clearance struct {
	handle    ck.ObjectHandle
	mechanism ck.MechanismType
	param     reflect.Type

	row *engine.Mechanism
	key *object // nil for digests

	who           *presence
	hsm, policies *settings
	behaviour     *profile
}

// cleared is the clearance for what q asks, nil if there is none.
func (h *HSM) cleared(s *session, q *p11.Begin) *clearance {
	c := s.clear[q.Op]
	if c == nil || c.mechanism != q.Mechanism.Type || c.handle != q.Key || c.param != reflect.TypeOf(q.Mechanism.Param) {
		return nil
	}
	if c.key != nil && !c.key.live.Load() {
		s.clear[q.Op] = nil // so that it does not keep the key
		return nil
	}
	if c.who != s.part.who() || c.policies != s.part.policies.Load() || c.hsm != h.policies() || c.behaviour != h.profile() {
		return nil
	}
	return c
}

// clearFor gives a clearance to an operation that was found to be allowed, if
// one can have it. now has the login, the settings and the profile from before
// that was looked at.
func (s *session) clearFor(q *p11.Begin, now clearance, row *engine.Mechanism, key *object) {
	if s.part.fips() || len(paramHandles(q.Mechanism.Param)) > 0 || key != nil && !key.alike(now.policies) {
		return
	}
	c := s.clear[q.Op]
	if c == nil {
		c = new(clearance)
		s.clear[q.Op] = c
	}
	*c = now
	c.handle, c.mechanism, c.param, c.row, c.key = q.Key, q.Mechanism.Type, reflect.TypeOf(q.Mechanism.Param), row, key
}

// situation is what a clearance depends on, beside its key.
func (h *HSM) situation(s *session) clearance {
	return clearance{who: s.part.who(), hsm: h.policies(), policies: s.part.policies.Load(), behaviour: h.profile()}
}

// alike reports whether each use of a key is like the one before.
func (o *object) alike(policies *settings) bool {
	limit, _ := o.ulong(ck.CKA_USAGE_LIMIT)
	dated := policies.on(policyDates) && (len(o.bytes(ck.CKA_START_DATE)) > 0 || len(o.bytes(ck.CKA_END_DATE)) > 0)
	return o.live.Load() && limit == 0 && !dated && !alwaysAuthenticate(o)
}
