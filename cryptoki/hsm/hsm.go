// Package hsm is the local HSM: partitions, roles, sessions and objects over a
// store and the engine, behind [p11.Module].
//
// Locks, in the order in which they may be taken: HSM.life, HSM.refreshing, a session's mu, HSM.mu, a
// partition's mu. None but the session's is held while computing, and none of
// the HSM's or a partition's while the store works.
package hsm

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Options say what the HSM is made of.
type Options struct {
	// Store keeps the records. The HSM closes it.
	Store store.Store
	// RootKey finds the root key.
	RootKey RootKeySource
	// Mark keeps the mark by which an older copy of the store is noticed; nil
	// for none.
	Mark MarkPlace
	// Location names the place of the store to people.
	Location string
	// AuditDir is where the audit log is kept; "" for no log.
	AuditDir string
	// AuditRemotes are syslog servers that get its records, beside those that
	// the Auditor names.
	AuditRemotes []audit.Remote
	// Password is the cost of password hashing for PINs set from now on; the
	// zero value means DefaultPasswordCost.
	Password PasswordCost
	// RemapKeyGen lets FIPS mode make RSA key pairs by its own mechanisms when
	// the usual ones are asked for, in profiles that know how.
	RemapKeyGen bool
	// Log takes what the operator should know; nil for slog.Default().
	Log *slog.Logger
	// Now is the clock, for tests; nil for time.Now.
	Now func() time.Time
}

// HSM is the local module. Make it with Open.
type HSM struct {
	store    store.Store
	root     RootKey
	opts     Options
	log      *slog.Logger
	meta     *spaceKeys  // seals the records of the HSM, its partitions and roles
	states   cipher.AEAD // seals saved operation states
	ctx      context.Context
	cancel   context.CancelFunc
	mark     marker   // mark.go
	damaged  sync.Map // the refs of damaged records that were logged; check.go
	sessions sessionTable
	objects  sessionObjects // objectstore.go

	audit *audit.Recorder // nil if there is no place for a log; auditstate.go

	life   lifeLock
	closed bool // guarded by life

	generation atomic.Uint64 // of the store, when the caches were last right
	refreshing sync.Mutex    // guards moment
	moment     uint64

	settings  atomic.Pointer[settings] // of the HSM's policies; policy.go
	behaviour atomic.Pointer[profile]  // never nil after opening

	mu    sync.RWMutex // guards what follows
	info  hsmState
	home  *birthplace // of the OUIDs made here; ouid.go
	parts map[ck.SlotID]*partition
	lost  map[ck.SlotID]bool // slots of partitions whose records are damaged
	appID p11.AppID          // of this process; appid.go
	// sharesLogin says that the process set its id.
	sharesLogin bool
	events      []ck.SlotID // slots that changed, for C_WaitForSlotEvent
}

var _ p11.Module = (*HSM)(nil)

// Open opens the HSM that the options describe, making it if the store is
// empty. An error names what is wrong and what to do.
func Open(ctx context.Context, opts Options) (*HSM, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Password == (PasswordCost{}) {
		opts.Password = DefaultPasswordCost
	}
	h := &HSM{store: opts.Store, opts: opts, log: opts.Log, parts: map[ck.SlotID]*partition{}}
	copy(h.appID[:], randomBytes(len(h.appID)))
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if err := h.open(ctx); err != nil {
		h.cancel()
		return nil, err
	}
	return h, nil
}

func (h *HSM) open(ctx context.Context) error {
	if err := h.openRootKey(ctx); err != nil {
		return err
	}
	if err := h.ensureHSM(ctx); err != nil {
		return err
	}
	if err := h.refresh(ctx); err != nil {
		return err
	}
	if err := h.startAudit(ctx); err != nil {
		return err
	}
	if err := h.checkMark(ctx); err != nil {
		return err
	}
	if err := h.settle(ctx); err != nil {
		return err
	}
	if err := h.clean(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = nil // what is there from the beginning is no event
	return nil
}

// openRootKey loads the root key. It makes one only for an empty store: a new
// key beside old records would hide that the old key is missing.
func (h *HSM) openRootKey(ctx context.Context) error {
	root, err := h.opts.RootKey.Load()
	if errors.Is(err, ErrNoRootKey) {
		used, viewErr := h.used(ctx)
		if viewErr != nil {
			return viewErr
		}
		if used {
			return fmt.Errorf("%w, but the store in %s was made with one: put the file back from a copy, for nothing can be opened without it", err, h.opts.Location)
		}
		root, err = h.opts.RootKey.Create()
	}
	if err != nil {
		return err
	}
	h.root = root
	secret, err := root.Derive("metadata", nil)
	if err != nil {
		return err
	}
	if h.meta, err = newSpaceKeys(secret); err != nil {
		return err
	}
	if secret, err = root.Derive("operation states", nil); err != nil {
		return err
	}
	if h.states, err = newAEAD(secret); err != nil {
		return err
	}
	if secret, err = root.Derive("mark", nil); err != nil {
		return err
	}
	h.mark.place = h.opts.Mark
	h.mark.aead, err = newAEAD(secret)
	return err
}

// Close ends all sessions and closes the store, after the calls in flight.
func (h *HSM) Close() error {
	h.cancel()
	h.life.Lock()
	defer h.life.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	for _, s := range h.sessions.all() {
		h.closeSession(s)
	}
	if h.audit != nil {
		h.audit.Close()
	}
	h.raiseMark(context.Background())
	return h.store.Close()
}

// refresh brings the caches up to date with what any process committed. When
// nothing was, it costs a few nanoseconds.
func (h *HSM) refresh(ctx context.Context) error {
	gen, err := h.store.Generation()
	if err != nil {
		return storeError(err)
	}
	if gen == h.generation.Load() {
		return nil
	}
	h.refreshing.Lock()
	defer h.refreshing.Unlock()
	// Read again before the records: what is committed later gives another
	// number and another refresh.
	if gen, err = h.store.Generation(); err != nil {
		return storeError(err)
	}
	if gen == h.generation.Load() {
		return nil
	}
	if err := h.readChanges(ctx); err != nil {
		return storeError(err)
	}
	h.generation.Store(gen)
	return nil
}

// maxChanges is how many changes are looked at one by one. After more, by a
// process that imports a million objects while this one is idle, to read what is
// needed again is faster than to read what changed.
const maxChanges = 10_000

func (h *HSM) readChanges(ctx context.Context) error {
	var (
		changes []store.Change
		now     uint64
		known   bool
		meta    *metaState
		log     *auditState
	)
	err := h.store.View(ctx, func(tx store.Tx) (err error) {
		if now, err = tx.Now(); err != nil {
			return err
		}
		if h.moment != 0 && now-h.moment <= maxChanges { // otherwise nothing is cached yet, or it is better forgotten
			if changes, now, known, err = tx.Changes(h.moment); err != nil {
				return err
			}
		}
		if !known || touches(changes, kindHSM, kindPartition) {
			if meta, err = h.readMeta(tx); err != nil {
				return err
			}
		}
		if !known || touches(changes, kindAuditConfig) {
			if log, err = h.readAuditState(tx); err != nil {
				return err
			}
		}
		return h.checkLogins(tx, changes, known)
	})
	if err != nil {
		return err
	}
	if log != nil {
		h.configureAudit(log)
	}
	h.forget(changes, known)
	if meta != nil {
		if err := h.applyMeta(meta); err != nil {
			return err
		}
	}
	h.moment = now // last: what fails is read again by the next call
	return nil
}

// checkLogins looks after logins that changes of the roles, or of the logins
// that processes share, are about.
func (h *HSM) checkLogins(tx store.Tx, changes []store.Change, known bool) error {
	for _, p := range h.changedIn(kindAccess, changes, known) {
		if err := h.checkShared(tx, p); err != nil {
			return err
		}
	}
	for _, p := range h.changedIn(kindRole, changes, known) {
		if err := h.forgetTaken(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// changedIn are the partitions among whose records of a kind something changed,
// all where nobody knows.
func (h *HSM) changedIn(kind store.Kind, changes []store.Change, known bool) (list []*partition) {
	if known && !touches(changes, kind) {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, p := range h.parts {
		if !known || slices.ContainsFunc(changes, func(c store.Change) bool { return c.Kind == kind && c.Space == p.space }) {
			list = append(list, p)
		}
	}
	return list
}

func touches(changes []store.Change, kinds ...store.Kind) bool {
	return slices.ContainsFunc(changes, func(c store.Change) bool { return slices.Contains(kinds, c.Kind) })
}

// forget drops cached objects that changed.
func (h *HSM) forget(changes []store.Change, known bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !known {
		for _, p := range h.parts {
			p.objects.clear()
		}
		return
	}
	for _, c := range changes {
		if c.Kind != kindPublicObject && c.Kind != kindPrivateObject {
			continue
		}
		if p := h.parts[slotOf(c.Space)]; p != nil {
			p.objects.forget(c.Ref, c.Version)
		}
	}
}

// Log is where the HSM logs, so that the layers above can log there too.
func (h *HSM) Log() *slog.Logger { return h.log }
