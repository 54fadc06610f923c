package sqlite

import (
	"context"
	"strings"
	"testing"
)

func plan(t *testing.T, c *conn, query string) string {
	t.Helper()
	var lines []string
	err := c.query(context.Background(), "EXPLAIN QUERY PLAN "+query, func(r *row) error {
		lines = append(lines, r.text(3))
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

func TestTmp(t *testing.T) {
	s, err := open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.readers.get(t.Context())
	defer s.readers.put(c)
	for _, q := range []string{findQueries[0], findQueries[1], findQueries[3],
		eachTerm + `DELETE FROM term WHERE space = ?1 AND kind = ?2 AND ref = ?3 AND term IN (SELECT substr(?4, i, 16) FROM at)`,
		"SELECT ref, space, kind, version, moment FROM record INDEXED BY record_by_moment WHERE moment > ?1" +
			" UNION ALL SELECT ref, space, kind, 0, moment FROM gone INDEXED BY gone_by_moment WHERE moment > ?1 ORDER BY moment",
		"SELECT moment FROM gone ORDER BY moment LIMIT 1 OFFSET ?",
		"DELETE FROM gone WHERE moment <= ?",
	} {
		t.Log(q + "\n" + plan(t, c, q))
	}
}
