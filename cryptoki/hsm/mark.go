package hsm

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/ownfile"
	"github.com/perilune/perilune/store"
)

// The mark tells an older copy of the store from the newest: it is kept apart
// from the store and holds the greatest moment that the store was seen at. A
// store that is found at a smaller one was put back from a copy. That is
// noticed, logged and shown until somebody accepts it, and hinders nothing: a
// copy is often the right way back to the keys.
//
// The mark never names a moment that is not durable in the store yet, whenever
// a process is killed, so it raises no false alarm. It may be behind: it is
// written at opening and closing, and after logins and administration, but not
// after every object. docs/SECURITY.md says how far that reaches.

// MarkPlace keeps the mark.
type MarkPlace interface {
	// Load returns what was saved last, nil if there is nothing.
	Load() ([]byte, error)
	// Save replaces it whole, by bytes of the same length. The first time, it
	// is durable when Save returns.
	Save(b []byte) error
}

// mark is the content.
type mark struct {
	moment uint64
	notice notice
	had    uint64 // what was noticed: the mark said so much
	found  uint64 // and the store so much
	at     int64  // seconds since 1970
}

// notice is what was noticed.
type notice uint64

const (
	noticeNone notice = iota
	noticeOlder
	noticeNoMark  // the store had a mark, which is not there
	noticeDamaged // the mark cannot be read
)

const (
	markVersion = 1
	markPlain   = 5 * 8
)

var markAAD = []byte("perilune mark")

func (m *mark) seal(aead cipher.AEAD) []byte {
	var plain []byte
	for _, v := range []uint64{m.moment, uint64(m.notice), m.had, m.found, uint64(m.at)} {
		plain = binary.LittleEndian.AppendUint64(plain, v)
	}
	return aead.Seal([]byte{markVersion}, nil, plain, markAAD)
}

var errMark = errors.New("the mark is damaged, or of another HSM")

func openMark(aead cipher.AEAD, b []byte) (*mark, error) {
	if len(b) == 0 || b[0] != markVersion {
		return nil, errMark
	}
	plain, err := aead.Open(nil, nil, b[1:], markAAD)
	if err != nil || len(plain) != markPlain {
		return nil, errMark
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(plain[8*i:]) }
	return &mark{moment: n(0), notice: notice(n(1)), had: n(2), found: n(3), at: int64(n(4))}, nil
}

// marker keeps the mark of an HSM up to date.
type marker struct {
	place MarkPlace // nil for no mark
	aead  cipher.AEAD

	state    atomic.Pointer[mark] // as this process knows it
	readOnly atomic.Bool          // nothing can be written where the store is
	warned   atomic.Bool          // that it cannot be written
}

// newMark begins the mark of a new HSM, before the store says that there is one.
func (h *HSM) newMark(ctx context.Context) error {
	if h.mark.place == nil {
		return nil
	}
	return h.withMark(ctx, func(old []byte) error {
		if old != nil {
			return nil
		}
		return h.mark.place.Save(new(mark).seal(h.mark.aead))
	})
}

// withMark runs fn with the saved mark, while no other process changes it.
func (h *HSM) withMark(ctx context.Context, fn func(old []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	release, err := h.store.Lock(ctx, "mark")
	switch {
	case errors.Is(err, store.ErrReadOnly):
		h.mark.readOnly.Store(true)
	case err != nil:
		return err
	default:
		defer release()
	}
	old, err := h.mark.place.Load()
	for range 3 { // without the lock somebody may be writing it
		if _, damaged := openMark(h.mark.aead, old); !h.mark.readOnly.Load() || damaged == nil || err != nil {
			break
		}
		old, err = h.mark.place.Load()
	}
	if err != nil {
		return err
	}
	return fn(old)
}

// checkMark compares the store with its mark when the HSM is opened. What hinders
// it is logged, and hinders nothing else, but that others may write the mark.
func (h *HSM) checkMark(ctx context.Context) error {
	if h.mark.place == nil {
		return nil
	}
	err := h.withMark(ctx, func(old []byte) error {
		moment, err := h.now(ctx) // read after the mark, which cannot be ahead of it
		if err != nil {
			return err
		}
		m := h.judge(old, moment)
		h.mark.state.Store(m)
		return h.saveMark(old, m)
	})
	if errors.Is(err, errMarkMode) {
		return err
	}
	if err != nil {
		h.warnMark(err)
		return nil
	}
	if m := h.mark.state.Load(); m.notice != noticeNone {
		h.log.Warn("the database may be an older copy: "+m.String(), "location", h.opts.Location,
			"advice", "if it was put back on purpose, say so with `perilune hsm accept-restore`; else find out who did it, and put the newest copy back")
	}
	if err := h.noteMarked(ctx); err != nil {
		h.warnMark(err)
	}
	return nil
}

// judge says what a mark, as saved, means for a store at a moment.
func (h *HSM) judge(old []byte, moment uint64) *mark {
	fresh := func(n notice, had uint64) *mark {
		return &mark{moment: moment, notice: n, had: had, found: moment, at: h.opts.Now().Unix()}
	}
	h.mu.RLock()
	marked := h.info.Marked
	h.mu.RUnlock()
	if old == nil {
		if marked {
			return fresh(noticeNoMark, 0)
		}
		return &mark{moment: moment}
	}
	m, err := openMark(h.mark.aead, old)
	switch {
	case err != nil:
		return fresh(noticeDamaged, 0)
	case m.moment > moment:
		return fresh(noticeOlder, m.moment)
	}
	m.moment = moment
	return m
}

// saveMark saves the mark if it says something new.
func (h *HSM) saveMark(old []byte, m *mark) error {
	if h.mark.readOnly.Load() {
		return nil
	}
	if old != nil {
		if was, err := openMark(h.mark.aead, old); err == nil && *was == *m {
			return nil
		}
	}
	return h.mark.place.Save(m.seal(h.mark.aead))
}

// noteMarked notes in the store that it has a mark, so that the loss of the mark
// is noticed. It does so once in the life of a store that is older than marks.
func (h *HSM) noteMarked(ctx context.Context) error {
	h.mu.RLock()
	marked := h.info.Marked
	h.mu.RUnlock()
	if marked || h.mark.readOnly.Load() {
		return nil
	}
	return h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil || m.hsm.Marked {
			return err
		}
		m.hsm.Marked = true
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
}

// now is the moment that the store is at. What is visible is durable.
func (h *HSM) now(ctx context.Context) (moment uint64, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		moment, err = tx.Now()
		return err
	})
	return moment, err
}

// raiseMark brings the mark up to the present.
func (h *HSM) raiseMark(ctx context.Context) {
	if h.mark.place == nil {
		return
	}
	err := h.withMark(ctx, func(old []byte) error {
		m, err := openMark(h.mark.aead, old)
		if err != nil {
			return nil // the next opening tells
		}
		moment, err := h.now(ctx)
		if err != nil || moment <= m.moment {
			return err
		}
		m.moment = moment
		h.mark.state.Store(m)
		return h.saveMark(nil, m)
	})
	if err != nil {
		h.warnMark(err)
	}
}

// marks are the requests after which the mark is raised: logins, right or
// wrong, and all administration.
var marks = func() (t [p11.NumKinds]bool) {
	for _, kind := range []p11.Kind{p11.KindLogin, p11.KindInitToken, p11.KindInitPIN, p11.KindSetPIN} {
		t[kind] = true
	}
	for kind := p11.KindGetHSMInfo; int(kind) < p11.NumKinds; kind++ {
		t[kind] = p11.Table[kind].Changes == p11.ChangesToken
	}
	return t
}()

func (h *HSM) warnMark(err error) {
	if !h.mark.warned.CompareAndSwap(false, true) {
		return
	}
	h.log.Warn("the mark by which an older copy of the database is noticed cannot be kept", "location", h.opts.Location, "error", err)
}

// String says what was noticed.
func (m *mark) String() string {
	switch m.notice {
	case noticeOlder:
		return fmt.Sprintf("it was seen at change %d, and found at change %d", m.had, m.found)
	case noticeNoMark:
		return "its mark is not beside it"
	case noticeDamaged:
		return "its mark cannot be read: it is damaged, or another HSM's"
	}
	return "nothing was noticed"
}

// restored is what GetHSMInfo tells.
func (h *HSM) restored() *p11.Restored {
	m := h.mark.state.Load()
	if m == nil || m.notice == noticeNone {
		return nil
	}
	return &p11.Restored{Text: m.String(), Had: m.had, Found: m.found, Noticed: time.Unix(m.at, 0).UTC().Format(time.RFC3339)}
}

// handleAcceptRestore takes the store for the newest that there is. Where there
// is an HSM SO, it is up to him.
func (h *HSM) handleAcceptRestore(ctx context.Context, s *session, _ *p11.AcceptRestore, _ *p11.None) error {
	if h.initialized() && s.role() != p11.RoleHSMSO {
		return deny(refuseNotLoggedIn, "the HSM has an SO, who must be logged in to accept a copy")
	}
	if h.mark.place == nil {
		return nil
	}
	return storeError(h.withMark(ctx, func(old []byte) error {
		moment, err := h.now(ctx)
		if err != nil {
			return err
		}
		m := &mark{moment: moment}
		if err := h.saveMark(old, m); err != nil {
			return err
		}
		h.mark.state.Store(m)
		return nil
	}))
}

// MarkFile keeps the mark in a file, small enough that one write replaces it
// whole.
type MarkFile string

// errMarkMode is for a mark that not only its owner can write.
var errMarkMode = errors.New("others may write it")

// Load implements MarkPlace. It refuses what is no regular file, and what others
// may write.
func (path MarkFile) Load() ([]byte, error) {
	f, err := os.OpenFile(string(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s: %w (mode %04o); run: chmod 600 %s", path, errMarkMode, info.Mode().Perm(), path)
	}
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0)
	return b[:n], nil
}

// Save implements MarkPlace.
func (path MarkFile) Save(b []byte) error {
	f, err := os.OpenFile(string(path), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ownfile.Create(string(path), ".perilune.mark-*", b)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if info, statErr := f.Stat(); statErr == nil && info.Size() > int64(len(b)) {
		err = errors.Join(err, f.Truncate(int64(len(b))))
	}
	return errors.Join(err, f.Close())
}
