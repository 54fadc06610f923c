package hsm

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// sessionState is a column of the access table: who is logged in, and whether
// the session is R/W.
type sessionState int

const (
	publicRO sessionState = iota
	publicRW
	officerRO
	officerRW
	userRO
	userRW
	partitionSO
	adminPublic // on the administration's slot, nobody logged in
	hsmSO
	numStates
)

// accessTable says what each request that names a session answers in each
// state, before anything else is looked at. What depends on the object (its
// class, private or not, token or not) is decided by mayMake and its kin.
//
//	.  goes on
//	L  CKR_USER_NOT_LOGGED_IN
//	A  CKR_USER_NOT_AUTHORIZED: this role may not
//	R  CKR_SESSION_READ_ONLY
//	N  CKR_FUNCTION_NOT_SUPPORTED: not on the administration's slot
//
// Columns: public, Crypto Officer and Crypto User, each R/O and R/W; Partition
// SO; administration public and HSM SO.
var accessTable = [p11.NumKinds]string{
	p11.KindCloseSession:       ".. .. .. . ..",
	p11.KindGetSessionInfo:     ".. .. .. . ..",
	p11.KindGetValidationFlags: ".. .. .. . ..",
	p11.KindSessionCancel:      ".. .. .. . ..",
	p11.KindLogin:              ".. .. .. . ..",
	p11.KindLogout:             ".. .. .. . ..",
	p11.KindInitPIN:            "RL RL RL . NN",
	p11.KindSetPIN:             "R. R. R. . ..",
	p11.KindCreateObject:       ".. .. .. . NN",
	p11.KindCopyObject:         ".. .. .. . NN",
	p11.KindDestroyObject:      ".. .. .. . NN",
	p11.KindGetObjectSize:      ".. .. .. . NN",
	p11.KindGetAttributeValue:  ".. .. .. . NN",
	p11.KindSetAttributeValue:  ".. .. AA . NN",
	p11.KindFindObjectsInit:    ".. .. .. . NN",
	p11.KindFindObjects:        ".. .. .. . NN",
	p11.KindFindObjectsFinal:   ".. .. .. . NN",
	p11.KindGetOperationState:  ".. .. .. . NN",
	p11.KindSetOperationState:  ".. .. .. . NN",
	p11.KindBegin:              ".. .. .. . NN",
	p11.KindUpdate:             ".. .. .. . NN",
	p11.KindDigestKey:          ".. .. .. A NN",
	p11.KindFinish:             ".. .. .. . NN",
	p11.KindDualUpdate:         ".. .. .. . NN",
	p11.KindMessage:            ".. .. .. A NN",
	p11.KindEndMessages:        ".. .. .. A NN",
	p11.KindGenerateKey:        ".. .. AA A NN",
	p11.KindGenerateKeyPair:    ".. .. AA A NN",
	p11.KindWrapKey:            ".. .. AA A NN",
	p11.KindUnwrapKey:          ".. .. AA A NN",
	p11.KindDeriveKey:          ".. .. .. A NN",
	p11.KindEncapsulateKey:     ".. .. .. A NN",
	p11.KindDecapsulateKey:     ".. .. .. A NN",
	p11.KindSeedRandom:         ".. .. .. . ..",
	p11.KindGenerateRandom:     ".. .. .. . ..",
	p11.KindSetHSMPolicy:       "AA AA AA A L.",
	p11.KindCreatePartition:    "AA AA AA A L.",
	p11.KindDeletePartition:    "AA AA AA A L.",
	p11.KindInitRole:           "RL R. RA . NN",
	p11.KindResetRole:          "RL R. RA . NN",
}

// access is the table in the form that a call looks at.
var access = parseAccess()

func parseAccess() (t [p11.NumKinds][numStates]ck.RV) {
	codes := map[rune]ck.RV{
		'.': ck.CKR_OK, 'L': ck.CKR_USER_NOT_LOGGED_IN, 'A': ck.CKR_USER_NOT_AUTHORIZED,
		'R': ck.CKR_SESSION_READ_ONLY, 'N': ck.CKR_FUNCTION_NOT_SUPPORTED,
	}
	for kind, row := range accessTable {
		state := sessionState(0)
		for _, c := range row {
			if c == ' ' {
				continue
			}
			rv, ok := codes[c]
			if !ok || state >= numStates {
				panic(fmt.Sprintf("hsm: access table, row %v", p11.Kind(kind)))
			}
			t[kind][state] = rv
			state++
		}
		if row != "" && state != numStates {
			panic(fmt.Sprintf("hsm: access table, row %v has %d columns", p11.Kind(kind), state))
		}
	}
	return t
}

// column is the session's column of the table.
func (s *session) column() sessionState {
	rw := sessionState(0)
	if s.rw {
		rw = 1
	}
	switch role := s.role(); {
	case role == p11.RoleHSMSO:
		return hsmSO
	case s.part.admin():
		return adminPublic
	case role == p11.RolePartitionSO:
		return partitionSO
	case role == p11.RoleCryptoOfficer:
		return officerRO + rw
	case role == p11.RoleCryptoUser:
		return userRO + rw
	default:
		return publicRO + rw
	}
}

// mayCall answers from the table.
func (s *session) mayCall(kind p11.Kind) error {
	if rv := access[kind][s.column()]; rv != ck.CKR_OK {
		return rv
	}
	return nil
}
