package sqlite

import (
	"context"
	"database/sql/driver"
	"io"
	"net/url"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// conn is one connection to the database, used by one goroutine at a time. It
// keeps every statement that it ever prepared; there are few.
type conn struct {
	db    *sqlite3.SQLiteConn
	stmts map[string]*sqlite3.SQLiteStmt
}

// busyTimeout is how many milliseconds SQLite itself waits for a lock, asleep
// in C. It is short, so that a caller's context is looked at often enough.
const busyTimeout = "50"

// settings are what every connection starts with, beyond the driver's own.
var settings = []string{
	"PRAGMA secure_delete = ON",            // overwrite what is deleted
	"PRAGMA temp_store = MEMORY",           // no copies of records in /tmp
	"PRAGMA wal_autocheckpoint = 3000",     // pages: fewer moves of the log than by default, and not as long as the limit
	"PRAGMA journal_size_limit = 16777216", // bytes: give a grown WAL back to the disk
	"PRAGMA fullfsync = ON",                // where fsync alone does not reach the disk
	"PRAGMA checkpoint_fullfsync = ON",
	"PRAGMA cell_size_check = ON", // notice damage early
	"PRAGMA trusted_schema = OFF",
}

// persistWAL is SQLITE_FCNTL_PERSIST_WAL: the last connection leaves an empty
// -wal and a -shm file behind, so that a later reader who may not create files
// can still read.
const persistWAL = 10

// openConn opens the existing database file.
func openConn(file string) (*conn, error) {
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: url.Values{
		"mode":          {"rw"}, // SQLite must not create it: the mode of a new file is ours to choose
		"_mutex":        {"no"},
		"_busy_timeout": {busyTimeout},
		"_synchronous":  {"FULL"},
	}.Encode()}
	db, err := (&sqlite3.SQLiteDriver{}).Open(dsn.String())
	if err != nil {
		return nil, err
	}
	c := &conn{db: db.(*sqlite3.SQLiteConn), stmts: map[string]*sqlite3.SQLiteStmt{}}
	if err := c.set(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) set() error {
	for _, s := range settings {
		if err := c.run(s); err != nil {
			return err
		}
	}
	return c.db.SetFileControlInt("", persistWAL, 1)
}

// close frees the connection; it may not be used any more.
func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	return c.db.Close()
}

// stmt returns the prepared statement of a query.
func (c *conn) stmt(query string) (*sqlite3.SQLiteStmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.db.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s.(*sqlite3.SQLiteStmt)
	return c.stmts[query], nil
}

// exec runs a statement that returns no rows and tells how many it changed.
func (c *conn) exec(query string, args ...driver.Value) (changed int64, err error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// run runs statements that are not worth keeping prepared, and drops any rows.
func (c *conn) run(queries string) error {
	_, err := c.db.Exec(queries, nil)
	return err
}

// query calls scan for each row, until ctx ends or scan returns an error. The
// error io.EOF only ends the query.
func (c *conn) query(ctx context.Context, query string, scan func(r *row) error, args ...driver.Value) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args)
	if err != nil {
		return err
	}
	err = each(ctx, rows, scan)
	if e := rows.Close(); err == nil {
		err = e
	}
	return err
}

func each(ctx context.Context, rows driver.Rows, scan func(r *row) error) error {
	r := row{values: make([]driver.Value, len(rows.Columns()))}
	for {
		clear(r.values)
		if err := rows.Next(r.values); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		err := scan(&r)
		if r.damaged {
			return errDamagedRow
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// errDamagedRow says that a column holds a value of a type that nobody stored.
var errDamagedRow = sqlite3.Error{Code: sqlite3.ErrCorrupt}

// row is one row of a result.
type row struct {
	values  []driver.Value
	damaged bool // a value was asked for as what it is not
}

func (r *row) int(i int) int64 {
	v, ok := r.values[i].(int64)
	r.damaged = r.damaged || !ok
	return v
}

func (r *row) uint(i int) uint64 { return uint64(r.int(i)) }

func (r *row) bytes(i int) []byte {
	v, ok := r.values[i].([]byte)
	r.damaged = r.damaged || !ok
	return v
}

func (r *row) text(i int) string {
	switch v := r.values[i].(type) {
	case string:
		return v
	case []byte:
		return strings.ToValidUTF8(string(v), "?")
	}
	return ""
}
