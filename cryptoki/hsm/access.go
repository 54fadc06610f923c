package hsm

import (
	"fmt"

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
	limitedRO // Limited Crypto Officer
	limitedRW
	userRO
	userRW
	partitionSO
	expired     // of a partition: a role that must change its PIN first
	adminPublic // on the administration's slot, nobody logged in
	hsmSO
	auditor
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
//	X  CKR_PIN_EXPIRED: the role must change its PIN first
//	a  A in profiles with narrowRoles, else goes on
//	l  A in profiles with narrowRoles, else L
//
// Columns: public, Crypto Officer, Limited Crypto Officer and Crypto User, each
// R/O and R/W; Partition SO; whoever must change his PIN; administration: public,
// HSM SO, Auditor.
var accessTable = [p11.NumKinds]string{
	p11.KindCloseSession:       ".. .. .. .. . . ...",
	p11.KindGetSessionInfo:     ".. .. .. .. . . ...",
	p11.KindGetValidationFlags: ".. .. .. .. . . ...",
	p11.KindSessionCancel:      ".. .. .. .. . . ...",
	p11.KindLogin:              ".. .. .. .. . . ...",
	p11.KindLogout:             ".. .. .. .. . . ...",
	p11.KindInitPIN:            "RL Rl Rl Rl . X NNN",
	p11.KindSetPIN:             "R. R. R. R. . . ...",
	p11.KindCreateObject:       ".. .. .. .. a X NNN",
	p11.KindCopyObject:         ".. .. .. .. a X NNN",
	p11.KindDestroyObject:      ".. .. .. .. a X NNN",
	p11.KindGetObjectSize:      ".. .. .. .. . X NNN",
	p11.KindGetAttributeValue:  ".. .. .. .. . X NNN",
	p11.KindSetAttributeValue:  ".. .. .. AA a X NNN",
	p11.KindFindObjectsInit:    ".. .. .. .. . X NNN",
	p11.KindFindObjects:        ".. .. .. .. . X NNN",
	p11.KindFindObjectsFinal:   ".. .. .. .. . X NNN",
	p11.KindGetOperationState:  ".. .. .. .. . X NNN",
	p11.KindSetOperationState:  ".. .. .. .. a X NNN",
	p11.KindBegin:              ".. .. .. .. a X NNN",
	p11.KindUpdate:             ".. .. .. .. a X NNN",
	p11.KindDigestKey:          ".. .. .. .. A X NNN",
	p11.KindFinish:             ".. .. .. .. a X NNN",
	p11.KindDualUpdate:         ".. .. .. .. a X NNN",
	p11.KindMessage:            ".. .. .. .. A X NNN",
	p11.KindEndMessages:        ".. .. .. .. A X NNN",
	p11.KindGenerateKey:        ".. .. .. AA A X NNN",
	p11.KindGenerateKeyPair:    ".. .. .. AA A X NNN",
	p11.KindWrapKey:            ".. .. .. AA A X NNN",
	p11.KindUnwrapKey:          ".. .. .. AA A X NNN",
	p11.KindDeriveKey:          ".. .. .. .. A X NNN",
	p11.KindEncapsulateKey:     ".. .. .. .. A X NNN",
	p11.KindDecapsulateKey:     ".. .. .. .. A X NNN",
	p11.KindIsActive:           ".. .. .. .. . . ...",
	p11.KindSeedRandom:         ".. .. .. .. . . ...",
	p11.KindGenerateRandom:     ".. .. .. .. . . ...",
	p11.KindAcceptRestore:      "LL AA AA AA A A ..A",
	p11.KindSetHSMPolicy:       "LL AA AA AA A A L.A",
	p11.KindCreatePartition:    "LL AA AA AA A A L.A",
	p11.KindDeletePartition:    "LL AA AA AA A A L.A",
	p11.KindResizePartition:    "LL AA AA AA A A L.A",
	p11.KindRenamePartition:    "LL AA AA AA A A L.A",
	p11.KindLabelPartition:     "RL RA RA RA . X NNN",
	p11.KindClearPartition:     "RL R. R. R. a X NNN",
	p11.KindInitRole:           "RL R. RA RA . X NNN",
	p11.KindResetRole:          "RL R. RA RA . X NNN",
	p11.KindZeroizePartition:   "RL RA RA RA . X NNN",
	p11.KindModifyUsageCount:   "LL .. AA AA A X NNN",
	p11.KindExplainRefusal:     ".. .. .. .. . . ...",
	p11.KindSetCloningDomain:   "RL R. RA RA . X NNN",
	p11.KindCloneAsTargetInit:  "RL R. RA Ra A X NNN",
	p11.KindCloneAsSource:      "LL .. AA aa A X NNN",
	p11.KindCloneAsTarget:      "RL R. RA Ra A X NNN",
	p11.KindCloneObject:        "RL R. RA Ra A X NNN",
	p11.KindBackupArchive:      "LL .. AA AA A X NNN",
	p11.KindRestoreArchive:     "RL R. RA RA A X NNN",
	p11.KindReadArchive:        "LL .. AA AA A X NNN",

	p11.KindSetPartitionPolicy: "LL AA AA AA . X NNN",
	// The audit log is the Auditor's.
	p11.KindSetAuditDomain:     "LL AA AA AA A A LA.",
	p11.KindGetAuditConfig:     "LL AA AA AA A A LA.",
	p11.KindSetAuditConfig:     "LL AA AA AA A A LA.",
	p11.KindListAuditFiles:     "LL AA AA AA A A LA.",
	p11.KindRotateAuditLog:     "LL AA AA AA A A LA.",
	p11.KindRemoveAuditFiles:   "LL AA AA AA A A LA.",
	p11.KindVerifyAuditFiles:   "LL AA AA AA A A LA.",
	p11.KindVerifyAuditRecords: "LL AA AA AA A A LA.",
	p11.KindExportAuditSecret:  "LL AA AA AA A A LA.",
	p11.KindImportAuditSecret:  "LL AA AA AA A A LA.",
	p11.KindLogExternal:        "LL AA AA AA A A LA.",
}

// access is the table in the form that a call looks at: what the wide roles of
// the standard may, and what the narrow ones of devices may.
var access = [2]accessRows{parseAccess(false), parseAccess(true)}

type accessRows [p11.NumKinds][numStates]refusal

func parseAccess(narrow bool) (t accessRows) {
	letters := map[rune]refusal{
		'.': noRefusal, 'L': refuseNotLoggedIn, 'A': refuseRole, 'R': refuseReadOnlySession,
		'N': refuseAdminSlot, 'X': refusePINExpired, 'a': noRefusal, 'l': refuseNotLoggedIn,
	}
	if narrow {
		letters['a'], letters['l'] = refuseRole, refuseRole
	}
	for kind, row := range accessTable {
		state := sessionState(0)
		for _, c := range row {
			if c == ' ' {
				continue
			}
			r, ok := letters[c]
			if !ok || state >= numStates {
				panic(fmt.Sprintf("hsm: access table, row %v", p11.Kind(kind)))
			}
			t[kind][state] = r
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
	role, mustChange := s.acting()
	switch {
	case role == p11.RoleHSMSO:
		return hsmSO
	case role == p11.RoleAuditor:
		return auditor
	case s.part.admin():
		return adminPublic
	case mustChange:
		return expired
	case role == p11.RolePartitionSO:
		return partitionSO
	case role == p11.RoleCryptoOfficer:
		return officerRO + rw
	case role == p11.RoleLimitedCryptoOfficer:
		return limitedRO + rw
	case role == p11.RoleCryptoUser:
		return userRO + rw
	default:
		return publicRO + rw
	}
}

// mayCall answers from the table.
func (h *HSM) mayCall(s *session, kind p11.Kind) error {
	rows := &access[0]
	if h.profile().narrowRoles {
		rows = &access[1]
	}
	r := rows[kind][s.column()]
	if r == noRefusal {
		return nil
	}
	role, _ := s.acting()
	switch {
	case role == p11.RoleNone:
		return deny(r, "%v with nobody logged in", kind)
	case r == refusePINExpired:
		return deny(r, "the %v has to change its PIN before %v", role, kind)
	case r == refuseRole:
		return deny(r, "%v is not for the %v", kind, role)
	}
	return deny(r, "%v by the %v", kind, role)
}
