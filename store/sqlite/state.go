package sqlite

import (
	"context"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/perilune/perilune/store"
)

// state is the one row of the table of that name.
type state struct {
	schema     uint64 // as PRAGMA user_version, but read with every transaction
	generation uint64 // number of the last commit
	lastRef    uint64 // last ref given out
	moment     uint64 // number of the last change of a record
	forgotten  uint64 // deletions up to this moment are no longer in gone
	gone       uint64 // number of rows in gone
}

// state reads the state. Inside a transaction that has read nothing yet, this
// fixes the moment that it sees.
func (c *conn) state(ctx context.Context) (s state, err error) {
	found := false
	err = c.query(ctx, "SELECT schema, generation, last_ref, moment, forgotten, gone FROM state WHERE id = 1",
		func(r *row) error {
			found = true
			s = state{r.uint(0), r.uint(1), r.uint(2), r.uint(3), r.uint(4), r.uint(5)}
			return nil
		})
	switch {
	case err != nil:
		return s, c.isNewer(err)
	case !found:
		return s, errDamagedRow
	case s.schema > uint64(schemaVersion):
		return s, errNewer(int64(s.schema))
	}
	return s, nil
}

// isNewer replaces the error of a query that a newer schema cannot answer.
func (c *conn) isNewer(err error) error {
	if e, ok := err.(sqlite3.Error); !ok || e.Code != sqlite3.ErrError {
		return err
	}
	if version, e := c.number("PRAGMA user_version"); e == nil && version > schemaVersion {
		return errNewer(version)
	}
	return err
}

func errNewer(version int64) error {
	return fmt.Errorf("%w: its schema is version %d and this program knows up to %d; use the newer program",
		store.ErrVersion, version, schemaVersion)
}

func (c *conn) writeState(s state) error {
	_, err := c.exec("UPDATE state SET generation = ?, last_ref = ?, moment = ?, forgotten = ?, gone = ? WHERE id = 1",
		int64(s.generation), int64(s.lastRef), int64(s.moment), int64(s.forgotten), int64(s.gone))
	return err
}
