package sqlite

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/perilune/perilune/store"
)

// maxFound is how many findings of one kind Check reports.
const maxFound = 10

// rules are what holds between the rows of a sound store: each query finds what
// breaks one. What SQLite's own check finds, damaged pages and indexes that
// do not fit their tables, is none of theirs.
var rules = []struct{ query, format string }{
	{`SELECT ref, moment FROM record WHERE moment < 1 OR moment > (SELECT moment FROM state)`,
		"record %d: changed at moment %d, which has not been yet"},
	{`SELECT ref, version FROM record WHERE ref < 1 OR ref > (SELECT last_ref FROM state)`,
		"record %d (version %d): this ref was never given out"},
	{`SELECT ref, version FROM record WHERE version < 1 OR kind NOT BETWEEN 0 AND 255`,
		"record %d: version %d or kind cannot be"},
	{`SELECT r.ref, g.moment FROM record r JOIN gone g ON g.ref = r.ref`,
		"record %d: it is there, and was deleted at moment %d"},
	{`SELECT t.space, t.kind FROM tally t LEFT JOIN
		(SELECT space, kind, count(*) AS n, sum(charge) AS charge FROM record GROUP BY space, kind) r USING (space, kind)
		WHERE t.n <> coalesce(r.n, 0) OR t.charge <> coalesce(r.charge, 0)`,
		"space %d, kind %d: the number or the charge of its records is not what was counted"},
	{`SELECT DISTINCT r.space, r.kind FROM record r LEFT JOIN tally t USING (space, kind) WHERE t.n IS NULL`,
		"space %d, kind %d: its records were never counted"},
	{`SELECT t.ref, t.space FROM term t LEFT JOIN record r ON r.ref = t.ref AND r.space = t.space AND r.kind = t.kind WHERE r.ref IS NULL`,
		"record %d: the index of space %d names it, and it is not there"},
	{`SELECT gone, (SELECT count(*) FROM gone) FROM state WHERE gone <> (SELECT count(*) FROM gone)`,
		"%d records were deleted, and %d are noted"},
}

// Check implements store.Checker.
func (s *Store) Check(ctx context.Context) (found []string, err error) {
	err = s.View(ctx, func(v store.Tx) error {
		t := v.(*tx)
		found = nil
		for _, r := range rules {
			var list []string
			err := t.query(r.query, func(v *row) error {
				list = append(list, fmt.Sprintf(r.format, v.uint(0), v.uint(1)))
				return enough(maxFound, len(list))
			})
			if err != nil {
				return err
			}
			found = append(found, list...)
		}
		terms, err := t.checkTerms()
		found = append(found, terms...)
		return err
	})
	return found, err
}

// checkTerms looks every term of every record up in the index. If all are there
// and the index has no more of them, the two are equal.
func (t *tx) checkTerms() (found []string, err error) {
	var want, have int64
	err = t.query("SELECT ref, space, kind, terms FROM record", func(v *row) error {
		ref, terms := v.uint(0), v.bytes(3)
		n := 0
		for term := range slices.Chunk(terms, termSize) {
			err := t.query("SELECT 1 FROM term WHERE space = ? AND kind = ? AND term = ? AND ref = ?",
				func(*row) error { n++; return nil }, v.int(1), v.int(2), term, int64(ref))
			if err != nil {
				return err
			}
		}
		if want += int64(n); n*termSize != len(terms) && len(found) < maxFound {
			found = append(found, fmt.Sprintf("record %d: the index lacks entries of it", ref))
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	err = t.query("SELECT count(*) FROM term", func(v *row) error { have = v.int(0); return io.EOF })
	if err == nil && have != want && len(found) == 0 {
		found = append(found, fmt.Sprintf("the index has %d entries, and the records %d", have, want))
	}
	return found, err
}
