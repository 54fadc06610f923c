package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/perilune/perilune/store"
)

// applicationID marks the file as ours in its header: "PRLN".
const applicationID = 0x50524c4e

// migrations take the schema from the version that is their index to the next.
// A migration that was released is never changed: docs/FORMAT.md describes each
// version, and testdata keeps a database of each.
var migrations = []func(*conn) error{
	createV1,
	addCharges,
}

// schemaVersion is the version that this program writes.
var schemaVersion = int64(len(migrations))

// createV1 makes the first schema. Numbers are the bits of their unsigned
// counterparts. state has one row, which every transaction reads first.
func createV1(c *conn) error {
	return c.run(`
CREATE TABLE state (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	schema     INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	last_ref   INTEGER NOT NULL,
	moment     INTEGER NOT NULL,
	forgotten  INTEGER NOT NULL,
	gone       INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
	ref     INTEGER PRIMARY KEY,
	space   INTEGER NOT NULL,
	kind    INTEGER NOT NULL,
	version INTEGER NOT NULL,
	moment  INTEGER NOT NULL,
	terms   BLOB NOT NULL,
	sealed  BLOB NOT NULL
) STRICT;
CREATE INDEX record_by_kind ON record (space, kind);
CREATE INDEX record_by_moment ON record (moment, space, kind, version);

CREATE TABLE term (
	space INTEGER NOT NULL,
	kind  INTEGER NOT NULL,
	term  BLOB NOT NULL,
	ref   INTEGER NOT NULL,
	PRIMARY KEY (space, kind, term, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
	space INTEGER NOT NULL,
	kind  INTEGER NOT NULL,
	n     INTEGER NOT NULL,
	PRIMARY KEY (space, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE gone (
	ref    INTEGER PRIMARY KEY,
	space  INTEGER NOT NULL,
	kind   INTEGER NOT NULL,
	moment INTEGER NOT NULL
) STRICT;
CREATE INDEX gone_by_moment ON gone (moment, space, kind);

INSERT INTO state VALUES (1, 1, 1, 0, 0, 0, 0);
`)
}

// addCharges is version 2: what records are charged with, and the sums. What
// older programs wrote is charged with the length of what is sealed until it is
// replaced.
func addCharges(c *conn) error {
	return c.run(`
ALTER TABLE record ADD COLUMN charge INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN charge INTEGER NOT NULL DEFAULT 0;
UPDATE record SET charge = length(sealed);
UPDATE tally SET charge = (SELECT coalesce(sum(r.charge), 0) FROM record r
	WHERE r.space = tally.space AND r.kind = tally.kind);
`)
}

// layout is what the newest schema consists of. A file with anything else in
// it, a trigger for example, is not one that we wrote.
var layout = []string{
	"index gone_by_moment", "index record_by_kind", "index record_by_moment",
	"table gone", "table record", "table state", "table tally", "table term",
}

// migrate brings the database up to this program's version. The caller holds
// the opening lock. Each step is one transaction, so that a process which dies
// on the way leaves a file of one version or of the next.
func migrate(c *conn, file string, writable bool) error {
	for {
		version, err := checkVersion(c, file)
		if err != nil {
			return err
		}
		if version == schemaVersion {
			return checkLayout(c, file)
		}
		if !writable {
			return fmt.Errorf("%w: %s has schema version %d and needs to be brought to version %d: %s once",
				store.ErrReadOnly, file, version, schemaVersion, adviseWritable)
		}
		if err := migrateOnce(c, version); err != nil {
			return err
		}
	}
}

// checkVersion returns the schema version of the file, 0 for an empty one.
func checkVersion(c *conn, file string) (int64, error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	pages, err := c.number("PRAGMA page_count")
	if err != nil {
		return 0, err
	}
	switch {
	case id == applicationID && version > schemaVersion:
		return 0, errNewer(version)
	case id == applicationID && version > 0:
		return version, nil
	case id == 0 && version == 0 && pages <= 1: // one page: killed between WAL and schema
		return 0, nil
	}
	return 0, fmt.Errorf("%w: %s is not a Perilune store (application id %#x, version %d); %s",
		store.ErrCorrupt, file, id, version, adviseRestore)
}

func migrateOnce(c *conn, version int64) (err error) {
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = c.run("ROLLBACK")
		}
	}()
	if err := migrations[version](c); err != nil {
		return err
	}
	err = c.run(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; UPDATE state SET schema = %d;",
		applicationID, version+1, version+1))
	if err != nil {
		return err
	}
	return c.run("COMMIT")
}

func checkLayout(c *conn, file string) error {
	var found []string
	err := c.query(context.Background(),
		"SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
		func(r *row) error {
			found = append(found, r.text(0)+" "+r.text(1))
			return nil
		})
	if err != nil {
		return err
	}
	slices.Sort(found)
	if !slices.Equal(found, layout) {
		return fmt.Errorf("%w: %s has an unknown layout (%s); %s", store.ErrCorrupt, file, strings.Join(found, ", "), adviseRestore)
	}
	return nil
}

// number returns the one number that a query gives.
func (c *conn) number(query string) (n int64, err error) {
	err = c.query(context.Background(), query, func(r *row) error {
		n = r.int(0)
		return nil
	})
	return n, err
}
