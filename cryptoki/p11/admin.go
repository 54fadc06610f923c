package p11

import "github.com/perilune/perilune/cryptoki/ck"

// Role is a role of the HSM or of a partition.
type Role uint8

// The roles. RoleNone stands for nobody logged in.
const (
	RoleNone Role = iota
	RoleHSMSO
	RolePartitionSO
	RoleCryptoOfficer
	RoleCryptoUser
	RoleLimitedCryptoOfficer
	RoleAuditor
	NumRoles int = iota
)

// String is the role's name as the tools print it.
func (r Role) String() string {
	switch r {
	case RoleHSMSO:
		return "HSM SO"
	case RolePartitionSO:
		return "Partition SO"
	case RoleCryptoOfficer:
		return "Crypto Officer"
	case RoleCryptoUser:
		return "Crypto User"
	case RoleLimitedCryptoOfficer:
		return "Limited Crypto Officer"
	case RoleAuditor:
		return "Auditor"
	}
	return "nobody"
}

// users are what C_Login calls the roles.
var users = [NumRoles]ck.UserType{
	RoleNone:                 ck.CKU_INVALID_USER_TYPE,
	RoleHSMSO:                ck.CKU_SO,
	RolePartitionSO:          ck.CKU_SO,
	RoleCryptoOfficer:        ck.CKU_USER,
	RoleCryptoUser:           ck.CKU_CRYPTO_USER,
	RoleLimitedCryptoOfficer: ck.CKU_LIMITED_CRYPTO_OFFICER,
	RoleAuditor:              ck.CKU_AUDIT,
}

// User is what C_Login calls the role. The Partition SO and the HSM SO have the
// same user type; the slot tells them apart.
func (r Role) User() ck.UserType { return users[r] }

// IsUser reports whether C_Login calls the role so, or did in old programs.
func (r Role) IsUser(user ck.UserType) bool {
	if user == ck.CKU_LIMITED_USER_OLD {
		user = ck.CKU_CRYPTO_USER
	}
	return users[r] == user
}

// PartitionRole is the role of a partition that a user type stands for.
func PartitionRole(user ck.UserType) (Role, bool) {
	for _, r := range []Role{RolePartitionSO, RoleCryptoOfficer, RoleCryptoUser, RoleLimitedCryptoOfficer} {
		if r.IsUser(user) {
			return r, true
		}
	}
	return RoleNone, false
}

// Administration of the HSM, its partitions and their roles. Requests with a
// Session need the right role logged in there: the HSM SO on [AdminSlot], the
// Partition SO or the Crypto Officer on the partition's own slot.
type (
	// GetHSMInfo asks for the state of the HSM.
	GetHSMInfo struct{}
	// HSMInfo is its reply.
	HSMInfo struct {
		Initialized    bool
		Zeroized       bool // it lost its HSM SO and all partitions
		ZeroizedByHand bool // by a command, not by failed logins of the HSM SO
		// AuditorInitialized says that there is an Auditor.
		AuditorInitialized bool
		Label              string
		Serial             uint64
		SOAttemptsLeft     int
		Profile            string
		Firmware           string // version that the profile shows: major.minor.sub
		Partitions         int
		MaxPartitions      int
		Storage            Storage
		// Restored tells that the database may be an older copy of itself; nil
		// if nothing was noticed, or it was accepted.
		Restored        *Restored
		Created         string // RFC 3339, UTC
		StorageLocation string
		HasDomain       bool   // the administration has a cloning domain
		FIPSMode        bool   // HSM policy 12 is off
		Cryptography    string // which cryptographic module serves this process
	}
	// Restored is what was noticed of a database that was put back.
	Restored struct {
		Text       string // for people
		Had, Found uint64 // changes that it was seen to have, and has
		Noticed    string // RFC 3339, UTC
	}
	// AcceptRestore takes the database for the newest, on the AdminSlot. Where
	// there is an HSM SO, he must be logged in.
	AcceptRestore struct{ Session ck.SessionHandle }
	// CheckRecords opens every record for which there is a key: all but private
	// objects of partitions where nobody is logged in.
	CheckRecords struct{}
	// RecordReport is its reply.
	RecordReport struct {
		Checked  uint64 // records opened
		Sealed   uint64 // records without a key
		Problems []RecordProblem
	}
	// RecordProblem is something damaged; Record is 0 if it is no single record.
	RecordProblem struct {
		Record       uint64
		What, Advice string
	}
	// InitHSM makes the HSM SO. On an HSM that has one, Session must be a
	// session of the HSM SO on the AdminSlot, who keeps his PIN, so that PIN
	// must be empty; all partitions are destroyed. The Auditor and the policies
	// stay.
	InitHSM struct {
		Session ck.SessionHandle
		Label   string
		PIN     []byte
		Profile string // "" for the one that the HSM has
		// Storage is what the HSM has for partitions, in bytes, 0 for no limit;
		// nil for what the profile says.
		Storage *uint64
		// Domain is the cloning domain of the HSM's own administration; nil
		// for none.
		Domain []byte
		// Policies are those of the HSM that are to differ from the
		// profile's; nil leaves them as they are. A value that destroys the
		// partitions that an HSM without an SO has needs Destroy.
		Policies []PolicySetting
		Destroy  bool
	}
	// ZeroizeHSM destroys the HSM SO and all partitions. Policies and the
	// Auditor stay. Whoever can write the store may call it, for he could
	// delete its files.
	ZeroizeHSM struct{}
	// FactoryReset destroys the Auditor too, and makes the policies and the
	// profile what they are in a new HSM. Whoever can write the store may call
	// it.
	FactoryReset struct{}
	// ZeroizePartition destroys all that is in a partition, its roles included;
	// its Partition SO asks for it.
	ZeroizePartition struct{ Session ck.SessionHandle }
	// ListHSMPolicies asks for the capabilities and policies of the HSM.
	ListHSMPolicies struct{}
	// ListPartitionPolicies asks for those of the partition in a slot.
	ListPartitionPolicies struct{ Slot ck.SlotID }
	// PolicyList is the reply, in the order of the ids.
	PolicyList struct{ Policies []PolicyInfo }
	// PolicyInfo is a capability, which is what there can be, with the policy
	// that says how it is set. Off is 0, on is 1.
	PolicyInfo struct {
		ID         uint64
		Capability string
		Greatest   uint64 // value of the capability; no policy has a greater one
		Least      uint64
		Text       string // of the policy; empty where there is nothing to set
		Value      uint64 // in force, after whatever else binds it
		Default    uint64
		Number     bool // a number rather than off and on
		Settable   bool // somebody can change it
		// OffOn and OnOff say that a change in this direction destroys: of the
		// HSM all partitions, of a partition its objects.
		OffOn, OnOff bool
	}
	// PolicySetting is a value that a policy is to have.
	PolicySetting struct {
		ID, Value uint64
		// OffOn and OnOff make later changes in this direction destructive
		// where they would not be; at initialisations of partitions only.
		OffOn, OnOff bool
	}
	// SetHSMPolicy changes policies of the HSM: all of them or none. Changes
	// that destroy need Destroy; without it they are CKR_DATA_INVALID.
	SetHSMPolicy struct {
		Session  ck.SessionHandle
		Policies []PolicySetting
		Destroy  bool
	}
	// SetPartitionPolicy changes policies of the session's partition likewise.
	// A change that destroys ends all sessions of the partition.
	SetPartitionPolicy struct {
		Session  ck.SessionHandle
		Policies []PolicySetting
		Destroy  bool
	}
	// CheckHSMPolicies asks what SetHSMPolicy would say; with New, what an
	// initialisation with the profile would.
	CheckHSMPolicies struct {
		New      bool
		Profile  string
		Policies []PolicySetting
	}
	// CheckPartitionPolicies asks the same of a partition.
	CheckPartitionPolicies struct {
		Slot     ck.SlotID
		New      bool
		Policies []PolicySetting
	}
	// PolicyVerdicts is the reply: a verdict for each setting, and whether the
	// change destroys.
	PolicyVerdicts struct {
		Verdicts []PolicyVerdict
		Destroys bool
	}
	// PolicyVerdict is CKR_OK, or why a policy cannot be set so.
	PolicyVerdict struct {
		RV   ck.RV
		Text string
	}
	// Storage is an account in bytes, of a partition or of the HSM. Total and
	// Free are 0 where there is no limit; Overhead is what partitions take
	// beside their objects.
	Storage struct{ Total, Used, Free, Overhead uint64 }
	// CreatePartition makes an empty partition, to be initialised on its
	// slot. Name is unique on the HSM. Size is how many bytes its objects may
	// take, 0 for the usual; AllFree gives it all that the HSM has left.
	CreatePartition struct {
		Session ck.SessionHandle
		Name    string
		Size    uint64
		AllFree bool
	}
	// ResizePartition gives a partition another size, as in CreatePartition,
	// but not less than its objects take.
	ResizePartition struct {
		Session ck.SessionHandle
		Slot    ck.SlotID
		Size    uint64
		AllFree bool
	}
	// RenamePartition changes the name, which is the HSM SO's; the label stays.
	RenamePartition struct {
		Session ck.SessionHandle
		Slot    ck.SlotID
		Name    string
	}
	// LabelPartition changes the label, which is the Partition SO's.
	LabelPartition struct {
		Session ck.SessionHandle
		Label   string
	}
	// ClearPartition deletes the token objects that the role logged in may
	// delete.
	ClearPartition struct{ Session ck.SessionHandle }
	// Cleared is its reply.
	Cleared struct{ Objects uint64 }
	// DeletePartition destroys a partition and all that is in it.
	DeletePartition struct {
		Session ck.SessionHandle
		Slot    ck.SlotID
	}
	// ListPartitions asks for all partitions.
	ListPartitions struct{}
	// PartitionList is its reply.
	PartitionList struct{ Partitions []PartitionInfo }
	// PartitionInfo describes a partition.
	PartitionInfo struct {
		// Damaged says that its record is: only the slot, the serial number and
		// the objects are known, and it can only be deleted.
		Damaged     bool
		Slot        ck.SlotID
		Name        string
		Label       string
		Serial      string
		Initialized bool
		Created     string // RFC 3339, UTC
		Objects     uint64 // public and private token objects
		Storage     Storage
		UID         OUID // of the partition itself
		HasDomain   bool // it has a cloning domain
	}
	// ListRoles asks for the roles of a slot and their state.
	ListRoles struct{ Slot ck.SlotID }
	// RoleList is its reply.
	RoleList struct{ Roles []RoleInfo }
	// RoleInfo describes the state of a role.
	RoleInfo struct {
		Role         Role
		Initialized  bool
		Locked       bool   // by its own failed logins, or with the Crypto Officer
		LockedUntil  string // RFC 3339, UTC; "" if it does not unlock by itself
		MustChange   bool   // its PIN, before it may do anything else
		AttemptsLeft int
		Threshold    int
	}
	// InitRole sets the first PIN of a role: the Partition SO makes the Crypto
	// Officer, the Crypto Officer makes the Limited Crypto Officer and the
	// Crypto User.
	InitRole struct {
		Session ck.SessionHandle
		Role    Role
		PIN     []byte
	}
	// ResetRole gives a role a new PIN and clears its counter and lock.
	ResetRole struct {
		Session ck.SessionHandle
		Role    Role
		PIN     []byte
	}
)
