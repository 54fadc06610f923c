package hsm

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// What the store keeps of the audit log: its configuration, the log secrets,
// and the checkpoint, which tells a log whose end is missing.

// auditState is the record of the configuration. It survives everything but a
// factory reset.
type auditState struct {
	record
	Config audit.Config
	Set    string // when; "" if the Auditor never set one
	// Domain is the audit domain under the Auditor's secret: without his PIN
	// nobody has it.
	Domain []byte `json:",omitempty"`
	// Removed is the number of the last record that the Auditor removed.
	Removed uint64 `json:",omitempty"`
}

// auditSecret is the record of a log secret: this HSM's, or an imported one.
type auditSecret struct {
	record
	Serial string
	Secret []byte
	Head   audit.Head // of an imported one: the newest record at its export
}

// auditMark is the record of the checkpoint.
type auditMark struct {
	record
	Head audit.Head
}

// startAudit makes the recorder, where there is a place for a log, and brings
// into the log what processes that were killed left behind.
func (h *HSM) startAudit(ctx context.Context) error {
	if h.opts.AuditDir == "" {
		return nil
	}
	key, err := h.root.Derive("audit head", nil)
	if err != nil {
		return err
	}
	h.audit = audit.NewRecorder(audit.Options{
		Dir: h.opts.AuditDir, Serial: h.auditSerial(), HeadKey: key, Keeper: auditKeeper{h}, Now: h.opts.Now,
		Remotes: h.opts.AuditRemotes,
		Role:    func(n byte) string { return roleWords[n%byte(len(roleWords))] },
		Warn:    func(text string, args ...any) { h.log.Warn(text, args...) },
	})
	state, err := h.viewAuditState(ctx)
	if err != nil {
		return err
	}
	h.configureAudit(state)
	if err := h.audit.AdoptOrphans(ctx, orphanPatience); err != nil {
		h.log.Warn("records of processes that ended wait for the audit log", "error", err)
	}
	return nil
}

// orphanPatience is how long it takes to see that another process lives.
const orphanPatience = 200 * time.Microsecond

// configureAudit takes over what the Auditor of any process set.
func (h *HSM) configureAudit(s *auditState) {
	if h.audit != nil {
		h.audit.Configure(s.Config)
	}
}

// auditSerial names the log; it is the HSM's serial number.
func (h *HSM) auditSerial() string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return fmt.Sprint(h.info.Serial)
}

// roleWords are the roles as records and tools call them.
var roleWords = [p11.NumRoles]string{
	p11.RoleHSMSO: "so", p11.RoleAuditor: "au", p11.RolePartitionSO: "po", p11.RoleCryptoOfficer: "co",
	p11.RoleLimitedCryptoOfficer: "lco", p11.RoleCryptoUser: "cu",
}

// auditKeeper lends the HSM's locks and records to the audit log.
type auditKeeper struct{ h *HSM }

func (k auditKeeper) Lock(ctx context.Context, name string) (func(), error) {
	release, err := k.h.store.Lock(ctx, name)
	return release, storeError(err)
}

// Secret returns the log secret, and makes it when the first event is logged.
func (k auditKeeper) Secret(ctx context.Context) (secret []byte, err error) {
	own := k.h.auditSerial()
	find := func(tx store.Tx) error {
		s, err := k.h.readAuditSecret(tx, own)
		if err == nil && s != nil {
			secret = s.Secret
		}
		return err
	}
	if err := k.h.store.View(ctx, find); err != nil || secret != nil {
		return secret, storeError(err)
	}
	err = k.h.store.Update(ctx, func(tx store.Tx) error {
		if err := find(tx); err != nil || secret != nil {
			return err // another process was faster
		}
		s := &auditSecret{Serial: own, Secret: randomBytes(audit.SecretSize)}
		secret = s.Secret
		return k.h.insertMeta(tx, 0, kindAuditSecret, &s.record, s)
	})
	return secret, storeError(err)
}

// readAuditSecret finds the log secret of an HSM, nil if there is none. A damaged
// record may be the one.
func (h *HSM) readAuditSecret(tx store.Tx, serial string) (*auditSecret, error) {
	recs, err := tx.List(0, kindAuditSecret, 0, 0)
	if err != nil {
		return nil, err
	}
	var damage error
	for _, rec := range recs {
		s := new(auditSecret)
		switch err := h.openMeta(rec, &s.record, s); {
		case isDamage(err):
			damage = fmt.Errorf("the log secret is damaged; put the database back from a copy, or begin a new log by a factory reset: %w", err)
		case err != nil:
			return nil, err
		case s.Serial == serial:
			return s, nil
		}
	}
	return nil, damage
}

func (k auditKeeper) Settled(ctx context.Context) (head audit.Head, err error) {
	err = k.h.store.View(ctx, func(tx store.Tx) error {
		m, err := k.h.readAuditMark(tx)
		head = m.Head
		return err
	})
	return head, storeError(err)
}

// Settle moves the checkpoint, which never goes back.
func (k auditKeeper) Settle(ctx context.Context, head audit.Head) error {
	return storeError(k.h.store.Update(ctx, func(tx store.Tx) error {
		m, err := k.h.readAuditMark(tx)
		if err != nil || m.Head.Sequence > head.Sequence {
			return err
		}
		m.Head = head
		return k.h.putMeta(tx, kindAuditMark, &m.record, &m)
	}))
}

// readAuditMark reads the checkpoint. Where it is damaged, the head file alone
// knows how far the log is, until the next record mends it.
func (h *HSM) readAuditMark(tx store.Tx) (m auditMark, err error) {
	err = h.readOne(tx, kindAuditMark, &m.record, &m)
	if isDamage(err) {
		h.log.Warn("the checkpoint of the audit log is damaged; what was cut off its end may go unnoticed", "error", err)
		return auditMark{record: m.record}, nil
	}
	return m, err
}

// readAuditState reads the configuration; that of an HSM without one is the
// default. Where it is damaged, everything is recorded, until the Auditor sets
// it anew.
func (h *HSM) readAuditState(tx store.Tx) (*auditState, error) {
	s := &auditState{Config: audit.DefaultConfig}
	err := h.readOne(tx, kindAuditConfig, &s.record, s)
	if isDamage(err) {
		h.log.Warn("the configuration of the audit log is damaged: everything is recorded; the Auditor must set domain and configuration anew", "error", err)
		s = &auditState{record: s.record, Config: audit.DefaultConfig}
		s.Config.Mask = audit.AllOfIt
		return s, nil
	}
	return s, err
}

// readOne reads the only record of a kind in space 0, if there is one. Where it
// is, is known even if it is damaged.
func (h *HSM) readOne(tx store.Tx, kind store.Kind, at *record, v any) error {
	recs, err := tx.List(0, kind, 0, 1)
	if err != nil || len(recs) == 0 {
		return err
	}
	*at = record{recs[0].Ref, recs[0].Version}
	return h.openMeta(recs[0], at, v)
}

// putMeta replaces the record that v was read from, or inserts the first.
func (h *HSM) putMeta(tx store.Tx, kind store.Kind, at *record, v any) error {
	if at.ref == 0 {
		return h.insertMeta(tx, 0, kind, at, v)
	}
	return h.replaceMeta(tx, 0, kind, at, v)
}

// changeAuditState changes the configuration in a transaction.
func (h *HSM) changeAuditState(ctx context.Context, change func(*auditState) error) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		s, err := h.readAuditState(tx)
		if err != nil {
			return err
		}
		if err := change(s); err != nil {
			return err
		}
		return h.putMeta(tx, kindAuditConfig, &s.record, s)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

func (h *HSM) viewAuditState(ctx context.Context) (s *auditState, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		s, err = h.readAuditState(tx)
		return err
	})
	return s, storeError(err)
}

// forgetAudit removes the configuration, for a factory reset. The log itself, its
// secret and its numbers stay: they tell of the reset. Only secrets that are
// damaged, and of no use to anybody, go.
func (h *HSM) forgetAudit(tx store.Tx) error {
	if err := deleteAll(tx, 0, kindAuditConfig); err != nil {
		return err
	}
	recs, err := tx.List(0, kindAuditSecret, 0, 0)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		s := new(auditSecret)
		if err := h.openMeta(rec, &s.record, s); isDamage(err) {
			if err := tx.Delete(rec.Ref, rec.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// AuditDir is where an HSM whose files are in home keeps its audit log.
func AuditDir(home string) string { return filepath.Join(home, "audit") }
