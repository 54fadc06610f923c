package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/perilune/perilune/ownfile"
)

// Forwarding. The files of the log are the queue: a server that is away loses
// nothing, and nothing waits in memory but one batch. Of all processes one
// forwards to a server, the one that has its lock; how far it came is in a file,
// so that the next goes on there.
const (
	ForwardDir  = "forward"
	forwardLock = "audit-forward-"

	forwardBatch = 256 // records
	// look is how often the one that forwards looks for records of other
	// processes, and the others whether it died.
	look       = time.Second
	firstPause = time.Second
	longPause  = 30 * time.Second
	// settling is how long a connection must last after a batch until the
	// batch is taken for read: a server that dies has not read what its
	// system took. Then the batch is sent again.
	settling = 5 * time.Second
	// parting is how long closing waits for the last records to go out.
	parting = time.Second
)

// forwarded is how far a server is.
type forwarded struct {
	Remote  string
	Sent    uint64 // number of the last record that it took
	Trouble string `json:",omitempty"`
}

// stateName is the file of a server.
func (r *Remote) stateName() string {
	sum := sha256.Sum256([]byte(r.String()))
	return hex.EncodeToString(sum[:8])
}

func readForwarded(dir string, remote Remote) (f forwarded, known bool, err error) {
	b, err := readBounded(filepath.Join(dir, ForwardDir, remote.stateName()), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return forwarded{Remote: remote.String()}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f, err == nil, err
}

func writeForwarded(dir string, remote Remote, f forwarded) error {
	where := filepath.Join(dir, ForwardDir)
	if err := ownfile.MakeDir(where); err != nil {
		return err
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	path := filepath.Join(where, remote.stateName())
	file, err := ownfile.Open(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// forwarder sends to one server.
type forwarder struct {
	r      *Recorder
	remote Remote
	news   chan struct{} // there are new records
	quit   chan struct{}
	done   sync.WaitGroup

	state forwarded
	conn  *connection
	at    cursor
}

// cursor is the place of a record.
type cursor struct {
	file   uint32
	offset int64
	next   uint64 // number of the record there; 0 for unknown
}

// forwardTo makes the forwarders be those of a list of servers.
func (r *Recorder) forwardTo(list []Remote) {
	r.forwardMu.Lock()
	defer r.forwardMu.Unlock()
	for name, f := range r.forwarders {
		if !slices.ContainsFunc(list, func(o Remote) bool { return o == f.remote }) {
			close(f.quit)
			f.done.Wait()
			delete(r.forwarders, name)
		}
	}
	for _, remote := range list {
		if r.forwarders[remote.String()] != nil {
			continue
		}
		f := &forwarder{r: r, remote: remote, news: make(chan struct{}, 1), quit: make(chan struct{})}
		f.done.Go(f.run)
		if r.forwarders == nil {
			r.forwarders = map[string]*forwarder{}
		}
		r.forwarders[remote.String()] = f
	}
}

// stopForwarding gives the forwarders a moment for what is new, and ends them.
func (r *Recorder) stopForwarding() {
	r.forwardMu.Lock()
	defer r.forwardMu.Unlock()
	for _, f := range r.forwarders {
		close(f.quit)
	}
	for _, f := range r.forwarders {
		f.done.Wait()
	}
	r.forwarders = nil
}

// announce tells the forwarders of new records.
func (r *Recorder) announce() {
	r.forwardMu.Lock()
	defer r.forwardMu.Unlock()
	for _, f := range r.forwarders {
		tell(f.news)
	}
}

// run waits until this process is the one to forward, and forwards.
func (f *forwarder) run() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		release, err := f.r.opts.Keeper.Lock(ctx, forwardLock+f.remote.stateName())
		cancel()
		if err == nil {
			f.forward()
			release()
			return
		}
		if !f.rest(nil, look) {
			return
		}
	}
}

// forward sends what is new, for as long as the process lives. Failures are
// tried again, after longer and longer pauses. When the forwarder is to end, it
// has a moment for the last records.
func (f *forwarder) forward() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-f.quit:
			time.AfterFunc(parting, cancel)
		case <-ended:
		}
	}()
	defer func() { f.conn.close() }()
	for pause := firstPause; ; {
		err := f.catchUp(ctx)
		news, wait := f.news, look
		if err != nil {
			f.failed(err)
			news, wait, pause = nil, pause, min(2*pause, longPause)
		} else {
			pause = firstPause
		}
		if !f.rest(news, wait) {
			if err == nil {
				_ = f.catchUp(ctx)
			}
			return
		}
	}
}

// rest waits for news; false when the forwarder is to end.
func (f *forwarder) rest(news <-chan struct{}, most time.Duration) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-f.quit:
		return false
	case <-news:
	case <-t.C:
	}
	return true
}

// beginForwarding finds out how far a server is, and notes of a new one that it
// gets the records after the newest one.
func (r *Recorder) beginForwarding(remote Remote) (f forwarded, err error) {
	f, known, err := readForwarded(r.opts.Dir, remote)
	if err != nil || known {
		return f, err
	}
	if err := ownfile.MakeDir(r.opts.Dir); err != nil {
		return f, err
	}
	h, _, _, err := newHeadFile(r.opts.Dir, r.opts.HeadKey).read()
	if err != nil {
		return f, err
	}
	f.Sent = h.Sequence
	where := filepath.Join(r.opts.Dir, ForwardDir)
	if err := ownfile.MakeDir(where); err != nil {
		return f, err
	}
	b, err := json.Marshal(f)
	if err != nil {
		return f, err
	}
	err = ownfile.Create(filepath.Join(where, remote.stateName()), remote.stateName()+".*.new", b)
	if errors.Is(err, fs.ErrExist) { // another process was first
		f, _, err = readForwarded(r.opts.Dir, remote)
	}
	return f, err
}

// catchUp sends everything up to the newest record.
func (f *forwarder) catchUp(ctx context.Context) error {
	if f.state.Remote == "" {
		state, err := f.r.beginForwarding(f.remote)
		if err != nil {
			return err
		}
		f.state = state
	}
	h, _, ok, err := newHeadFile(f.r.opts.Dir, f.r.opts.HeadKey).read()
	if err != nil || !ok {
		return err
	}
	if err := f.lostLately(); err != nil {
		return err
	}
	for f.state.Sent < h.Sequence {
		if err := ctx.Err(); err != nil {
			return err
		}
		lines, last, err := f.read(h.Sequence)
		if err != nil {
			return err
		}
		if err := f.send(ctx, lines, last); err != nil {
			return err
		}
	}
	return nil
}

// lostLately notices that the server went away soon after the last batch.
func (f *forwarder) lostLately() error {
	if f.conn == nil || !f.conn.lost() {
		return nil
	}
	again := f.conn.unsettled
	f.conn.close()
	f.conn = nil
	if again == 0 {
		return nil
	}
	f.state.Sent, f.at = again-1, cursor{}
	return writeForwarded(f.r.opts.Dir, f.remote, f.state)
}

// send sends a batch, and notes that it was taken.
func (f *forwarder) send(ctx context.Context, lines [][]byte, last uint64) error {
	if f.conn == nil {
		c, err := dial(ctx, &f.remote)
		if err != nil {
			return err
		}
		f.conn = c
	}
	first := f.state.Sent + 1
	messages, err := f.r.messages(lines)
	if err == nil {
		err = f.conn.send(messages, first)
	}
	if err != nil {
		f.at = cursor{}
		f.conn.close()
		f.conn = nil
		return err
	}
	f.state.Sent, f.state.Trouble = last, ""
	return writeForwarded(f.r.opts.Dir, f.remote, f.state)
}

// failed notes why the server gets nothing.
func (f *forwarder) failed(err error) {
	if f.state.Trouble == "" {
		f.r.opts.Warn("audit records wait for a server", "server", f.remote.String(), "error", err)
	}
	if f.state.Trouble != err.Error() {
		f.state.Trouble = err.Error()
		_ = writeForwarded(f.r.opts.Dir, f.remote, f.state)
	}
}

// read reads the next lines, at most up to the record until.
func (f *forwarder) read(until uint64) (lines [][]byte, last uint64, err error) {
	if f.at.next != f.state.Sent+1 {
		if err := f.seek(f.state.Sent + 1); err != nil {
			return nil, 0, err
		}
	}
	n := min(forwardBatch, int(until-f.at.next+1))
	for {
		lines, err = readLines(f.r.opts.Dir, f.r.opts.Serial, f.at, n)
		if err != nil || len(lines) > 0 {
			break
		}
		f.at.file, f.at.offset = f.at.file+1, 0 // the file is at its end
		if err := f.exists(f.at.file); err != nil {
			return nil, 0, err
		}
	}
	if err != nil {
		return nil, 0, err
	}
	last = f.at.next + uint64(len(lines)) - 1
	f.at.next, f.at.offset = last+1, f.at.offset+int64(len(lines))*LineSize
	return lines, last, nil
}

var errGone = errors.New("records that were not forwarded yet are gone from the log")

func (f *forwarder) exists(number uint32) error {
	file, err := openLogFile(f.r.opts.Dir, f.r.opts.Serial, number)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// seek finds a record. If the Auditor removed it, the oldest that is there is
// next.
func (f *forwarder) seek(number uint64) error {
	files, err := Files(f.r.opts.Dir, f.r.opts.Serial)
	if err != nil {
		return err
	}
	f.at = cursor{}
	for _, file := range files {
		first, err := firstNumber(file.Path)
		if err != nil || first == 0 {
			continue // empty, moved meanwhile, or damaged: verification tells
		}
		if first > number && f.at.next == 0 {
			number = first
		}
		if first <= number {
			f.at = cursor{file: file.Number, offset: int64(number-first) * LineSize, next: number}
		}
	}
	if f.at.next == 0 {
		return errGone
	}
	f.state.Sent = number - 1
	return nil
}

func firstNumber(path string) (uint64, error) {
	b, err := readBounded(path, LineSize)
	if err != nil || len(b) < LineSize {
		return 0, err
	}
	r, err := ParseLine(b)
	return r.Sequence, err
}

// openLogFile opens a file of the log wherever it is.
func openLogFile(dir, serial string, number uint32) (*os.File, error) {
	name := FileName(serial, number)
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(filepath.Join(dir, ArchiveDir, name))
	}
	return f, err
}

func readLines(dir, serial string, at cursor, n int) (lines [][]byte, err error) {
	f, err := openLogFile(dir, serial, at.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n*LineSize)
	got, err := f.ReadAt(b, at.offset)
	if got < LineSize && err != nil {
		return nil, nil // its end
	}
	for b = b[:got/LineSize*LineSize]; len(b) > 0; b = b[LineSize:] {
		lines = append(lines, bytes.TrimRight(b[:LineSize], "\n"))
	}
	return lines, nil
}

// Forwarding is how far a server is.
type Forwarding struct {
	Remote  Remote
	Sent    uint64
	Trouble string
}

// Forwarding tells of all servers.
func (r *Recorder) Forwarding() (list []Forwarding, err error) {
	for _, remote := range r.remotes() {
		f, _, err := readForwarded(r.opts.Dir, remote)
		if err != nil {
			return nil, err
		}
		list = append(list, Forwarding{Remote: remote, Sent: f.Sent, Trouble: f.Trouble})
	}
	return list, nil
}

// remotes are the servers of the configuration and of the options.
func (r *Recorder) remotes() []Remote {
	list := slices.Clone(r.opts.Remotes)
	for _, remote := range r.conf.Load().Remotes {
		if !slices.ContainsFunc(list, func(o Remote) bool { return o.String() == remote.String() }) {
			list = append(list, remote)
		}
	}
	return list
}

// BeginForwarding notes for servers that are new that they get what comes from
// now on.
func (r *Recorder) BeginForwarding(list []Remote) error {
	for _, remote := range list {
		if _, err := r.beginForwarding(remote); err != nil {
			return err
		}
	}
	return nil
}

// EndForwarding forgets how far servers are that get no more records.
func (r *Recorder) EndForwarding(list []Remote) error {
	for _, remote := range list {
		err := os.Remove(filepath.Join(r.opts.Dir, ForwardDir, remote.stateName()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// ErrUnsent says that a server has not got records yet.
var ErrUnsent = errors.New("not every remote host has got all of these records")

// sentTo is the last record that every server has; false if there is none.
func (r *Recorder) sentTo() (sent uint64, any bool, err error) {
	list, err := r.Forwarding()
	for i, f := range list {
		if i == 0 || f.Sent < sent {
			sent = f.Sent
		}
	}
	return sent, len(list) > 0, err
}

// unsent refuses to remove records up to last before every server has them.
func (r *Recorder) unsent(last uint64) error {
	sent, any, err := r.sentTo()
	if err != nil || !any || sent >= last {
		return err
	}
	return fmt.Errorf("%w: one has them up to %d, and they go to %d", ErrUnsent, sent, last)
}
