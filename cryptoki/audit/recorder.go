package audit

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/ownfile"
)

// Keeper is what the audit log needs of the HSM.
type Keeper interface {
	// Lock takes a named lock, shared by all processes of the HSM, and freed
	// when its holder dies.
	Lock(ctx context.Context, name string) (release func(), err error)
	// Secret returns the log secret, made when it is first asked for.
	Secret(ctx context.Context) ([]byte, error)
	// Settled returns the checkpoint of the store, and Settle replaces it.
	Settled(ctx context.Context) (Head, error)
	Settle(ctx context.Context, h Head) error
}

// Options say what a Recorder works with.
type Options struct {
	Dir     string // of the log; made when there is something to record
	Serial  string // of the HSM
	HeadKey []byte // authenticates the head file
	Keeper  Keeper
	Now     func() time.Time
	// Remotes are syslog servers beside those of the configuration.
	Remotes []Remote
	// Role names a role in records.
	Role func(byte) string
	// Warn tells the operator.
	Warn func(text string, args ...any)
}

const (
	logLock   = "audit-log"
	spoolLock = "audit-spool-"

	// batch is how long records of key use wait for company, and settleAfter
	// how long at most the store does not know of records.
	batch       = 50 * time.Millisecond
	settleAfter = time.Second
)

// Recorder takes what happens in one process and brings it into the log. It
// costs nothing until something is to be recorded.
type Recorder struct {
	opts    Options
	conf    atomic.Pointer[Config]
	mask    atomic.Uint32
	trouble atomic.Pointer[error] // why nothing can be recorded now

	mu       sync.Mutex // guards what follows
	spool    *spool
	reserved uint64 // slots promised to acts under way
	places   []int  // free places for acts that begin
	lost     uint64

	pending atomic.Bool   // the drainer was told that there is something
	wake    chan struct{} // there is something
	hurry   chan struct{} // the ring is half full
	quit    chan struct{}
	done    sync.WaitGroup

	drainMu   sync.Mutex // guards what follows; taken before mu and before the lock of the log
	log       *log
	unlock    func() // gives back the lock of the spool
	records   []Record
	unsettled bool
	settledAt time.Time
	sizes     sizes

	forwardMu  sync.Mutex // guards what follows
	forwarders map[string]*forwarder
}

// sizes is what the files other than the current one take.
type sizes struct {
	file   uint32 // the current one
	others int64
	known  bool
}

// NewRecorder makes a Recorder that records what always is recorded.
func NewRecorder(o Options) *Recorder {
	o.Remotes = slices.Clone(o.Remotes)
	r := &Recorder{opts: o, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), quit: make(chan struct{})}
	// Before the first record, so that new servers get it. Where that fails, the
	// forwarder tries again, and says so.
	_ = r.BeginForwarding(o.Remotes)
	r.Configure(DefaultConfig)
	return r
}

// Configure takes over what the Auditor set.
func (r *Recorder) Configure(c Config) {
	r.conf.Store(&c)
	r.mask.Store(uint32(c.Mask))
	r.forwardTo(r.remotes())
}

// Config is the configuration in force.
func (r *Recorder) Config() Config { return *r.conf.Load() }

// Mask is what is recorded now.
func (r *Recorder) Mask() Mask { return Mask(r.mask.Load()) }

// Wants reports whether an event of a category may have to be recorded,
// depending on how it ends.
func (r *Recorder) Wants(e Event, category Mask) bool {
	return r.Mask()&category != 0 || e.Always()
}

// keeps reports whether an act that ended so is recorded.
func (r *Recorder) keeps(e *Entry, category Mask) bool {
	m := r.Mask()
	outcome := OnSuccess
	if e.Code != uint32(ck.CKR_OK) {
		outcome = OnFailure
	}
	return e.Event.Always() || m&category != 0 && m&outcome != 0
}

// Ticket is the permission to act, and the place kept for the record.
type Ticket struct {
	place   int // among the acts under way; -1 for none
	dropped bool
}

// Begin makes sure that an act can be recorded before it begins. Where it
// cannot, the act must not happen, unless its event is exempt. Every ticket is
// given back by End.
func (r *Recorder) Begin(ctx context.Context, e *Entry) (Ticket, error) {
	exempt := e.Exempt || e.Event.Exempt()
	if e.Event.Durable() || r.trouble.Load() != nil {
		if err := r.ready(ctx); err != nil && !exempt {
			return Ticket{}, err
		}
	}
	for {
		t, ok, err := r.reserve(e)
		if ok {
			return t, nil
		}
		if err == nil {
			err = r.drain(ctx, 0, false)
		}
		if err != nil && exempt {
			return Ticket{dropped: true}, nil
		}
		if err != nil {
			return Ticket{}, r.classify(err)
		}
	}
}

// reserve takes a slot of the ring, if there is one.
func (r *Recorder) reserve(e *Entry) (t Ticket, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spool == nil {
		if err := r.openSpool(); err != nil {
			return Ticket{}, false, err
		}
	}
	if r.spool.written-r.spool.drained+r.reserved >= ringSlots {
		return Ticket{}, false, nil
	}
	r.reserved++
	t.place = -1
	if n := len(r.places); e.Event.Durable() && n > 0 {
		t.place, r.places = r.places[n-1], r.places[:n-1]
		r.spool.begin(t.place, e)
	}
	return t, true, nil
}

// openSpool makes this process's spool. Its lock, which is held as long as the
// process lives, is taken before the file is there, so that nobody takes it
// for a dead one's.
func (r *Recorder) openSpool() error {
	if err := ownfile.MakeDir(r.opts.Dir); err != nil {
		return err
	}
	var b [4]byte
	rand.Read(b[:])
	number := binary.LittleEndian.Uint32(b[:]) | 1 // not 0, which is no spool
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	unlock, err := r.opts.Keeper.Lock(ctx, spoolLock+spoolName(number))
	if err != nil {
		return err
	}
	if r.spool, err = makeSpool(r.opts.Dir, number); err != nil {
		r.spool = nil
		unlock()
		return err
	}
	r.unlock = unlock
	for i := range openSlots {
		r.places = append(r.places, i)
	}
	r.done.Go(r.run)
	return nil
}

// End records how an act ended, if that is wanted. When it returns, a durable
// record is on the disk; any other survives the death of the process.
func (r *Recorder) End(ctx context.Context, t Ticket, e *Entry, category Mask) {
	if t.dropped {
		if r.keeps(e, category) {
			r.drop()
		}
		return
	}
	index, half := r.finish(t, e, r.keeps(e, category))
	switch {
	case index == 0:
	case e.Event.Durable():
		if err := r.drain(ctx, index, events[e.Event].flags&settled != 0); err != nil {
			// It waits in the spool, and what follows is refused.
			r.opts.Warn("the audit log cannot be written; the record waits", "event", e.Event.String(), "error", r.classify(err))
		}
	case half:
		tell(r.hurry)
	case !r.pending.Swap(true):
		tell(r.wake)
	}
}

// finish puts the record into the ring and gives the ticket back.
func (r *Recorder) finish(t Ticket, e *Entry, keep bool) (index uint64, half bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
	if keep {
		r.spool.put(e)
		index = r.spool.written
		half = index-r.spool.drained == ringSlots/2
	}
	if t.place >= 0 {
		r.spool.end(t.place)
		r.places = append(r.places, t.place)
	}
	return index, half
}

// drop counts a record that could not be kept.
func (r *Recorder) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost++
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run brings records of key use into the log, in batches.
func (r *Recorder) run() {
	debug.SetPanicOnFault(true) // somebody may cut the spool short
	var settle <-chan time.Time
	for {
		select {
		case <-r.quit:
			return
		case <-settle:
			settle = nil
			r.drainQuietly(true)
		case <-r.wake:
			r.company()
			r.pending.Store(false)
			r.drainQuietly(false)
		case <-r.hurry:
			r.drainQuietly(false)
		}
		if settle == nil && r.needsMore() {
			settle = time.After(settleAfter)
		}
	}
}

// company waits for more records.
func (r *Recorder) company() {
	t := time.NewTimer(batch)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.hurry:
	case <-r.quit:
	}
}

// needsMore reports whether records wait, or the store has to hear of some.
func (r *Recorder) needsMore() bool {
	r.drainMu.Lock()
	defer r.drainMu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsettled || r.spool != nil && r.spool.written > r.spool.drained
}

func (r *Recorder) drainQuietly(settle bool) {
	defer func() {
		if p := recover(); p != nil {
			r.fail(fmt.Errorf("the spool was cut short: %v", p))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	before := r.trouble.Load()
	if err := r.drain(ctx, 0, settle); err != nil && before == nil {
		r.opts.Warn("the audit log cannot be written; records wait in the spool", "error", err)
	}
}

// ready brings the log up to date and says whether it can take more.
func (r *Recorder) ready(ctx context.Context) error {
	if err := r.drain(ctx, 0, false); err != nil {
		return r.classify(err)
	}
	if t := r.trouble.Load(); t != nil {
		return *t
	}
	return nil
}

// drain brings everything that waits into the log. With until, it is content
// when the record of that index is there: many threads share one drain.
func (r *Recorder) drain(ctx context.Context, until uint64, settle bool) error {
	r.drainMu.Lock()
	defer r.drainMu.Unlock()
	if until != 0 && !settle && r.drained() >= until {
		return nil
	}
	return r.locked(ctx, func(p *position) error { return r.drainOwn(ctx, p, settle) })
}

func (r *Recorder) drained() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spool.drained
}

// locked runs fn at the end of the log, which nobody else moves meanwhile. The
// caller holds drainMu.
func (r *Recorder) locked(ctx context.Context, fn func(*position) error) error {
	if err := r.openLog(ctx); err != nil {
		return r.fail(err)
	}
	release, err := r.opts.Keeper.Lock(ctx, logLock)
	if err != nil {
		return err // somebody else works long; that is no trouble of the log
	}
	defer release()
	settled, err := r.opts.Keeper.Settled(ctx)
	if err != nil {
		return err
	}
	p, err := r.log.find(settled)
	if err == nil {
		err = r.mend(p)
	}
	if err == nil {
		err = fn(p)
	}
	if err != nil {
		return r.fail(err)
	}
	return r.check(p)
}

func (r *Recorder) openLog(ctx context.Context) error {
	if r.log != nil {
		return nil
	}
	if err := ownfile.MakeDir(r.opts.Dir); err != nil {
		return err
	}
	secret, err := r.opts.Keeper.Secret(ctx)
	if err != nil {
		return err
	}
	r.log = newLog(r.opts.Dir, r.opts.Serial, secret, r.opts.HeadKey)
	return nil
}

// mend does what a process that died left undone, and records what was found
// in disorder.
func (r *Recorder) mend(p *position) error {
	for number, index := range p.written {
		if err := r.skip(number, index); err != nil {
			return err
		}
	}
	if err := r.log.prepare(p, r.conf.Load(), r.opts.Now()); err != nil {
		return err
	}
	if p.stale {
		if err := r.log.note(p); err != nil {
			return err
		}
	}
	for _, text := range p.repairs {
		r.opts.Warn("the audit log was in disorder", "found", text)
		e := Entry{Time: r.opts.Now(), Event: LogRepair, Detail: text}
		if err := r.write(p, []Record{r.record(&e, 0, 0)}, nil); err != nil {
			return err
		}
	}
	return nil
}

// skip notes that the records of a spool up to an index are in the log.
func (r *Recorder) skip(number, index uint32) error {
	r.mu.Lock()
	own := r.spool
	r.mu.Unlock()
	if own != nil && own.number == number {
		r.mu.Lock()
		defer r.mu.Unlock()
		return own.setDrained(r.opts.Dir, fullIndex(own, index))
	}
	names, err := filepath.Glob(filepath.Join(r.opts.Dir, SpoolDir, fmt.Sprintf("*-%08x", number)))
	if err != nil || len(names) != 1 || number == 0 {
		return err
	}
	s, err := readSpool(r.opts.Dir, filepath.Base(names[0]))
	if err != nil {
		return err
	}
	return s.setDrained(r.opts.Dir, fullIndex(s, index))
}

// fullIndex is the index of which a record shows the lower half.
func fullIndex(s *spool, low uint32) uint64 {
	full := s.drained + uint64(low-uint32(s.drained))
	if full > s.written {
		return s.drained // drained further already
	}
	return full
}

func (r *Recorder) record(e *Entry, spool, index uint32) Record {
	return Record{
		Time: e.Time, Message: e.message(r.opts.Role(e.Role)), Event: e.Event, Role: e.Role, Code: e.Code,
		Spool: spool, Index: index,
	}
}

// drainOwn brings this process's records into the log.
func (r *Recorder) drainOwn(ctx context.Context, p *position, settle bool) error {
	r.mu.Lock()
	own, lost := r.spool, r.lost
	r.mu.Unlock()
	if own != nil {
		if err := r.drainSpool(p, own); err != nil {
			return err
		}
	}
	if lost > 0 {
		e := Entry{Time: r.opts.Now(), Event: LogRepair, Detail: fmt.Sprintf("%d records were lost while the log was full", lost)}
		if err := r.write(p, []Record{r.record(&e, 0, 0)}, nil); err != nil {
			return err
		}
		r.mu.Lock()
		r.lost -= lost
		r.mu.Unlock()
	}
	return r.settle(ctx, p, settle)
}

// drainSpool brings what a spool holds into the log.
func (r *Recorder) drainSpool(p *position, s *spool) error {
	r.mu.Lock()
	from, to := s.drained, s.written
	r.mu.Unlock()
	r.records = r.records[:0]
	damaged := 0
	for i := from + 1; i <= to; i++ {
		e, ok := s.entry(i)
		if !ok {
			damaged++
			continue
		}
		r.records = append(r.records, r.record(&e, s.number, uint32(i)))
	}
	if damaged > 0 {
		e := Entry{Time: r.opts.Now(), Event: LogRepair, Detail: fmt.Sprintf("%d records of spool %s are damaged", damaged, s.name)}
		r.records = append(r.records, r.record(&e, s.number, uint32(to)))
	}
	return r.write(p, r.records, s)
}

// write appends records, files in turn, and keeps the head and the spool up to
// date. The spool first: after a crash in between, the head is found behind
// the log, and the log says which records of the spool it has.
func (r *Recorder) write(p *position, records []Record, s *spool) error {
	conf := r.conf.Load()
	for len(records) > 0 {
		if err := r.log.prepare(p, conf, r.opts.Now()); err != nil {
			return err
		}
		n, err := r.log.append(p, conf, records, r.opts.Now())
		if err != nil {
			return err
		}
		r.unsettled = true
		if s != nil {
			if err := r.advance(s, records[n-1].Index); err != nil {
				return err
			}
		}
		if err := r.log.note(p); err != nil {
			return err
		}
		records = records[n:]
		r.announce()
	}
	return nil
}

func (r *Recorder) advance(s *spool, index uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.setDrained(r.opts.Dir, s.drained+uint64(index-uint32(s.drained)))
}

// settle tells the store of the newest record, at once or when it has not heard
// for a while.
func (r *Recorder) settle(ctx context.Context, p *position, now bool) error {
	if !r.unsettled || !now && time.Since(r.settledAt) < settleAfter {
		return nil
	}
	if err := r.opts.Keeper.Settle(ctx, p.Head); err != nil {
		return err
	}
	r.unsettled, r.settledAt = false, time.Now()
	return nil
}

// check notes whether the log may grow.
func (r *Recorder) check(p *position) error {
	conf := r.conf.Load()
	var trouble error
	if conf.Limit > 0 {
		if !r.sizes.known || r.sizes.file != p.File || r.trouble.Load() != nil {
			files, err := Files(r.opts.Dir, r.opts.Serial)
			if err != nil {
				return r.fail(err)
			}
			r.sizes = sizes{file: p.File, others: totalSize(files) - p.Size, known: true}
		}
		if r.sizes.others+p.Size+room > conf.Limit {
			trouble = fmt.Errorf("%w: its files have %d bytes, of %d that it may have; archive and remove some", ErrFull, r.sizes.others+p.Size, conf.Limit)
		}
	}
	r.setTrouble(trouble)
	return nil
}

func (r *Recorder) setTrouble(err error) {
	if err == nil {
		r.trouble.Store(nil)
		return
	}
	err = r.classify(err)
	r.trouble.Store(&err)
}

// fail notes why the log cannot be written.
func (r *Recorder) fail(err error) error {
	r.setTrouble(err)
	return err
}

// classify gives an error the code that a caller gets for it.
func (r *Recorder) classify(err error) error {
	var rv ck.RV
	switch {
	case errors.As(err, &rv):
		return err
	case errors.Is(err, ErrFull), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", err, ck.CKR_LOG_FULL)
	}
	return fmt.Errorf("the audit log in %s cannot be written: %w: %w", r.opts.Dir, err, ck.CKR_LOG_FILE_WRITE_ERROR)
}

// Close brings everything into the log and ends the recorder. What cannot be
// written stays in the spool for whoever opens the HSM next.
func (r *Recorder) Close() {
	close(r.quit)
	r.done.Wait()
	r.closeSpool()
	r.stopForwarding()
}

func (r *Recorder) closeSpool() {
	if r.spool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.drain(ctx, 0, true); err != nil {
		r.opts.Warn("the audit log cannot be written; records wait in the spool", "error", err)
	} else if err := r.spool.remove(r.opts.Dir); err != nil {
		r.opts.Warn("a spool of the audit log cannot be removed", "error", err)
	}
	r.unlock()
}

// AdoptOrphans brings into the log what processes that died left in their spools.
// A spool that is locked for as long as patience is a living process's.
func (r *Recorder) AdoptOrphans(ctx context.Context, patience time.Duration) error {
	entries, err := os.ReadDir(filepath.Join(r.opts.Dir, SpoolDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return r.classify(err)
	}
	for _, e := range entries {
		if err := r.adoptOrphan(ctx, e.Name(), patience); err != nil {
			return err
		}
	}
	return nil
}

// adoptOrphan does so with one spool, if its process is dead.
func (r *Recorder) adoptOrphan(ctx context.Context, name string, patience time.Duration) error {
	if _, ok := parseSpoolName(name); !ok || r.isOwn(name) {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := r.opts.Keeper.Lock(soon, spoolLock+name)
	if err != nil {
		return nil // it lives
	}
	defer unlock()
	r.drainMu.Lock()
	defer r.drainMu.Unlock()
	err = r.locked(ctx, func(p *position) error {
		s, err := readSpool(r.opts.Dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it just ended
		}
		if err != nil {
			return err
		}
		if err := r.drainSpool(p, s); err != nil {
			return err
		}
		var begun []Record
		for _, e := range s.unfinished() {
			begun = append(begun, r.record(&e, s.number, uint32(s.written)))
		}
		if err := r.write(p, begun, s); err != nil {
			return err
		}
		if err := r.settle(ctx, p, true); err != nil {
			return err
		}
		return s.remove(r.opts.Dir)
	})
	if err != nil {
		return r.classify(err)
	}
	return nil
}

func (r *Recorder) isOwn(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spool != nil && r.spool.name == name
}

// Snapshot brings everything into the log that waits anywhere, and returns the
// newest record and the files as they are then.
func (r *Recorder) Snapshot(ctx context.Context) (h Head, files []File, err error) {
	if err := r.AdoptOrphans(ctx, time.Second); err != nil {
		return Head{}, nil, err
	}
	err = r.exclusively(ctx, func(p *position) error {
		h = p.Head
		files, err = Files(r.opts.Dir, r.opts.Serial)
		return err
	})
	return h, files, err
}

// exclusively runs fn at the end of the log, when all of this process is in it.
func (r *Recorder) exclusively(ctx context.Context, fn func(p *position) error) error {
	r.drainMu.Lock()
	defer r.drainMu.Unlock()
	err := r.locked(ctx, func(p *position) error {
		if err := r.drainOwn(ctx, p, true); err != nil {
			return err
		}
		return fn(p)
	})
	if err != nil {
		return r.classify(err)
	}
	return nil
}

// Rotate ends the current file, if there is anything in it.
func (r *Recorder) Rotate(ctx context.Context) error {
	return r.exclusively(ctx, func(p *position) error {
		if p.Size == 0 {
			return nil
		}
		if err := r.log.rotate(p, r.opts.Now()); err != nil {
			return err
		}
		return r.opts.Keeper.Settle(ctx, p.Head)
	})
}

// ErrNotOldest says that files are missing from a list of the oldest.
var ErrNotOldest = errors.New("only the oldest files can be removed, and only archived ones")

// Remove deletes archived files, which must be the oldest. Unless unsent is set,
// all servers must have them. Before it does, note is told the number of the
// last record that goes.
func (r *Recorder) Remove(ctx context.Context, names []string, unsent bool, note func(last uint64) error) error {
	var refused error
	err := r.exclusively(ctx, func(*position) error {
		files, err := Files(r.opts.Dir, r.opts.Serial)
		if err != nil {
			return err
		}
		gone := files[:min(len(names), len(files))]
		if refused = mayRemove(gone, names); refused != nil {
			return nil
		}
		last, err := r.lastRecord(gone)
		if err != nil {
			return err
		}
		if !unsent {
			if refused = r.unsent(last); refused != nil {
				return nil
			}
		}
		if refused = note(last); refused != nil {
			return nil
		}
		r.sizes.known = false
		for _, f := range gone {
			if err := os.Remove(f.Path); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = refused
	}
	return err
}

// mayRemove refuses files that are not named, or not archived.
func mayRemove(gone []File, names []string) error {
	for _, f := range gone {
		if !f.Archived || !slices.Contains(names, f.Name) {
			return fmt.Errorf("%s: %w", f.Name, ErrNotOldest)
		}
	}
	if len(gone) == 0 || len(gone) < len(names) {
		return ErrNotOldest
	}
	return nil
}

// lastRecord is the number of the last record in files, 0 if none is right.
func (r *Recorder) lastRecord(files []File) (last uint64, err error) {
	v := NewVerifier(r.log.secret, 0, 0)
	for _, f := range files {
		if err := v.ReadFile(f, 0); err != nil {
			return 0, err
		}
	}
	return v.End(Head{}).Last, nil
}

// Status is how the log is.
type Status struct {
	Newest  uint64
	Files   []File
	Waiting uint64
	Trouble error
}

// Status looks at the log without changing anything.
func (r *Recorder) Status(ctx context.Context) (s Status, err error) {
	h, _, _, err := newHeadFile(r.opts.Dir, r.opts.HeadKey).read()
	if err != nil {
		return s, err
	}
	settled, err := r.opts.Keeper.Settled(ctx)
	if err != nil {
		return s, err
	}
	s.Newest = newer(h, settled).Sequence
	if s.Files, err = Files(r.opts.Dir, r.opts.Serial); err != nil {
		return s, err
	}
	if t := r.trouble.Load(); t != nil {
		s.Trouble = *t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spool != nil {
		s.Waiting = r.spool.written - r.spool.drained
	}
	return s, nil
}
