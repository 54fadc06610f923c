package hsm

import (
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
)

// Kinds of records. docs/FORMAT.md specifies what each holds.
const (
	kindHSM           store.Kind = 1 // one, in space 0
	kindPartition     store.Kind = 2 // one per partition, in space 0
	kindRole          store.Kind = 3 // one per role, in the space of its partition
	kindPublicObject  store.Kind = 4 // token objects with CKA_PRIVATE false
	kindPrivateObject store.Kind = 5 // token objects with CKA_PRIVATE true

	// The audit log, in space 0; auditstate.go.
	kindAuditConfig store.Kind = 16
	kindAuditSecret store.Kind = 17
	kindAuditMark   store.Kind = 18
	kindAccess      store.Kind = 9 // one per application id that is open on a partition
)

// partition is a slot with its token, as this process knows it. The HSM's own
// administration ([p11.AdminSlot]) is a partition too, with space 0.
type partition struct {
	slot   ck.SlotID
	space  store.Space
	public *spaceKeys // seals and indexes public objects

	home     *birthplace              // of the OUIDs of its objects
	policies atomic.Pointer[settings] // never nil; policy.go

	login atomic.Pointer[presence] // changed under mu; who reads it

	mu    sync.RWMutex // guards what follows
	state partitionState

	nSessions, nRW int  // open sessions, and how many of them are R/W
	lost           bool // the token was destroyed: nothing works here any more

	objects objectCache // token objects read or made so far
}

// presence is who is logged in on a slot, for the whole application. It is
// immutable but for the secret, which is cleared when the login ends; whoever
// reads that holds the partition's mu.
type presence struct {
	role p11.Role
	// mustChange says that this role may do nothing before it changes its PIN.
	mustChange bool
	// shared says that the login is that of an application id; appid.go.
	shared bool
	keys   *spaceKeys // seals and indexes private objects; nil unless CO or CU is logged in
	// secret is the partition key of the role logged in, from which keys
	// follows; nil where the role holds none.
	secret []byte
}

var nobody presence

// who is logged in; never nil.
func (p *partition) who() *presence {
	if l := p.login.Load(); l != nil {
		return l
	}
	return &nobody
}

// relogin changes the login. The caller holds p.mu.
func (p *partition) relogin(change func(*presence)) {
	next := *p.who()
	change(&next)
	p.login.Store(&next)
}

// session is one session of the application.
type session struct {
	handle ck.SessionHandle
	part   *partition
	rw     bool
	owns   atomic.Bool // it has, or had, session objects

	failure atomic.Pointer[failure] // the last call that failed; refusal.go

	// mu is held by the one call that uses the session at a time; it guards
	// what follows. No lock of the partition or the HSM is held while
	// computing.
	mu     sync.Mutex
	closed bool
	ops    [p11.NumOperations]*operation // ops.go
	clear  [p11.NumOperations]*clearance // clearance.go
	spare  *operation                    // one that ended, for the next to begin
	search *search                       // find.go
	clone  *cloneTarget                  // clone.go
}

// role is who is logged in on the session's slot.
func (s *session) role() p11.Role { return s.part.who().role }

// acting is the role whose rights the session has, and whether it must change
// its PIN before it has them. Without policy 28 everybody who works with keys
// is a Crypto User.
func (s *session) acting() (role p11.Role, mustChange bool) {
	p := s.part
	who := p.who()
	role, mustChange = who.role, who.mustChange
	if (role == p11.RoleCryptoOfficer || role == p11.RoleLimitedCryptoOfficer) && !p.policies.Load().on(policyKeyManagement) {
		role = p11.RoleCryptoUser
	}
	return role, mustChange
}

// object is one object, token or session. It is immutable: a change puts a new
// object under the same handle, and operations under way keep the old one.
type object struct {
	handle  ck.ObjectHandle
	owner   *session    // the session that a session object dies with; nil for token objects
	ref     store.Ref   // token objects
	version uint64      // token objects: of the record
	home    *birthplace // token objects: where they are kept; ouid.go

	class     ck.ObjectClass
	schema    *schema
	attrs     flat
	isPrivate bool // CKA_PRIVATE

	parsed atomic.Pointer[engine.Key] // the key material, made when first used
	used   atomic.Bool                // its first use is in the audit log
	live   atomic.Bool                // its handle leads to it: it is in a table or the cache
}

// origin tells how an object comes into being; defaults and computed attributes
// depend on it.
type origin uint8

const (
	originCreate origin = iota
	originGenerate
	originUnwrap
	originDerive
	originEncapsulate
	originDecapsulate
	originCopy
	originModify // not a new object: C_SetAttributeValue
)

// draft is what an object is to be made from.
type draft struct {
	origin   origin
	class    ck.ObjectClass // of generated, unwrapped and derived keys; a created object's template says it
	keyType  ck.KeyType
	template []ck.Attribute   // what the caller asked for
	values   []ck.Attribute   // value attributes that the engine made
	genMech  ck.MechanismType // CKA_KEY_GEN_MECHANISM of generated keys
	base     *object          // the key derived from, or the object copied
	// from is the key whose CKA_DERIVE_TEMPLATE or the like binds the new
	// object; nil for none.
	from *object

	plan *plan // what precheck found out, for build; template.go
}

// What the parts of this package offer each other.
//
// object.go, schema*.go, find.go (objects):
//
//	(h *HSM) object(ctx, s, handle) (*object, error)
//	        the object if the session may see it, else CKR_OBJECT_HANDLE_INVALID
//	(h *HSM) keyObject(ctx, s, handle) (*object, error)
//	        the same for keys of operations: CKR_KEY_HANDLE_INVALID
//	(o *object) bool(t) bool, bytes(t) []byte, ulong(t) (uint64, bool),
//	        template(t) []ck.Attribute, keyType() ck.KeyType,
//	        key() *engine.Key (the key material; nil for objects that are no keys),
//	        matches(template) bool (by the rules of C_FindObjects, for CKA_WRAP_TEMPLATE)
//	(h *HSM) precheck(ctx, s, d *draft) error
//	        everything about a template that can be refused before the key
//	        exists: unknown, read-only, inconsistent or missing attributes, and
//	        whether the session's state and role may make such an object
//	(h *HSM) build(ctx, s, d *draft) (*object, error)
//	        the finished object, not stored yet: defaults, computed attributes,
//	        validation by schema and by the engine's KeyType.Complete
//	(h *HSM) add(ctx, s, objs ...*object) ([]ck.ObjectHandle, error)
//	        stores all of them or none, in one transaction if they are token objects
//	(h *HSM) dropSessionObjects(s *session), dropPrivate(p)
//	        what closing a session and logging out take away
//	objectCache: the partition's cache, with methods get, put, forget(ref, version), clear
//
// ops.go, message.go, state.go, keys.go (operations):
//
//	type operation struct: one operation under way
//	(s *session) cancel(op p11.Operation), (s *session) cancelAll()
//	(s *session) contextOperation() *operation
//	        the one that waits for C_Login(CKU_CONTEXT_SPECIFIC), to be marked authenticated
//
// session.go, login.go, partition.go, seal.go (the rest):
//
//	(h *HSM) session(handle) (*session, error)
//	(k *spaceKeys) seal(r *store.Record, plaintext []byte), open(r store.Record) ([]byte, error)
//	(k *spaceKeys) term(t ck.AttributeType, value []byte) store.Term
//	(h *HSM) verifyPIN(ctx, p, role, pin) error    for CKU_CONTEXT_SPECIFIC
