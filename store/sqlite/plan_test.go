package sqlite

import (
	"context"
	"regexp"
	"strings"
	"testing"
)

// TestFindPlans holds SQLite to the plans that make Find fast: the first term
// is walked in the order of refs, the others are looked up, nothing is sorted.
func TestFindPlans(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	c, err := s.readers.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.readers.put(c)
	for n, query := range findQueries {
		lines := plan(t, c, query)
		want := []string{`^SEARCH t0 USING PRIMARY KEY \(space=\? AND kind=\? AND term=\? AND ref>\? AND ref<\?\)$`}
		if n == 0 {
			want = []string{`^SEARCH record USING COVERING INDEX record_by_kind \(space=\? AND kind=\? AND rowid>\? AND rowid<\?\)$`}
		}
		for range n - 1 {
			want = append(want, `^SEARCH t\d USING PRIMARY KEY \(space=\? AND kind=\? AND term=\? AND ref=\?\)$`)
		}
		if len(lines) != len(want) {
			t.Errorf("%d terms: plan is\n%s", n, strings.Join(lines, "\n"))
			continue
		}
		for i := range want {
			if !regexp.MustCompile(want[i]).MatchString(lines[i]) {
				t.Errorf("%d terms: step %d is %q", n, i, lines[i])
			}
		}
	}
}

// TestReachPlans does the same for the queries that look ahead.
func TestReachPlans(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	c, err := s.readers.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.readers.put(c)
	for _, query := range reaches {
		lines := plan(t, c, query)
		if want := "SEARCH term USING PRIMARY KEY (space=? AND kind=? AND term=? AND ref>?)"; len(lines) != 1 || lines[0] != want {
			t.Errorf("%s: plan is\n%s", query, strings.Join(lines, "\n"))
		}
	}
}

func plan(t *testing.T, c *conn, query string) (lines []string) {
	t.Helper()
	err := c.query(context.Background(), "EXPLAIN QUERY PLAN "+query, func(r *row) error {
		lines = append(lines, r.text(3))
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return lines
}
