package audit

import (
	"strconv"

	"github.com/perilune/perilune/cryptoki/ck"
)

// message is the text of a record, for people and for what searches logs.
func (e *Entry) message(role string) string {
	b := make([]byte, 0, messageSize)
	if e.Serial != 0 {
		b = append(b, "S/N "...)
		b = strconv.AppendUint(b, e.Serial, 10)
		b = append(b, ' ')
	}
	b = append(b, "session "...)
	b = strconv.AppendUint(b, e.Session, 10)
	b = append(b, " Access "...)
	b = strconv.AppendUint(b, uint64(e.AccessHi), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(e.AccessLo), 10)
	b = append(b, " operation "...)
	b = append(b, e.Event.String()...)
	b = append(b, " returned "...)
	b = appendCode(b, e.Code)
	if role != "" {
		b = append(b, " role "...)
		b = append(b, role...)
	}
	if e.Key != 0 {
		b = append(b, " key "...)
		b = strconv.AppendUint(b, e.Key, 10)
	}
	if e.KeyID != "" {
		b = append(b, " id "...)
		b = append(b, e.KeyID...)
	}
	if e.Mechanic {
		b = append(b, ' ')
		b = append(b, ck.MechanismType(e.Mechanism).String()...)
	}
	if e.Detail != "" {
		b = append(b, ' ')
		b = append(b, e.Detail...)
	}
	return string(b)
}

// appendCode adds a return code by name and number.
func appendCode(b []byte, code uint32) []byte {
	switch code {
	case uint32(ck.CKR_OK):
		return append(b, "RC_OK(0x00000000)"...)
	case Unfinished:
		return append(b, "RC_UNFINISHED(0xFFFFFFFF)"...)
	}
	b = append(b, ck.RV(code).String()...)
	b = append(b, "(0x"...)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[code>>shift&15])
	}
	return append(b, ')')
}
