package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// errNoAudit is for an HSM without a place for a log.
var errNoAudit = fmt.Errorf("this HSM keeps no audit log: %w", ck.CKR_LOG_FILE_NOT_OPEN)

// handleInitAuditor makes the Auditor. His secret, which his PIN opens, seals
// the audit domain.
func (h *HSM) handleInitAuditor(ctx context.Context, q *p11.InitAuditor, _ *p11.None) error {
	p, err := h.partition(p11.AdminSlot)
	if err != nil {
		return err
	}
	if err := h.checkPIN(p, q.PIN); err != nil {
		return err
	}
	if len(q.Domain) > 0 {
		if err := checkDomain(q.Domain); err != nil {
			return err
		}
	}
	release, err := h.lockRole(ctx, 0, p11.RoleAuditor)
	if err != nil {
		return err
	}
	defer release()
	if err := h.mayInitAuditor(ctx, p, q.Session); err != nil {
		return err
	}
	secret := randomBytes(32)
	defer clear(secret)
	sealed, err := sealDomain(secret, q.Domain)
	if err != nil {
		return err
	}
	role, err := h.newRoleState(0, p11.RoleAuditor, q.PIN, h.profile().minSOPIN, secret)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		s, err := h.readAuditState(tx)
		if err != nil {
			return err
		}
		s.Domain = sealed
		if err := h.putMeta(tx, kindAuditConfig, &s.record, s); err != nil {
			return err
		}
		return h.putRole(tx, 0, role)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

// mayInitAuditor refuses while another role is logged in: the Auditor is made
// by nobody else. Who is the Auditor may make himself anew, with a new domain.
func (h *HSM) mayInitAuditor(ctx context.Context, p *partition, handle ck.SessionHandle) error {
	roles, err := h.viewRoles(ctx, 0)
	if err != nil {
		return err
	}
	role := p.who().role
	if roles[p11.RoleAuditor] == nil {
		if role != p11.RoleNone {
			return fmt.Errorf("the Auditor is not made by another role, and the %s is logged in: %w", role, ck.CKR_USER_NOT_AUTHORIZED)
		}
		return nil
	}
	s, err := h.session(handle)
	if err != nil || s.part != p || role != p11.RoleAuditor {
		return fmt.Errorf("the HSM has an Auditor, who must be logged in to be made anew: %w", ck.CKR_USER_NOT_LOGGED_IN)
	}
	// His secret changes: the login, which holds the old one, ends.
	p.mu.Lock()
	h.forgetLogin(p)
	p.mu.Unlock()
	return nil
}

// sealDomain seals an audit domain under the Auditor's secret; none stays none.
func sealDomain(secret, domain []byte) ([]byte, error) {
	if len(domain) == 0 {
		return nil, nil
	}
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, domain, []byte("audit domain")), nil
}

// auditDomain opens it in a session of the Auditor's.
func (h *HSM) auditDomain(ctx context.Context, s *session) ([]byte, error) {
	state, err := h.viewAuditState(ctx)
	if err != nil {
		return nil, err
	}
	if len(state.Domain) == 0 {
		return nil, fmt.Errorf("the audit domain is not set; `perilune audit domain` sets it: %w", ck.CKR_LOG_NO_KCV)
	}
	secret := s.part.copySecret()
	defer clear(secret)
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	domain, err := aead.Open(nil, nil, state.Domain, []byte("audit domain"))
	if err != nil {
		return nil, fmt.Errorf("the audit domain does not open: %w", ck.CKR_DEVICE_ERROR)
	}
	return domain, nil
}

// copySecret is the secret of the role logged in.
func (p *partition) copySecret() []byte {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return bytes.Clone(p.who().secret)
}

func (h *HSM) handleSetAuditDomain(ctx context.Context, s *session, q *p11.SetAuditDomain, _ *p11.None) error {
	if err := checkDomain(q.Domain); err != nil {
		return err
	}
	secret := s.part.copySecret()
	defer clear(secret)
	sealed, err := sealDomain(secret, q.Domain)
	if err != nil {
		return err
	}
	return h.changeAuditState(ctx, func(state *auditState) error {
		state.Domain = sealed
		return nil
	})
}

func (h *HSM) handleGetAuditConfig(ctx context.Context, _ *session, _ *p11.GetAuditConfig, r *p11.AuditConfig) error {
	state, err := h.viewAuditState(ctx)
	if err != nil {
		return err
	}
	c := state.Config
	*r = p11.AuditConfig{Mask: uint32(c.Mask), Rotation: string(c.Rotation), FileSize: uint64(c.FileSize), Limit: uint64(c.Limit)}
	for _, remote := range c.Remotes {
		r.Remotes = append(r.Remotes, p11.AuditRemote(remote))
	}
	return nil
}

func (h *HSM) handleSetAuditConfig(ctx context.Context, s *session, q *p11.SetAuditConfig, _ *p11.None) error {
	if h.audit == nil {
		return errNoAudit
	}
	c := audit.Config{
		Mask: audit.Mask(q.Config.Mask), Rotation: audit.Rotation(q.Config.Rotation),
		FileSize: int64(q.Config.FileSize), Limit: int64(q.Config.Limit),
	}
	for _, remote := range q.Config.Remotes {
		c.Remotes = append(c.Remotes, audit.Remote(remote))
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("%w: %w", err, ck.CKR_ARGUMENTS_BAD)
	}
	if domain, err := h.auditDomain(ctx, s); err != nil {
		return err
	} else {
		clear(domain)
	}
	if err := h.audit.BeginForwarding(c.Remotes); err != nil {
		return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FILE_WRITE_ERROR)
	}
	var gone []audit.Remote
	err := h.changeAuditState(ctx, func(state *auditState) error {
		gone = slices.DeleteFunc(state.Config.Remotes, func(r audit.Remote) bool {
			return slices.ContainsFunc(c.Remotes, func(o audit.Remote) bool { return o.String() == r.String() })
		})
		state.Config, state.Set = c, h.timestamp()
		return nil
	})
	if err != nil {
		return err
	}
	return h.audit.EndForwarding(gone)
}

func (h *HSM) handleGetAuditStatus(ctx context.Context, _ *p11.GetAuditStatus, r *p11.AuditStatus) error {
	if h.audit == nil {
		return errNoAudit
	}
	roles, err := h.viewRoles(ctx, 0)
	if err != nil {
		return err
	}
	state, err := h.viewAuditState(ctx)
	if err != nil {
		return err
	}
	s, err := h.audit.Status(ctx)
	if err != nil {
		return err
	}
	*r = p11.AuditStatus{
		AuditorInitialized: roles[p11.RoleAuditor] != nil, DomainSet: len(state.Domain) > 0,
		Configured: state.Set != "", ConfigSet: state.Set, Directory: h.opts.AuditDir,
		Newest: s.Newest, Files: len(s.Files), Waiting: s.Waiting, Time: h.opts.Now().UTC().Format(time.RFC3339),
	}
	for _, f := range s.Files {
		r.Bytes += uint64(f.Size)
	}
	remotes, err := h.audit.Forwarding()
	if err != nil {
		return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FILE_NOT_OPEN)
	}
	for _, f := range remotes {
		r.Remotes = append(r.Remotes, p11.AuditRemoteState{Remote: p11.AuditRemote(f.Remote), Sent: f.Sent, Trouble: f.Trouble})
	}
	if s.Trouble != nil {
		r.Trouble, r.Full = s.Trouble.Error(), ck.RVOf(s.Trouble) == ck.CKR_LOG_FULL
	}
	return nil
}

func (h *HSM) handleListAuditFiles(_ context.Context, _ *session, _ *p11.ListAuditFiles, r *p11.AuditFiles) error {
	if h.audit == nil {
		return nil // no log, no files
	}
	return h.listAuditFiles(r)
}

func (h *HSM) listAuditFiles(r *p11.AuditFiles) error {
	files, err := audit.Files(h.opts.AuditDir, h.auditSerial())
	if err != nil {
		return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FILE_NOT_OPEN)
	}
	for _, f := range files {
		r.Files = append(r.Files, p11.AuditFile{Name: f.Name, Path: f.Path, Size: uint64(f.Size), Archived: f.Archived})
	}
	return nil
}

func (h *HSM) handleRotateAuditLog(ctx context.Context, _ *session, _ *p11.RotateAuditLog, r *p11.AuditFiles) error {
	if h.audit == nil {
		return errNoAudit
	}
	if err := h.audit.Rotate(ctx); err != nil {
		return err
	}
	return h.listAuditFiles(r)
}

func (h *HSM) handleRemoveAuditFiles(ctx context.Context, _ *session, q *p11.RemoveAuditFiles, _ *p11.None) error {
	if h.audit == nil {
		return errNoAudit
	}
	err := h.audit.Remove(ctx, q.Names, q.Unsent, func(last uint64) error {
		return h.changeAuditState(ctx, func(state *auditState) error {
			state.Removed = max(state.Removed, last)
			return nil
		})
	})
	switch {
	case errors.Is(err, audit.ErrNotOldest):
		return fmt.Errorf("%w: %w", err, ck.CKR_ARGUMENTS_BAD)
	case errors.Is(err, audit.ErrUnsent):
		return fmt.Errorf("%w: %w", err, ck.CKR_LOG_RESYNC_NEEDED)
	}
	return err
}

// handleVerifyAuditFiles verifies the log of this HSM against what it remembers,
// or files that are given.
func (h *HSM) handleVerifyAuditFiles(ctx context.Context, _ *session, q *p11.VerifyAuditFiles, r *p11.AuditVerification) error {
	if h.audit == nil {
		return errNoAudit
	}
	secret, err := h.auditSecretOf(ctx, q.Serial)
	if err != nil {
		return err
	}
	if len(q.Paths) > 0 || secret.Serial != h.auditSerial() {
		return h.verifyPaths(secret, q.Paths, r)
	}
	head, files, err := h.audit.Snapshot(ctx)
	if err != nil {
		return err
	}
	state, err := h.viewAuditState(ctx)
	if err != nil {
		return err
	}
	v := audit.NewVerifier(secret.Secret, state.Removed+1, head.Sequence)
	for _, f := range files {
		if err := v.ReadFile(f, f.Size); err != nil {
			return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FILE_NOT_OPEN)
		}
	}
	fillVerification(r, secret.Serial, v.End(head))
	return nil
}

// verifyPaths verifies files that somebody brought. Where the log goes on is
// known of another HSM from the export of its secret, if the files reach that far.
func (h *HSM) verifyPaths(secret *auditSecret, paths []string, r *p11.AuditVerification) error {
	if len(paths) == 0 {
		return fmt.Errorf("name the files of HSM %s to verify: %w", secret.Serial, ck.CKR_ARGUMENTS_BAD)
	}
	v := audit.NewVerifier(secret.Secret, 0, 0)
	for _, path := range paths {
		if err := v.ReadFile(audit.File{Name: path, Path: path, Archived: true}, 0); err != nil {
			return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FILE_NOT_OPEN)
		}
	}
	fillVerification(r, secret.Serial, v.End(audit.Head{}))
	return nil
}

func (h *HSM) handleVerifyAuditRecords(ctx context.Context, _ *session, q *p11.VerifyAuditRecords, r *p11.AuditVerification) error {
	if h.audit == nil {
		return errNoAudit
	}
	secret, err := h.auditSecretOf(ctx, q.Serial)
	if err != nil {
		return err
	}
	var head audit.Head
	if q.ToHSM {
		if head = secret.Head; secret.Serial == h.auditSerial() {
			if head, _, err = h.audit.Snapshot(ctx); err != nil {
				return err
			}
		}
	}
	v := audit.NewVerifier(secret.Secret, 0, 0)
	if err := v.Read("", bytes.NewReader(q.Records)); err != nil {
		return err
	}
	fillVerification(r, secret.Serial, v.End(head))
	return nil
}

func fillVerification(r *p11.AuditVerification, serial string, found audit.Result) {
	*r = p11.AuditVerification{Serial: serial, Records: found.Records, First: found.First, Last: found.Last, More: found.More}
	for _, f := range found.Files {
		r.Files = append(r.Files, p11.AuditVerified(f))
	}
	for _, f := range found.Faults {
		r.Faults = append(r.Faults, p11.AuditFault{Kind: string(f.Kind), First: f.First, Last: f.Last, File: f.File, Line: f.Line, Text: f.String()})
	}
}

// auditSecretOf finds the log secret of an HSM, "" for this one.
func (h *HSM) auditSecretOf(ctx context.Context, serial string) (found *auditSecret, err error) {
	if serial == "" || serial == h.auditSerial() {
		secret, err := auditKeeper{h}.Secret(ctx)
		return &auditSecret{Serial: h.auditSerial(), Secret: secret}, err
	}
	err = h.store.View(ctx, func(tx store.Tx) (err error) {
		found, err = h.readAuditSecret(tx, serial)
		return err
	})
	if err == nil && found == nil {
		err = fmt.Errorf("the log secret of HSM %s was not imported: %w", serial, ck.CKR_LOG_NO_KCV)
	}
	return found, storeError(err)
}

func (h *HSM) handleExportAuditSecret(ctx context.Context, s *session, _ *p11.ExportAuditSecret, r *p11.AuditSecret) error {
	if h.audit == nil {
		return errNoAudit
	}
	domain, err := h.auditDomain(ctx, s)
	if err != nil {
		return err
	}
	defer clear(domain)
	secret, err := auditKeeper{h}.Secret(ctx)
	if err != nil {
		return err
	}
	head, _, err := h.audit.Snapshot(ctx)
	if err != nil {
		return err
	}
	out := &audit.Secret{Serial: h.auditSerial(), Secret: secret, Head: audit.Head{Sequence: head.Sequence, Link: head.Link}}
	if r.Data, err = out.Export(domain); err != nil {
		return err
	}
	r.Name = audit.SecretFileName(out.Serial)
	return nil
}

func (h *HSM) handleImportAuditSecret(ctx context.Context, s *session, q *p11.ImportAuditSecret, r *p11.AuditSecretInfo) error {
	domain, err := h.auditDomain(ctx, s)
	if err != nil {
		return err
	}
	defer clear(domain)
	in, err := audit.ImportSecret(q.Data, domain)
	switch {
	case errors.Is(err, audit.ErrDomain):
		return fmt.Errorf("%w: %w", err, ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID)
	case err != nil:
		return fmt.Errorf("%w: %w", err, ck.CKR_DATA_INVALID)
	case in.Serial == h.auditSerial():
		return fmt.Errorf("it is this HSM's own secret, which it has: %w", ck.CKR_ARGUMENTS_BAD)
	}
	r.Serial = in.Serial
	return storeError(h.store.Update(ctx, func(tx store.Tx) error {
		old, err := h.readAuditSecret(tx, in.Serial)
		if err != nil {
			return err
		}
		if old == nil {
			old = new(auditSecret)
		}
		old.Serial, old.Secret, old.Head = in.Serial, in.Secret, in.Head
		return h.putMeta(tx, kindAuditSecret, &old.record, old)
	}))
}

// maxExternal is how much of a message a record holds.
const maxExternal = 136

// handleLogExternal does nothing: recording the call records the message.
func (h *HSM) handleLogExternal(_ context.Context, _ *session, q *p11.LogExternal, _ *p11.None) error {
	if h.audit == nil {
		return errNoAudit
	}
	if n := len(q.Message); n == 0 || n > maxExternal || slices.ContainsFunc([]byte(q.Message), func(c byte) bool { return c < ' ' || c > '~' }) {
		return fmt.Errorf("a message has 1 to %d printable ASCII characters: %w", maxExternal, ck.CKR_DATA_LEN_RANGE)
	}
	return nil
}
