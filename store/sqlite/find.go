package sqlite

import (
	"database/sql/driver"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perilune/perilune/store"
)

// maxJoined is how many terms Find gives to one query. The rest is checked
// record by record.
const maxJoined = 8

// Find implements store.Tx. It goes through the refs stretch by stretch, each as
// long as a few entries of the term that is rarest there, so that the price
// follows from the rarest term, whatever the caller takes for it, and a page of
// common ones is as cheap.
func (t *tx) Find(space store.Space, kind store.Kind, terms []store.Term, after store.Ref, limit int) ([]store.Ref, error) {
	if err := t.usable(); err != nil || after > math.MaxInt64 {
		return nil, err
	}
	terms = distinct(slices.Clone(terms))
	rest := terms[min(len(terms), maxJoined):]
	f := finding{tx: t, space: space, kind: kind, terms: terms[:len(terms)-len(rest)], rest: rest, limit: limit}
	for i := 0; after < math.MaxInt64 && (limit <= 0 || len(f.found) < limit); i++ {
		upTo, err := f.lead(after, reaches[min(i, len(reaches)-1)])
		if err != nil {
			return nil, err
		}
		if err := f.stretch(after, upTo); err != nil {
			return nil, err
		}
		after = upTo
	}
	return f.found, nil
}

// finding is one Find under way.
type finding struct {
	tx    *tx
	space store.Space
	kind  store.Kind
	terms []store.Term // for the query, that which leads first
	rest  []store.Term // looked up for each record
	limit int
	found []store.Ref
}

// lead puts that term first whose next entries, as many as a reach says, get
// farthest, and returns how far that is: to the end if there are fewer.
func (f *finding) lead(after store.Ref, reach string) (upTo store.Ref, err error) {
	if len(f.terms) < 2 {
		return math.MaxInt64, nil
	}
	first := 0
	for i, term := range f.terms {
		far := store.Ref(math.MaxInt64)
		err := f.tx.query(reach, func(r *row) error { far = store.Ref(r.uint(0)); return nil },
			int64(f.space), int64(f.kind), term[:], int64(after))
		if err != nil {
			return 0, err
		}
		if far > upTo {
			first, upTo = i, far
		}
		if far == math.MaxInt64 {
			break
		}
	}
	f.terms[0], f.terms[first] = f.terms[first], f.terms[0]
	return upTo, nil
}

// stretch finds the records after one ref, up to another.
func (f *finding) stretch(after, upTo store.Ref) error {
	args := []driver.Value{int64(f.space), int64(f.kind), int64(after), int64(upTo)}
	for i := range f.terms {
		args = append(args, f.terms[i][:])
	}
	return f.tx.query(findQueries[len(f.terms)], func(r *row) error {
		ref := store.Ref(r.uint(0))
		has, err := f.tx.hasTerms(f.space, f.kind, ref, f.rest)
		if err != nil || !has {
			return err
		}
		f.found = append(f.found, ref)
		return enough(f.limit, len(f.found))
	}, args...)
}

// reaches are the queries for the last of so many entries of a term after a ref,
// for the first stretch, the second, and all others: few at first, for most
// terms have few and most pages are small.
var reaches = []string{reachQuery(16), reachQuery(256), reachQuery(4096)}

func reachQuery(entries int) string {
	return fmt.Sprintf("SELECT ref FROM term WHERE unlikely(space = ?1) AND unlikely(kind = ?2) AND unlikely(term = ?3)"+
		" AND ref > ?4 ORDER BY ref LIMIT 1 OFFSET %d", entries-1)
}

func (t *tx) hasTerms(space store.Space, kind store.Kind, ref store.Ref, terms []store.Term) (bool, error) {
	for _, term := range terms {
		has := false
		err := t.query("SELECT 1 FROM term WHERE space = ? AND kind = ? AND term = ? AND ref = ?",
			func(*row) error { has = true; return nil }, int64(space), int64(kind), term[:], int64(ref))
		if err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// distinct keeps the first of each term.
func distinct(terms []store.Term) []store.Term {
	kept := terms[:0]
	for _, t := range terms {
		if !slices.Contains(kept, t) {
			kept = append(kept, t)
		}
	}
	return kept
}

// findQueries are the queries for so many terms. CROSS JOIN keeps SQLite to
// the order given: it walks the entries of the first term, which are sorted by
// ref, and looks each up under the others, so the first matches come at once.
//
// unlikely() changes no plan here. Without it SQLite lets its estimates depend
// on the values bound, and prepares the statement anew each time it runs, which
// takes longer than the query itself; the same holds for LIMIT with a parameter.
var findQueries = func() (queries [maxJoined + 1]string) {
	queries[0] = "SELECT ref FROM record INDEXED BY record_by_kind WHERE unlikely(space = ?1) AND unlikely(kind = ?2) AND ref > ?3 AND ref <= ?4 ORDER BY ref"
	for n := 1; n <= maxJoined; n++ {
		queries[n] = findQuery(n)
	}
	return queries
}()

func findQuery(n int) string {
	var from, where []string
	for i := range n {
		from = append(from, fmt.Sprintf("term t%d", i))
		where = append(where, fmt.Sprintf("unlikely(t%d.space = ?1) AND unlikely(t%d.kind = ?2) AND unlikely(t%d.term = ?%d)", i, i, i, 5+i))
		if i > 0 {
			where = append(where, fmt.Sprintf("t%d.ref = t0.ref", i))
		}
	}
	return "SELECT t0.ref FROM " + strings.Join(from, " CROSS JOIN ") +
		" WHERE t0.ref > ?3 AND t0.ref <= ?4 AND " + strings.Join(where, " AND ") + " ORDER BY t0.ref"
}
