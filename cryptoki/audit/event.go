package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Event is what a record tells of. The numbers are stored: new ones are added
// at the end.
type Event uint16

// The events.
const (
	NoEvent Event = iota

	// Access.
	Login
	Logout
	OpenSession
	CloseSession
	CloseAllSessions
	ModifyObject
	OpenAccess
	CleanAccess
	CloseAccess
	HALogin

	External // a message of an application's own

	// Management.
	Zeroize
	InitToken
	SetPIN
	InitPIN
	ResetPIN
	CreatePartition
	DeletePartition
	ResizePartition
	ChangePartition
	SeedRandom
	GetOperationState
	SetOperationState
	SelfTest
	SetHSMPolicy
	SetDestructiveHSMPolicy
	SetPartitionPolicy
	SetDestructivePartitionPolicy
	ApplyPolicyTemplate
	SetDomain
	FactoryReset
	Tamper

	// Key management.
	CreateObject
	CopyObject
	DestroyObject
	GenerateKey
	GenerateKeyPair
	WrapKey
	UnwrapKey
	DeriveKey
	EncapsulateKey
	DecapsulateKey
	GetRandom
	CloneAsSource
	CloneAsTarget
	Extract
	Insert
	ModifyUsageCount

	// Use of keys.
	EncryptInit
	Encrypt
	EncryptEnd
	EncryptSinglepart
	DecryptInit
	Decrypt
	DecryptEnd
	DecryptSinglepart
	DigestInit
	Digest
	DigestEnd
	DigestSinglepart
	DigestKey
	SignInit
	Sign
	SignEnd
	SignSinglepart
	VerifyInit
	Verify
	VerifyEnd
	VerifySinglepart

	// Log management.
	InitAuditor
	LogSetTime
	LogGetTime
	LogSetConfig
	LogGetConfig
	LogVerify
	LogExportSecret
	LogImportSecret
	LogRotate
	LogRemove
	LogRepair

	AcceptRestore // management

	NumEvents int = iota
)

// Mask says which events are recorded: categories, and which outcomes.
type Mask uint32

// The bits of a Mask. They are stored.
const (
	OnFailure Mask = 1 << iota
	OnSuccess
	Access
	Manage
	KeyManage
	Asymmetric
	First // only the first use of an asymmetric key
	Symmetric
	SymFirst // only the first use of a symmetric key
	FromOutside
	LogManage
	endOfMask

	outcomes = OnFailure | OnSuccess
	AllOfIt  = endOfMask - 1
)

// word is a name of bits, long and short.
type word struct {
	long, short string
	bits        Mask
}

var words = []word{
	{"failure", "f", OnFailure}, {"success", "s", OnSuccess},
	{"access", "a", Access}, {"manage", "m", Manage}, {"keymanage", "k", KeyManage},
	{"asymmetric", "c", Asymmetric}, {"first", "r", First},
	{"symmetric", "y", Symmetric}, {"symfirst", "i", SymFirst},
	{"external", "x", FromOutside}, {"logmanage", "g", LogManage},
	{"all", "l", AllOfIt}, {"none", "n", 0},
}

// Words lists the long names of the categories and outcomes.
func Words() (list []string) {
	for _, w := range words {
		list = append(list, w.long)
	}
	return list
}

// ParseMask reads a list of words with commas between them. A category without
// an outcome is refused, as it would record nothing; and so is the contrary.
func ParseMask(text string) (m Mask, err error) {
	var none bool
	for _, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(strings.ToLower(name))
		i := slices.IndexFunc(words, func(w word) bool { return name == w.long || name == w.short })
		if i < 0 {
			return 0, fmt.Errorf("there is no category %q; there are %s", name, strings.Join(Words(), ", "))
		}
		m |= words[i].bits
		none = none || words[i].bits == 0
	}
	if none && m != 0 {
		return 0, fmt.Errorf("%q stands alone: it turns everything off", "none")
	}
	return m, m.Check()
}

// Check refuses a mask that would record nothing although it names something.
func (m Mask) Check() error {
	switch {
	case m >= endOfMask:
		return fmt.Errorf("event mask %#x has bits that mean nothing", uint32(m))
	case m != 0 && m&outcomes == 0:
		return fmt.Errorf("a category needs success, failure or both, or nothing would be recorded")
	case m&outcomes != 0 && m&^outcomes == 0:
		return fmt.Errorf("success and failure need a category, or nothing would be recorded")
	}
	return nil
}

// String is the list that ParseMask reads.
func (m Mask) String() string {
	switch m {
	case 0:
		return "none"
	case AllOfIt:
		return "all"
	}
	var list []string
	for _, w := range words {
		if w.bits != AllOfIt && m&w.bits != 0 {
			list = append(list, w.long)
		}
	}
	return strings.Join(list, ",")
}

// flags of an event.
type flags uint8

const (
	always  flags = 1 << iota // recorded whatever the mask says
	exempt                    // goes on when nothing can be recorded
	durable                   // on the disk before the call returns
	settled                   // brings the checkpoint in the store up to date
)

// eventRow is what is known of an event. Use of keys has no category here: the
// key tells it.
type eventRow struct {
	name     string
	category Mask
	flags    flags
}

const administrative = durable | settled

var events = [NumEvents]eventRow{
	NoEvent: {"", 0, 0},

	Login:            {"LOGIN", Access, durable},
	Logout:           {"LOGOUT", Access, exempt},
	OpenSession:      {"OPEN_SESSION", Access, exempt},
	CloseSession:     {"CLOSE_SESSION", Access, exempt},
	CloseAllSessions: {"CLOSE_ALL_SESSIONS", Access, exempt},
	ModifyObject:     {"MODIFY_OBJECT", Access, durable},
	OpenAccess:       {"OPEN_ACCESS", Access, durable},
	CleanAccess:      {"CLEAN_ACCESS", Access, durable},
	CloseAccess:      {"CLOSE_ACCESS", Access, durable},
	HALogin:          {"HA_LOGIN", Access, durable},

	External: {"LOG_EXTERNAL", FromOutside, durable},

	Zeroize:                       {"ZEROIZE", Manage, administrative | always | exempt},
	InitToken:                     {"INIT_TOKEN", Manage, administrative | always},
	SetPIN:                        {"SET_PIN", Manage, administrative},
	InitPIN:                       {"INIT_PIN", Manage, administrative},
	ResetPIN:                      {"RESET_PIN", Manage, administrative},
	CreatePartition:               {"CREATE_PARTITION", Manage, administrative},
	DeletePartition:               {"DELETE_PARTITION", Manage, administrative},
	ResizePartition:               {"SET_PARTITION_SIZE", Manage, administrative},
	ChangePartition:               {"CHANGE_PARTITION", Manage, administrative},
	SeedRandom:                    {"SEED_RANDOM", Manage, 0},
	GetOperationState:             {"EXTRACT_CONTEXTS", Manage, durable},
	SetOperationState:             {"INSERT_CONTEXTS", Manage, durable},
	SelfTest:                      {"SELF_TEST", Manage, durable},
	SetHSMPolicy:                  {"SET_HSM_POLICY", Manage, administrative},
	SetDestructiveHSMPolicy:       {"SET_DESTRUCTIVE_HSM_POLICY", Manage, administrative},
	SetPartitionPolicy:            {"SET_PARTITION_POLICY", Manage, administrative},
	SetDestructivePartitionPolicy: {"SET_DESTRUCTIVE_PARTITION_POLICY", Manage, administrative},
	ApplyPolicyTemplate:           {"APPLY_POLICY_TEMPLATE", Manage, administrative},
	SetDomain:                     {"SET_DOMAIN", Manage, administrative},
	FactoryReset:                  {"FACTORY_RESET", Manage, administrative | always | exempt},
	Tamper:                        {"TAMPER", Manage, administrative | always | exempt},

	CreateObject:     {"CREATE_OBJECT", KeyManage, durable},
	CopyObject:       {"COPY_OBJECT", KeyManage, durable},
	DestroyObject:    {"DESTROY_OBJECT", KeyManage, durable},
	GenerateKey:      {"GENERATE_KEY", KeyManage, durable},
	GenerateKeyPair:  {"GENERATE_KEY_PAIR", KeyManage, durable},
	WrapKey:          {"WRAP_KEY", KeyManage, durable},
	UnwrapKey:        {"UNWRAP_KEY", KeyManage, durable},
	DeriveKey:        {"DERIVE_KEY", KeyManage, durable},
	EncapsulateKey:   {"ENCAPSULATE_KEY", KeyManage, durable},
	DecapsulateKey:   {"DECAPSULATE_KEY", KeyManage, durable},
	GetRandom:        {"GET_RANDOM", KeyManage, 0},
	CloneAsSource:    {"CLONE_AS_SOURCE", KeyManage, durable},
	CloneAsTarget:    {"CLONE_AS_TARGET", KeyManage, durable},
	Extract:          {"EXTRACT", KeyManage, durable},
	Insert:           {"INSERT", KeyManage, durable},
	ModifyUsageCount: {"MODIFY_USAGE_COUNT", KeyManage, durable},

	EncryptInit:       {"ENCRYPT_INIT", 0, 0},
	Encrypt:           {"ENCRYPT", 0, 0},
	EncryptEnd:        {"ENCRYPT_END", 0, 0},
	EncryptSinglepart: {"ENCRYPT_SINGLEPART", 0, 0},
	DecryptInit:       {"DECRYPT_INIT", 0, 0},
	Decrypt:           {"DECRYPT", 0, 0},
	DecryptEnd:        {"DECRYPT_END", 0, 0},
	DecryptSinglepart: {"DECRYPT_SINGLEPART", 0, 0},
	DigestInit:        {"DIGEST_INIT", 0, 0},
	Digest:            {"DIGEST", 0, 0},
	DigestEnd:         {"DIGEST_END", 0, 0},
	DigestSinglepart:  {"DIGEST_SINGLEPART", 0, 0},
	DigestKey:         {"DIGEST_KEY", 0, 0},
	SignInit:          {"SIGN_INIT", 0, 0},
	Sign:              {"SIGN", 0, 0},
	SignEnd:           {"SIGN_END", 0, 0},
	SignSinglepart:    {"SIGN_SINGLEPART", 0, 0},
	VerifyInit:        {"VERIFY_INIT", 0, 0},
	Verify:            {"VERIFY", 0, 0},
	VerifyEnd:         {"VERIFY_END", 0, 0},
	VerifySinglepart:  {"VERIFY_SINGLEPART", 0, 0},

	InitAuditor:     {"INIT_AUDITOR", LogManage, administrative | always | exempt},
	LogSetTime:      {"LOG_SET_TIME", LogManage, durable | exempt},
	LogGetTime:      {"LOG_GET_TIME", LogManage, exempt},
	LogSetConfig:    {"LOG_SET_CONFIG", LogManage, administrative | exempt},
	LogGetConfig:    {"LOG_GET_CONFIG", LogManage, exempt},
	LogVerify:       {"LOG_VERIFY", LogManage, exempt},
	LogExportSecret: {"LOG_EXPORT_SECRET", LogManage, administrative | exempt},
	LogImportSecret: {"LOG_IMPORT_SECRET", LogManage, administrative | exempt},
	LogRotate:       {"LOG_ROTATE", LogManage, administrative | exempt},
	LogRemove:       {"LOG_REMOVE", LogManage, administrative | exempt},
	LogRepair:       {"LOG_REPAIR", LogManage, administrative | always | exempt},

	AcceptRestore: {"ACCEPT_RESTORE", Manage, administrative},
}

// String is the name that records show.
func (e Event) String() string {
	if int(e) < NumEvents {
		return events[e].name
	}
	return fmt.Sprintf("EVENT_%d", uint16(e))
}

// Category is the event's category; 0 for the use of keys, where the key
// decides.
func (e Event) Category() Mask { return events[e].category }

// Always says that the event is recorded whatever the mask says.
func (e Event) Always() bool { return events[e].flags&always != 0 }

// Exempt says that the event goes on when nothing can be recorded.
func (e Event) Exempt() bool { return events[e].flags&exempt != 0 }

// Durable says that the record is on the disk before the call returns.
func (e Event) Durable() bool { return events[e].flags&durable != 0 }
