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

// Find implements store.Tx.
func (t *tx) Find(space store.Space, kind store.Kind, terms []store.Term, after store.Ref, limit int) ([]store.Ref, error) {
	if err := t.usable(); err != nil || after > math.MaxInt64 {
		return nil, err
	}
	terms = distinct(slices.Clone(terms))
	rest := terms[min(len(terms), maxJoined):]
	terms = terms[:len(terms)-len(rest)]
	args := []driver.Value{int64(space), int64(kind), int64(after)}
	for _, term := range terms {
		args = append(args, term[:])
	}
	var found []store.Ref
	err := t.query(findQueries[len(terms)], func(r *row) error {
		ref := store.Ref(r.uint(0))
		has, err := t.hasTerms(space, kind, ref, rest)
		if err != nil || !has {
			return err
		}
		found = append(found, ref)
		return enough(limit, len(found))
	}, args...)
	return found, err
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
	queries[0] = "SELECT ref FROM record INDEXED BY record_by_kind WHERE unlikely(space = ?1) AND unlikely(kind = ?2) AND ref > ?3 ORDER BY ref"
	for n := 1; n <= maxJoined; n++ {
		queries[n] = findQuery(n)
	}
	return queries
}()

func findQuery(n int) string {
	var from, where []string
	for i := range n {
		from = append(from, fmt.Sprintf("term t%d", i))
		where = append(where, fmt.Sprintf("unlikely(t%d.space = ?1) AND unlikely(t%d.kind = ?2) AND unlikely(t%d.term = ?%d)", i, i, i, 4+i))
		if i > 0 {
			where = append(where, fmt.Sprintf("t%d.ref = t0.ref", i))
		}
	}
	return "SELECT t0.ref FROM " + strings.Join(from, " CROSS JOIN ") +
		" WHERE t0.ref > ?3 AND " + strings.Join(where, " AND ") + " ORDER BY t0.ref"
}
