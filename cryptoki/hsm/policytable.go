package hsm

// policy is a row of the table of HSM policies, or of that of partition
// policies. A capability is what the HSM can; a policy is how it is set, never
// to more than the capability.
type policy struct {
	id         uint64
	capability string // text of the capability
	text       string // text of the policy; empty where there is nothing to set
	cap        uint64 // the greatest value
	def        uint64 // the value as long as nobody sets it, unless the profile has another
	min        uint64 // the least value
	number     bool   // a number rather than off and on
	fixed      bool   // nobody can change it
	// offOn and onOff say that a change in this direction destroys: of the HSM
	// all partitions, of a partition its objects.
	offOn, onOff bool
}

// The policies of the HSM that the code asks for, by their numbers.
const (
	policyCloning            = 7
	policyNonFIPS            = 12
	policySOResetsPIN        = 15
	policyNetworkReplication = 16
	policyKorean             = 17
	policyForcePINChange     = 21
	policyMaxPartitions      = 33
)

// hsmPolicies are the capabilities and policies of the HSM, by number.
var hsmPolicies = []policy{
	{id: 0, capability: "Enable PIN-based authentication", text: "PIN-based authentication", cap: 1, def: 1, fixed: true},
	{id: 1, capability: "Enable PED-based authentication"},
	{id: 2, capability: "Performance level", cap: 15, number: true},
	{id: 4, capability: "Enable domestic mechanisms & key sizes", cap: 1},
	{id: 6, capability: "Enable masking"},
	{id: policyCloning, capability: "Enable cloning", text: "Allow cloning", cap: 1, def: 1, offOn: true},
	{id: 9, capability: "Enable full (non-backup) functionality", cap: 1},
	{id: policyNonFIPS, capability: "Enable non-FIPS algorithms", text: "Allow non-FIPS algorithms", cap: 1, def: 1, offOn: true, onOff: true},
	{id: policySOResetsPIN, capability: "Enable SO reset of partition PIN", text: "SO can reset partition PIN", cap: 1, offOn: true, onOff: true},
	{id: policyNetworkReplication, capability: "Enable network replication", text: "Allow network replication", cap: 1, def: 1},
	{id: policyKorean, capability: "Enable Korean Algorithms", text: "Allow Korean algorithms", cap: 1, def: 1},
	{id: policyForcePINChange, capability: "Enable forcing user PIN change", text: "Force user PIN change after set/reset", cap: 1, def: 1},
	{id: policyMaxPartitions, capability: "Maximum number of partitions", text: "Current maximum number of partitions", cap: MaxPartitions, def: 10, min: 1, number: true},
}

// The policies of a partition that the code asks for, by their numbers.
const (
	policyPrivateClone     = 0
	policyPrivateWrap      = 1
	policyPrivateUnwrap    = 2
	policySecretClone      = 4
	policySecretWrap       = 5
	policySecretUnwrap     = 6
	policyDigestKey        = 9
	policyMultipurpose     = 10
	policyChangeAttributes = 11
	policyNoBlinding       = 16
	policyNonLocalSigning  = 17
	policyRawRSA           = 18
	policyMaxFailedLogins  = 20
	policyMinPIN           = 25 // 255 less the least length in bytes
	policyMaxPIN           = 26
	policyKeyManagement    = 28
	policySignUnconfirmed  = 29
	policyRSAPKCS          = 33
	policyCBCPadAny        = 34
	policyDates            = 39
	policyPartitionNonFIPS = 43
	numPolicies            = 64 // all numbers are smaller
)

// partitionPolicies are the capabilities and policies of a partition, by number.
var partitionPolicies = []policy{
	{id: policyPrivateClone, capability: "Enable private key cloning", text: "Allow private key cloning", cap: 1, def: 1, offOn: true},
	{id: policyPrivateWrap, capability: "Enable private key wrapping", text: "Allow private key wrapping", cap: 1, offOn: true},
	{id: policyPrivateUnwrap, capability: "Enable private key unwrapping", text: "Allow private key unwrapping", cap: 1, def: 1},
	{id: policySecretClone, capability: "Enable secret key cloning", text: "Allow secret key cloning", cap: 1, def: 1, offOn: true},
	{id: policySecretWrap, capability: "Enable secret key wrapping", text: "Allow secret key wrapping", cap: 1, def: 1, offOn: true},
	{id: policySecretUnwrap, capability: "Enable secret key unwrapping", text: "Allow secret key unwrapping", cap: 1, def: 1},
	{id: policyDigestKey, capability: "Enable DigestKey", text: "Allow DigestKey", cap: 1, def: 1, offOn: true},
	{id: policyMultipurpose, capability: "Enable multipurpose keys", text: "Allow multipurpose keys", cap: 1, def: 1, offOn: true},
	{id: policyChangeAttributes, capability: "Enable changing key attributes", text: "Allow changing key attributes", cap: 1, def: 1, offOn: true},
	{id: policyNoBlinding, capability: "Enable operation without RSA blinding", text: "Operate without RSA blinding", cap: 1, def: 1, offOn: true},
	{id: policyNonLocalSigning, capability: "Enable signing with non-local keys", text: "Allow signing with non-local keys", cap: 1, def: 1},
	{id: policyRawRSA, capability: "Enable raw RSA operations", text: "Allow raw RSA operations", cap: 1, def: 1, offOn: true},
	{id: policyMaxFailedLogins, capability: "Max failed user logins allowed", text: "Max failed user logins allowed", cap: 10, def: 10, min: 1, number: true},
	{id: policyMinPIN, capability: "Minimum pin length (inverted: 255 - min)", text: "Minimum pin length (inverted: 255 - min)", cap: 251, def: 248, number: true},
	{id: policyMaxPIN, capability: "Maximum pin length", text: "Maximum pin length", cap: 255, def: 255, number: true},
	{id: policyKeyManagement, capability: "Enable Key Management Functions", text: "Allow Key Management Functions", cap: 1, def: 1, offOn: true},
	{id: policySignUnconfirmed, capability: "Enable RSA signing without confirmation", text: "Perform RSA signing without confirmation", cap: 1, def: 1, offOn: true},
	{id: policyRSAPKCS, capability: "Enable RSA PKCS mechanism", text: "Allow RSA PKCS mechanism", cap: 1, def: 1, offOn: true},
	{id: policyCBCPadAny, capability: "Enable CBC-PAD (un)wrap keys of any size", text: "Allow CBC-PAD (un)wrap keys of any size", cap: 1, def: 1, offOn: true},
	{id: policyDates, capability: "Enable Start/End Date Attributes", text: "Allow Start/End Date Attributes", cap: 1, onOff: true},
	{id: policyPartitionNonFIPS, capability: "Enable non-FIPS algorithms", text: "Allow non-FIPS algorithms", cap: 1, def: 1, offOn: true},
}
