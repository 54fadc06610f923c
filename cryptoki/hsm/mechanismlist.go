package hsm

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine"
)

// mechanismList is the mechanisms that a profile has.
type mechanismList struct {
	rows   map[ck.MechanismType]*engine.Mechanism
	listed []*engine.Mechanism // in the order of C_GetMechanismList
}

// mechanismTable is a profile's list as text, a mechanism a line: its number,
// another number that it is known by, its name, whether it is approved, its
// functions, and in bits the least size of keys, those in FIPS mode to make and
// to use what is there, and the greatest. What is not listed is not offered
// either, and what the engine does not have is left out.
type mechanismTable string

//go:embed mechanisms-luna-7.2.txt
var luna72Mechanisms mechanismTable

// list parses the table once; it is part of the program, so that a line that
// cannot be read is a mistake in it.
func (text mechanismTable) list() func() *mechanismList {
	return sync.OnceValue(func() *mechanismList {
		l := &mechanismList{rows: map[ck.MechanismType]*engine.Mechanism{}}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				l.add(strings.Fields(line))
			}
		}
		return l
	})
}

// functionFlags are the functions by the names of the table.
var functionFlags = map[string]ck.Flags{
	"Enc": ck.CKF_ENCRYPT, "Dec": ck.CKF_DECRYPT, "Sign": ck.CKF_SIGN, "Ver": ck.CKF_VERIFY, "Dig": ck.CKF_DIGEST,
	"Wrap": ck.CKF_WRAP, "Unw": ck.CKF_UNWRAP, "Der": ck.CKF_DERIVE, "GenKey": ck.CKF_GENERATE, "GenKP": ck.CKF_GENERATE_KEY_PAIR,
}

func (l *mechanismList) add(f []string) {
	if len(f) != 10 {
		panic(fmt.Sprintf("hsm: table of mechanisms: %q", f))
	}
	if f[9] != "listed" {
		return
	}
	var flags ck.Flags
	for name := range strings.SplitSeq(f[4], ",") {
		flags |= functionFlags[name]
	}
	first := true
	for _, number := range f[:2] {
		m := engine.Find(ck.MechanismType(tableNumber(number)))
		if number == "-" || m == nil || m.Info().Flags&flags != flags {
			continue // nothing of ours, or another mechanism of the same number
		}
		least := tableNumber(f[5])
		if least == 256 && m.Min == 255 { // the table counts the bits of the encoding of a curve over 2^255-19
			least = m.Min
		}
		row := m.Restricted(flags, least, tableNumber(f[8]))
		row.FIPS = row.FIPS && f[3] == "yes"
		l.rows[row.Type] = row
		if first {
			l.listed, first = append(l.listed, row), false
		}
	}
}

func tableNumber(s string) uint64 {
	if s == "-" {
		return 0
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic(fmt.Sprintf("hsm: table of mechanisms: %v", err))
	}
	return n
}
