package sqlite

import (
	"math"
	"slices"
	"testing"

	"github.com/perilune/perilune/store"
)

// crowd is what the records of a large store carry, by their number: terms that
// are common and rare, here and there, with others and never with others.
var crowd = []func(i int) bool{
	func(i int) bool { return true },
	func(i int) bool { return i%2 == 0 },
	func(i int) bool { return i%2 == 1 },
	func(i int) bool { return i < crowdSize/2 },
	func(i int) bool { return i >= crowdSize/2 },
	func(i int) bool { return i%1000 == 999 },
	func(i int) bool { return i%1000 == 500 || i > crowdSize-300 },
	func(i int) bool { return i == 7777 },
	func(i int) bool { return i%3 != 0 },
	func(i int) bool { return i%5 != 0 },
	func(i int) bool { return false },
}

const crowdSize = 12_000

func crowdStore(t *testing.T) *Store {
	s := openTest(t, t.TempDir(), Options{})
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		for i := range crowdSize {
			ref, err := tx.NewRef()
			if err != nil {
				return err
			}
			r := store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1}
			for k, has := range crowd {
				if has(i) {
					r.Terms = append(r.Terms, benchTerm(uint64(k)))
				}
			}
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	}))
	return s
}

// TestFindInACrowd compares Find with the definition, for all sets of up to
// three terms and some of many, whole and page by page.
func TestFindInACrowd(t *testing.T) {
	s := crowdStore(t)
	var sets [][]int
	for a := range crowd {
		for b := range crowd {
			sets = append(sets, []int{a, b}, []int{a, b, (a + 2*b + 1) % len(crowd)})
		}
	}
	sets = append(sets, []int{0, 1, 3, 8, 9}, []int{9, 8, 6, 1, 0}, []int{0, 1, 1, 3, 5, 8, 9, 6, 2, 4, 10}, []int{4, 0, 9, 8, 2, 5})
	for _, set := range sets {
		var want []store.Ref
		for i := range crowdSize {
			if !slices.ContainsFunc(set, func(k int) bool { return !crowd[k](i) }) {
				want = append(want, store.Ref(i+1))
			}
		}
		for _, limit := range []int{0, 1500, 33} {
			if got := findPages(t, s, set, limit); !slices.Equal(got, want) {
				t.Errorf("terms %v in pages of %d: %d records found, want %d", set, limit, len(got), len(want))
			}
		}
	}
}

func findPages(t *testing.T, s *Store, set []int, limit int) (found []store.Ref) {
	t.Helper()
	var terms []store.Term
	for _, k := range set {
		terms = append(terms, benchTerm(uint64(k)))
	}
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		after := store.Ref(0)
		for {
			page, err := tx.Find(1, 1, terms, after, limit)
			found = append(found, page...)
			if err != nil || limit == 0 || len(page) < limit {
				return err
			}
			after = page[len(page)-1]
		}
	}))
	return found
}

// TestRarestLeads: whatever the order in which terms are named, the one with the
// fewest entries on the stretch ahead is walked.
func TestRarestLeads(t *testing.T) {
	s := crowdStore(t)
	for _, c := range []struct {
		terms []int
		after store.Ref
		reach string
		want  int
		upTo  store.Ref
	}{
		{terms: []int{0, 7}, reach: reaches[0], want: 7, upTo: math.MaxInt64},                // one entry
		{terms: []int{7, 0}, reach: reaches[0], want: 7, upTo: math.MaxInt64},                //
		{terms: []int{0, 1, 5}, reach: reaches[0], want: 5, upTo: math.MaxInt64},             // twelve
		{terms: []int{0, 10, 5}, reach: reaches[0], want: 10, upTo: math.MaxInt64},           // none
		{terms: []int{0, 1, 8}, reach: reaches[0], want: 1, upTo: 31},                        // the sixteenth of every other
		{terms: []int{3, 4}, reach: reaches[0], want: 4, upTo: crowdSize/2 + 16},             // that begins late
		{terms: []int{0, 6}, reach: reaches[0], want: 6, upTo: crowdSize - 300 + 2 + 3},      // twelve, then many
		{terms: []int{0, 2}, after: 11_000, reach: reaches[1], want: 2, upTo: 11_512},        // from the middle
		{terms: []int{0, 2}, after: 11_000, reach: reaches[2], want: 0, upTo: math.MaxInt64}, // both end
		{terms: []int{0}, reach: reaches[0], want: 0, upTo: math.MaxInt64},                   // alone
	} {
		must(t, s.View(t.Context(), func(v store.Tx) error {
			f := finding{tx: v.(*tx), space: 1, kind: 1}
			for _, k := range c.terms {
				f.terms = append(f.terms, benchTerm(uint64(k)))
			}
			upTo, err := f.lead(c.after, c.reach)
			if f.terms[0] != benchTerm(uint64(c.want)) || upTo != c.upTo {
				t.Errorf("terms %v: %x leads up to %d; want term %d, up to %d", c.terms, f.terms[0], upTo, c.want, c.upTo)
			}
			return err
		}))
	}
}
