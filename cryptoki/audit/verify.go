package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FaultKind is what is wrong with a log.
type FaultKind string

// What can be wrong.
const (
	Changed   FaultKind = "changed"   // a line is not what was written
	Missing   FaultKind = "removed"   // records that must be there are not
	Misplaced FaultKind = "reordered" // a record is not at its place
	Repeated  FaultKind = "repeated"  // a record is there again
	CutOff    FaultKind = "cut off"   // the newest records are not there
	Forked    FaultKind = "forked"    // records are right, but follow others than these
	Inserted  FaultKind = "preceded by what is no record"
)

// Fault is one thing that is wrong: the records First to Last, by number.
type Fault struct {
	Kind        FaultKind
	First, Last uint64
	File        string // where it shows
	Line        int    // from 1; 0 for the end of the file
	Explanation string
}

// String names the fault in words.
func (f Fault) String() string {
	what := fmt.Sprintf("record %d", f.First)
	verb := "is"
	if f.Last > f.First {
		what, verb = fmt.Sprintf("records %d to %d", f.First, f.Last), "are"
	}
	text := fmt.Sprintf("%s %s %s", what, verb, f.Kind)
	if f.File != "" {
		text += " (" + f.File
		if f.Line > 0 {
			text += fmt.Sprintf(", line %d", f.Line)
		}
		text += ")"
	}
	if f.Explanation != "" {
		text += ": " + f.Explanation
	}
	return text
}

// Result is what a verification found.
type Result struct {
	Records     uint64 // that are right
	First, Last uint64 // number of the first and the last of them; 0 if there is none
	Files       []FileResult
	Faults      []Fault
	// More says that there are more faults than are listed.
	More bool
}

// FileResult is what was found in one file.
type FileResult struct {
	Name        string
	First, Last uint64
	Records     uint64
}

// maxFaults is how many faults are listed.
const maxFaults = 1000

// Verifier reads files in their order and compares. Begin with NewVerifier.
type Verifier struct {
	chain *Chain
	res   Result
	next  uint64 // number of the record that comes next; 0 before the first
	link  Link   // of the record before, if known
	known bool
	begun bool
	bad   uint64 // how many lines were no records since the last that was one
	gaps  []gap
	until uint64 // records after this are not looked at; 0 for no limit
}

// gap is a stretch of records not seen yet, and the fault that says so.
type gap struct {
	first, last uint64
	fault       Fault
}

// NewVerifier verifies a log under its secret. first is the number of the
// first record that must be there, 0 if it may begin anywhere; it may begin
// before. Records after
// until are not looked at, if that is not 0: somebody may be writing them.
func NewVerifier(secret []byte, first, until uint64) *Verifier {
	v := &Verifier{chain: NewChain(secret), until: until}
	if first > 0 {
		v.next = first
		v.known = first == 1 // the first record follows the zero link
	}
	return v
}

// Read verifies the next file.
func (v *Verifier) Read(name string, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	v.res.Files = append(v.res.Files, FileResult{Name: name})
	for n := 1; ; n++ {
		text, err := readLine(in)
		if len(text) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		v.line(name, n, text)
	}
}

// readLine reads to the end of a line; of one that is far too long, as much as
// shows that.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line) <= LineSize {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (v *Verifier) line(name string, n int, text []byte) {
	l, err := v.chain.Parse(text)
	if err != nil {
		v.changed(name, n, err, l.Sequence)
		return
	}
	if v.until > 0 && l.Sequence > v.until {
		return
	}
	if v.bad > 0 && l.Sequence < v.next && l.Sequence+v.bad >= v.next {
		v.inserted(l.Sequence)
	}
	v.bad = 0
	if !v.begun && l.Sequence < v.next {
		v.next, v.known = l.Sequence, false
	}
	v.begun = true
	switch {
	case v.next == 0, l.Sequence == v.next:
	case l.Sequence > v.next:
		v.gaps = append(v.gaps, gap{v.next, l.Sequence - 1, Fault{File: name, Line: n}})
		v.known = false
	default:
		v.again(name, n, &l)
		return
	}
	if v.known && l.Before != v.link || l.Sequence == 1 && l.Before != (Link{}) {
		v.fault(Fault{Kind: Forked, First: l.Sequence, Last: l.Sequence, File: name, Line: n,
			Explanation: "it is genuine, but follows another record than the one before it: two copies of the HSM wrote records, or the log is put together from two"})
	}
	v.next, v.link, v.known = l.Sequence+1, l.Link, true
	v.good(l.Sequence)
}

// changed takes a line that is no record for the one that belongs in its place.
func (v *Verifier) changed(name string, n int, why error, says uint64) {
	if v.next == 0 {
		v.next = max(says, 1)
	}
	if v.until > 0 && v.next > v.until {
		return
	}
	v.fault(Fault{Kind: Changed, First: v.next, Last: v.next, File: name, Line: n, Explanation: why.Error()})
	v.next++
	v.bad++
	v.known = false
}

// inserted says of the last lines that were taken for changed records that they
// are none, for here come the records themselves.
func (v *Verifier) inserted(sequence uint64) {
	for i := len(v.res.Faults) - 1; i >= 0 && v.next > sequence; i-- {
		v.next--
		if f := &v.res.Faults[i]; f.Kind == Changed {
			f.Kind, f.First, f.Last = Inserted, sequence, sequence
		}
	}
	v.next = sequence
}

// again takes a genuine record that comes after records with greater numbers.
func (v *Verifier) again(name string, n int, l *Line) {
	for i := range v.gaps {
		g := v.gaps[i]
		if l.Sequence < g.first || l.Sequence > g.last {
			continue
		}
		v.fault(Fault{Kind: Misplaced, First: l.Sequence, Last: l.Sequence, File: name, Line: n, Explanation: "it comes after records that were written later"})
		v.good(l.Sequence)
		left, right := g, g
		left.last, right.first = l.Sequence-1, l.Sequence+1
		v.gaps = append(v.gaps[:i:i], append(halves(left, right), v.gaps[i+1:]...)...)
		return
	}
	v.fault(Fault{Kind: Repeated, First: l.Sequence, Last: l.Sequence, File: name, Line: n, Explanation: "it was there before"})
}

func halves(parts ...gap) (list []gap) {
	for _, g := range parts {
		if g.first <= g.last {
			list = append(list, g)
		}
	}
	return list
}

func (v *Verifier) good(sequence uint64) {
	v.res.Records++
	v.res.First, v.res.Last = widen(v.res.First, v.res.Last, sequence)
	f := &v.res.Files[len(v.res.Files)-1]
	f.Records++
	f.First, f.Last = widen(f.First, f.Last, sequence)
}

func widen(first, last, n uint64) (uint64, uint64) {
	if first == 0 || n < first {
		first = n
	}
	return first, max(last, n)
}

func (v *Verifier) fault(f Fault) {
	if len(v.res.Faults) >= maxFaults {
		v.res.More = true
		return
	}
	v.res.Faults = append(v.res.Faults, f)
}

// End compares the end of the log with the newest record that is known from
// elsewhere, and returns what was found.
func (v *Verifier) End(head Head) Result {
	for _, g := range v.gaps {
		g.fault.Kind, g.fault.First, g.fault.Last = Missing, g.first, g.last
		v.fault(g.fault)
	}
	next := max(v.next, 1)
	switch {
	case head.Sequence >= next:
		v.fault(Fault{Kind: CutOff, First: next, Last: head.Sequence, File: v.lastFile(),
			Explanation: fmt.Sprintf("the log goes on to record %d", head.Sequence)})
	case head.Sequence == next-1 && v.known && v.link != head.Link:
		v.fault(Fault{Kind: Forked, First: head.Sequence, Last: head.Sequence, File: v.lastFile(),
			Explanation: "it is genuine, but not the record that the HSM remembers"})
	}
	return v.res
}

func (v *Verifier) lastFile() string {
	if n := len(v.res.Files); n > 0 {
		return v.res.Files[n-1].Name
	}
	return ""
}

// ReadFile verifies the next file of a directory's log, which may be moved to
// the archive meanwhile. Of a file that grows, limit bytes are read; 0 reads
// all.
func (v *Verifier) ReadFile(f File, limit int64) error {
	in, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) && !f.Archived {
		in, err = os.Open(filepath.Join(filepath.Dir(f.Path), ArchiveDir, f.Name))
	}
	if err != nil {
		return err
	}
	defer in.Close()
	var r io.Reader = in
	if limit > 0 {
		r = io.LimitReader(in, limit)
	}
	return v.Read(f.Name, r)
}
