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
	onlyDown   bool   // it can only become less
	// offOn and onOff say that a change in this direction destroys: of the HSM
	// all partitions, of a partition its objects.
	offOn, onOff bool
	// needs is the policy of the HSM without which a policy of a partition is
	// off whatever it is set to, and cannot be switched on; 0 for none.
	needs uint64
}

// settable reports whether somebody can change the policy.
func (p *policy) settable() bool { return p.text != "" && !p.fixed }

// The policies of the HSM that the code asks for, by their numbers.
const (
	policyCloning            = 7
	policyNonFIPS            = 12
	policySOResetsPIN        = 15
	policyNetworkReplication = 16
	policyKorean             = 17
	policyForcePINChange     = 21
	policyStorage            = 27
	policyMaxPartitions      = 33
)

// hsmPolicies are the capabilities and policies of the HSM, by number. What a
// device has and software cannot is disallowed: a policy that nothing obeys
// would be a promise that is not kept.
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
	{id: 18, capability: "FIPS evaluated"},
	{id: 19, capability: "Manufacturing Token"},
	{id: policyForcePINChange, capability: "Enable forcing user PIN change", text: "Force user PIN change after set/reset", cap: 1, def: 1},
	{id: 22, capability: "Enable offboard storage"},
	{id: 23, capability: "Enable partition groups"},
	{id: 25, capability: "Enable remote PED usage"},
	{id: policyStorage, capability: "HSM non-volatile storage space", number: true}, // that of the profile, 0 for no limit
	{id: 30, capability: "Enable unmasking"},
	{id: policyMaxPartitions, capability: "Maximum number of partitions", text: "Current maximum number of partitions", cap: MaxPartitions, def: 10, min: 1, number: true},
	{id: 35, capability: "Enable Single Domain"},
	{id: 36, capability: "Enable Unified PED Key"},
	{id: 37, capability: "Enable MofN"},
	{id: 38, capability: "Enable small form factor backup/restore"},
	{id: 39, capability: "Enable Secure Trusted Channel"},
	{id: 40, capability: "Enable decommission on tamper"},
	{id: 43, capability: "Enable low level math acceleration", text: "Allow low-level math acceleration", cap: 1, def: 1, fixed: true},
	{id: 45, capability: "Enable Fast-Path"},
	{id: 46, capability: "Allow Disabling Decommission"},
	{id: 47, capability: "Enable Tunnel Slot"},
	{id: 48, capability: "Enable Controlled Tamper Recovery"},
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
	policyUnblindedRSA     = 16
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
	{id: policyPrivateClone, capability: "Enable private key cloning", text: "Allow private key cloning", cap: 1, def: 1, offOn: true, needs: policyCloning},
	{id: policyPrivateWrap, capability: "Enable private key wrapping", text: "Allow private key wrapping", cap: 1, offOn: true},
	{id: policyPrivateUnwrap, capability: "Enable private key unwrapping", text: "Allow private key unwrapping", cap: 1, def: 1},
	{id: 3, capability: "Enable private key masking"},
	{id: policySecretClone, capability: "Enable secret key cloning", text: "Allow secret key cloning", cap: 1, def: 1, offOn: true, needs: policyCloning},
	{id: policySecretWrap, capability: "Enable secret key wrapping", text: "Allow secret key wrapping", cap: 1, def: 1, offOn: true},
	{id: policySecretUnwrap, capability: "Enable secret key unwrapping", text: "Allow secret key unwrapping", cap: 1, def: 1},
	{id: 7, capability: "Enable secret key masking"},
	{id: policyDigestKey, capability: "Enable DigestKey", text: "Allow DigestKey", cap: 1, def: 1, offOn: true},
	{id: policyMultipurpose, capability: "Enable multipurpose keys", text: "Allow multipurpose keys", cap: 1, def: 1, offOn: true},
	{id: policyChangeAttributes, capability: "Enable changing key attributes", text: "Allow changing key attributes", cap: 1, def: 1, offOn: true},
	{id: 15, capability: "Allow failed challenge responses"},
	{id: policyUnblindedRSA, capability: "Enable operation without RSA blinding", text: "Operate without RSA blinding", cap: 1, def: 1, offOn: true},
	{id: policyNonLocalSigning, capability: "Enable signing with non-local keys", text: "Allow signing with non-local keys", cap: 1, def: 1},
	{id: policyRawRSA, capability: "Enable raw RSA operations", text: "Allow raw RSA operations", cap: 1, def: 1, offOn: true},
	{id: policyMaxFailedLogins, capability: "Max failed user logins allowed", text: "Max failed user logins allowed", cap: 10, def: 10, min: 1, number: true},
	{id: 21, capability: "Enable high availability recovery"},
	{id: 22, capability: "Enable activation"},
	{id: 23, capability: "Enable auto-activation"},
	{id: policyMinPIN, capability: "Minimum pin length (inverted: 255 - min)", text: "Minimum pin length (inverted: 255 - min)", cap: 251, def: 248, number: true, onlyDown: true},
	{id: policyMaxPIN, capability: "Maximum pin length", text: "Maximum pin length", cap: 255, def: 255, number: true},
	{id: policyKeyManagement, capability: "Enable Key Management Functions", text: "Allow Key Management Functions", cap: 1, def: 1, offOn: true},
	{id: policySignUnconfirmed, capability: "Enable RSA signing without confirmation", text: "Perform RSA signing without confirmation", cap: 1, def: 1, offOn: true},
	{id: 31, capability: "Enable private key unmasking"},
	{id: 32, capability: "Enable secret key unmasking"},
	{id: policyRSAPKCS, capability: "Enable RSA PKCS mechanism", text: "Allow RSA PKCS mechanism", cap: 1, def: 1, offOn: true},
	{id: policyCBCPadAny, capability: "Enable CBC-PAD (un)wrap keys of any size", text: "Allow CBC-PAD (un)wrap keys of any size", cap: 1, def: 1, offOn: true},
	{id: 37, capability: "Enable Secure Trusted Channel"},
	{id: policyDates, capability: "Enable Start/End Date Attributes", text: "Allow Start/End Date Attributes", cap: 1, onOff: true},
	{id: policyPartitionNonFIPS, capability: "Enable non-FIPS algorithms", text: "Allow non-FIPS algorithms", cap: 1, def: 1, offOn: true, needs: policyNonFIPS},
}

// conflict is a combination of policies that cannot be.
type conflict struct {
	a, b uint64
	has  func(*settings, *profile) bool
	why  string
}

var partitionConflicts = []conflict{
	{policyMinPIN, policyMaxPIN, func(s *settings, _ *profile) bool { return 255-s[policyMinPIN] >= s[policyMaxPIN] },
		"the least length of PINs must be below the greatest"},
	{policyPrivateClone, policyPrivateWrap, func(s *settings, p *profile) bool {
		return p.cloneOrWrap && s.on(policyPrivateClone) && s.on(policyPrivateWrap)
	}, "private keys can be cloned or wrapped, not both"},
}
