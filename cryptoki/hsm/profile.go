package hsm

// profile is a way to behave where the standard and devices differ: data that
// the code asks, so that nothing else knows which profiles there are.
type profile struct {
	name string
	// hsmPolicies and partitionPolicies are the settings that differ from the
	// tables of policy.go as long as nobody changes them.
	hsmPolicies, partitionPolicies map[uint64]uint64
	// minSOPIN is the least length in bytes of the PINs of the HSM SO and the
	// Auditor. Policy 25 has that of a partition's roles.
	minSOPIN int
	// storage is what the HSM has for partitions, in bytes; 0 for no limit.
	storage uint64
	// limitedOfficer says that partitions can have a Limited Crypto Officer.
	limitedOfficer bool
}

// Names of the profiles.
const (
	profileStandard = "standard"
	profileLuna72   = "luna-7.2"
)

// profiles has the first for whoever names none.
var profilesOfBehaviour = []*profile{
	{
		name:              profileStandard,
		hsmPolicies:       map[uint64]uint64{policySOResetsPIN: 1, policyForcePINChange: 0, policyMaxPartitions: MaxPartitions},
		partitionPolicies: map[uint64]uint64{policyMinPIN: 255 - 4, policyPrivateWrap: 1},
		minSOPIN:          4,
		limitedOfficer:    true,
	},
	{
		name:     profileLuna72,
		minSOPIN: 8,
		storage:  33_554_432,
	},
}

// findProfile returns the profile of a name, nil if there is none.
func findProfile(name string) *profile {
	for _, p := range profilesOfBehaviour {
		if p.name == name || name == "" {
			return p
		}
	}
	return nil
}
