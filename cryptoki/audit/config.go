package audit

import (
	"fmt"
	"strings"
	"time"
)

// Config is what the Auditor sets.
type Config struct {
	Mask     Mask
	Rotation Rotation
	// FileSize is the size at which a file is full and the next begins.
	FileSize int64
	// Limit is how large all files may be together before the log counts as
	// full; 0 for no limit but the disk's.
	Limit int64
	// Remotes are the syslog servers that get a copy of every record.
	Remotes []Remote `json:",omitempty"`
}

// Limits of settings.
const (
	DefaultFileSize = 4 << 20
	MinFileSize     = 64 << 10
	MaxFileSize     = 1 << 30
)

// DefaultConfig is the configuration before the Auditor sets one: nothing is
// recorded but what always is.
var DefaultConfig = Config{Rotation: Never, FileSize: DefaultFileSize}

// Check refuses settings that make no sense.
func (c *Config) Check() error {
	if err := c.Mask.Check(); err != nil {
		return err
	}
	if _, ok := rotations[c.Rotation]; !ok {
		return errRotation(string(c.Rotation))
	}
	if c.FileSize < MinFileSize || c.FileSize > MaxFileSize {
		return fmt.Errorf("a log file has %d to %d bytes, not %d", MinFileSize, MaxFileSize, c.FileSize)
	}
	if c.Limit != 0 && c.Limit < c.FileSize {
		return fmt.Errorf("a limit of %d bytes is less than one file (%d)", c.Limit, c.FileSize)
	}
	for i := range c.Remotes {
		if err := c.Remotes[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// Rotation is how often a new file is begun.
type Rotation string

// The rotations. Periods begin at full hours, days and months of UTC, weeks on
// Monday.
const (
	Never   Rotation = "never"
	Hourly  Rotation = "hourly"
	Daily   Rotation = "daily"
	Weekly  Rotation = "weekly"
	Monthly Rotation = "monthly"
)

// rotations give the beginning of the period that a time is in.
var rotations = map[Rotation]func(time.Time) time.Time{
	Never:  func(time.Time) time.Time { return time.Time{} },
	Hourly: func(t time.Time) time.Time { return t.Truncate(time.Hour) },
	Daily:  day,
	Weekly: func(t time.Time) time.Time {
		return day(t).AddDate(0, 0, -int(t.Weekday()+6)%7)
	},
	Monthly: func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	},
}

func day(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// ParseRotation reads a rotation or its first letter.
func ParseRotation(text string) (Rotation, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	for r := range rotations {
		if text == string(r) || text == string(r)[:1] {
			return r, nil
		}
	}
	return "", errRotation(text)
}

func errRotation(text string) error {
	return fmt.Errorf("there is no rotation %q; there are hourly, daily, weekly, monthly and never", text)
}

// due reports whether a file begun at one time is to be followed by another.
func (r Rotation) due(opened, now time.Time) bool {
	start := rotations[r]
	return start != nil && start(opened.UTC()).Before(start(now.UTC()))
}
