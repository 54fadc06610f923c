package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// refusal names a rule by which the HSM refuses calls: a row of refusalTable.
type refusal uint8

const (
	noRefusal refusal = iota

	// Roles and sessions.
	refuseNotLoggedIn
	refuseRole
	refuseReadOnlySession
	refuseAdminSlot
	refuseSameRole
	refuseOtherRole
	refuseNoPIN
	refuseUserType
	refuseRoleHasPIN
	refuseSOReset
	refuseNoKey
	refuseReadOnlyExists
	refuseSOExists
	refuseParallel
	refuseSessionsOpen
	refuseContextLogin
	refuseNoContextLogin

	// PINs and thresholds.
	refusePINExpired
	refusePINWrong
	refusePINLocked
	refusePINLength
	refusePINCharacters
	refuseTryLength
	refuseSOThreshold
	refuseNotInitialized

	// Templates and attributes.
	refuseAttributeUnknown
	refuseAttributeValue
	refuseAttributeReadOnly
	refuseAttributeOneWay
	refuseAttributeBySO
	refuseTemplateInconsistent
	refuseTemplateIncomplete
	refuseWrappedLength
	refuseNotModifiable
	refuseNotCopyable
	refuseNotDestroyable
	refuseBuiltin
	refuseTrusted
	refusePlaintextFIPS
	refusePlaintextSilent
	refusePlaintextOpen

	// Mechanisms and keys.
	refuseFunction
	refuseMechanismUnknown
	refuseMechanismProfile
	refuseMechanismFunction
	refuseMechanismFIPS
	refuseMechanismOfKey
	refuseKeyType
	refuseKeyHalf
	refuseKeyUsage
	refuseKeySize
	refuseKeySizeFIPS
	refuseCallersIV
	refuseIndigestible
	refuseUsageLimit
	refuseUnlimited

	// Wrapping.
	refuseUnextractable
	refuseNotWrappable
	refuseWrapWithTrusted
	refuseWrapTemplate

	// Cloning, backup and restore.
	refuseDomainMissing
	refuseDomainSet
	refuseDomainOther
	refuseCloning
	refusePrivateCloning
	refuseSecretCloning
	refuseReplication
	refuseUIDThere
	refuseNotCloned

	// Policies, where no rule above has one.
	refuseKorean
	refuseRawRSA
	refuseRSAPKCS
	refusePrivateWrap
	refusePrivateUnwrap
	refuseSecretWrap
	refuseSecretUnwrap
	refuseDigestKey
	refuseMultipurpose
	refuseChangeAttributes
	refuseNonLocalSigning
	refuseUnconfirmed
	refuseCBCPadWrap
	refuseCBCPadUnwrap
	refuseDates

	// Storage.
	refusePartitionFull
	refuseHSMFull
	refusePartitions

	// Changes of policies. Each names the policy in question.
	refusePolicyUnknown
	refusePolicyValue
	refusePolicyFixed
	refusePolicyDepends
	refusePolicyDestroys

	numRefusals
)

// refusalRow is what is fixed about a rule.
type refusalRow struct {
	name string // what logs and explanations call it
	code ck.RV  // what the standard answers; profiles may answer otherwise
	// policy is the setting that would have to be another, if it is one.
	policy policyRef
	remedy string
}

// policyRef names a policy of the HSM or of a partition.
type policyRef struct {
	table []policy
	id    uint64
}

func hsmPolicy(id uint64) policyRef       { return policyRef{hsmPolicies, id} }
func partitionPolicy(id uint64) policyRef { return policyRef{partitionPolicies, id} }

// String is the policy's number and text, empty for none.
func (r policyRef) String() string {
	switch p := findPolicy(r.table, r.id); {
	case p == nil:
		return ""
	case &r.table[0] == &hsmPolicies[0]:
		return fmt.Sprintf("HSM policy %d (%s)", p.id, p.text)
	default:
		return fmt.Sprintf("partition policy %d (%s)", p.id, p.text)
	}
}

// refusalTable has a row for every rule. What a profile answers in place of the
// standard's code is in the profile.
var refusalTable = [numRefusals]refusalRow{
	refuseNotLoggedIn: {name: "not-logged-in", code: ck.CKR_USER_NOT_LOGGED_IN,
		remedy: "Log in with C_Login, as the Crypto Officer (CKU_USER) if private objects are to be used"},
	refuseRole: {name: "role", code: ck.CKR_USER_NOT_AUTHORIZED,
		remedy: "Log in as a role that may do this; docs/administration.md says what each role may"},
	refuseReadOnlySession: {name: "read-only-session", code: ck.CKR_SESSION_READ_ONLY,
		remedy: "Open the session with CKF_RW_SESSION"},
	refuseAdminSlot: {name: "administration-slot", code: ck.CKR_FUNCTION_NOT_SUPPORTED,
		remedy: "The slot of the HSM's administration holds no objects; use the slot of a partition"},
	refuseSameRole: {name: "same-role-logged-in", code: ck.CKR_USER_ALREADY_LOGGED_IN,
		remedy: "Go on: the role is logged in on all sessions that the application has on the slot"},
	refuseOtherRole: {name: "another-role-logged-in", code: ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
		remedy: "Call C_Logout first: an application has one role on a slot at a time"},
	refuseNoPIN: {name: "role-without-pin", code: ck.CKR_USER_PIN_NOT_INITIALIZED,
		remedy: "Initialise the role first: perilune role init, or perilune partition init for the Partition SO"},
	refuseUserType: {name: "user-type", code: ck.CKR_USER_TYPE_INVALID,
		remedy: "Use a user type that the slot has: CKU_SO, CKU_USER or 0x80000001 (the Crypto User) on a partition"},
	refuseRoleHasPIN: {name: "role-has-pin", code: ck.CKR_OPERATION_NOT_ALLOWED,
		remedy: "Reset the PIN that the role has (perilune role resetpw), or let the role change it"},
	refuseSOReset: {name: "so-reset", code: ck.CKR_OPERATION_NOT_ALLOWED, policy: hsmPolicy(policySOResetsPIN),
		remedy: "Nobody can give the Crypto Officer another PIN: initialise the partition anew and restore from a backup"},
	refuseNoKey: {name: "role-without-key", code: ck.CKR_OPERATION_NOT_ALLOWED,
		remedy: "Log in again as the role that sets this PIN; if it does not hold the partition key any more, initialise the partition anew"},
	refuseReadOnlyExists: {name: "read-only-session-exists", code: ck.CKR_SESSION_READ_ONLY_EXISTS,
		remedy: "Close the application's R/O sessions on the slot before an SO logs in"},
	refuseSOExists: {name: "so-logged-in", code: ck.CKR_SESSION_READ_WRITE_SO_EXISTS,
		remedy: "Open a R/W session, or log the SO out first"},
	refuseParallel: {name: "parallel-session", code: ck.CKR_SESSION_PARALLEL_NOT_SUPPORTED,
		remedy: "Open the session with CKF_SERIAL_SESSION"},
	refuseSessionsOpen: {name: "sessions-open", code: ck.CKR_SESSION_EXISTS,
		remedy: "Close the sessions on the slot first, or stop the programs that have them"},
	refuseContextLogin: {name: "always-authenticate", code: ck.CKR_USER_NOT_LOGGED_IN,
		remedy: "Call C_Login with CKU_CONTEXT_SPECIFIC after starting the operation and before using it"},
	refuseNoContextLogin: {name: "no-place-to-authenticate", code: ck.CKR_USER_NOT_LOGGED_IN,
		remedy: "Use a key without CKA_ALWAYS_AUTHENTICATE for this function"},

	refusePINExpired: {name: "pin-must-change", code: ck.CKR_PIN_EXPIRED, policy: hsmPolicy(policyForcePINChange),
		remedy: "Change the PIN with C_SetPIN or perilune role changepw: somebody else chose it"},
	refusePINWrong: {name: "pin-wrong", code: ck.CKR_PIN_INCORRECT,
		remedy: "Give the right PIN; each wrong one counts, and perilune role show tells how many tries are left"},
	refusePINLocked: {name: "pin-locked", code: ck.CKR_PIN_LOCKED,
		remedy: "Let the role above give a new PIN (perilune role resetpw), if HSM policy 15 allows it"},
	refusePINLength: {name: "pin-length", code: ck.CKR_PIN_LEN_RANGE, policy: partitionPolicy(policyMinPIN),
		remedy: "Choose a PIN of such a length"},
	refusePINCharacters: {name: "pin-characters", code: ck.CKR_PIN_INVALID,
		remedy: "Choose a PIN of letters, digits and the characters that docs/administration.md lists"},
	refuseTryLength: {name: "pin-of-other-length", code: ck.CKR_PIN_INCORRECT,
		remedy: "Give the whole PIN and nothing else; this one is too short or too long to be it, so the try did not count"},
	refuseSOThreshold: {name: "so-threshold", code: ck.CKR_SO_LOGIN_FAILURE_THRESHOLD,
		remedy: "The HSM is zeroized; initialise it with perilune hsm init and restore from a backup"},
	refuseNotInitialized: {name: "hsm-not-initialised", code: ck.CKR_USER_PIN_NOT_INITIALIZED,
		remedy: "Initialise the HSM with perilune hsm init"},

	refuseAttributeUnknown: {name: "attribute-unknown", code: ck.CKR_ATTRIBUTE_TYPE_INVALID,
		remedy: "Leave the attribute out: the HSM does not know it"},
	refuseAttributeValue: {name: "attribute-value", code: ck.CKR_ATTRIBUTE_VALUE_INVALID,
		remedy: "Give the attribute a value that it can have"},
	refuseAttributeReadOnly: {name: "attribute-read-only", code: ck.CKR_ATTRIBUTE_READ_ONLY,
		remedy: "Leave the attribute out: the HSM alone decides it, or it is settled when the object is made"},
	refuseAttributeOneWay: {name: "attribute-one-way", code: ck.CKR_ATTRIBUTE_READ_ONLY,
		remedy: "The attribute changes in one direction only; make the key anew if it must be otherwise"},
	refuseAttributeBySO: {name: "attribute-by-so", code: ck.CKR_ATTRIBUTE_READ_ONLY,
		remedy: "Log in as the Partition SO, who alone may set this"},
	refuseTemplateInconsistent: {name: "template-inconsistent", code: ck.CKR_TEMPLATE_INCONSISTENT,
		remedy: "Leave the attribute out, or make it agree with the others, with the function and with the templates of the keys used"},
	refuseTemplateIncomplete: {name: "template-incomplete", code: ck.CKR_TEMPLATE_INCOMPLETE,
		remedy: "Add the attribute to the template"},
	refuseWrappedLength: {name: "wrapped-length", code: ck.CKR_WRAPPED_KEY_LEN_RANGE,
		remedy: "Give CKA_VALUE_LEN the length of the key that was wrapped"},
	refuseNotModifiable: {name: "not-modifiable", code: ck.CKR_ACTION_PROHIBITED,
		remedy: "The object was made with CKA_MODIFIABLE false and stays as it is; make another"},
	refuseNotCopyable: {name: "not-copyable", code: ck.CKR_ACTION_PROHIBITED,
		remedy: "CKA_COPYABLE of the object is false for ever; use the object itself"},
	refuseNotDestroyable: {name: "not-destroyable", code: ck.CKR_ACTION_PROHIBITED,
		remedy: "The object was made with CKA_DESTROYABLE false; it goes with its partition"},
	refuseBuiltin: {name: "object-of-the-hsm", code: ck.CKR_ACTION_PROHIBITED,
		remedy: "The object belongs to the HSM itself; it can be read only"},
	refuseTrusted: {name: "trusted-certificate", code: ck.CKR_ACTION_PROHIBITED,
		remedy: "Let the Partition SO set CKA_TRUSTED to false first"},
	refusePlaintextFIPS: {name: "plaintext-key-fips", code: ck.CKR_TEMPLATE_INCONSISTENT, policy: hsmPolicy(policyNonFIPS),
		remedy: "Unwrap the key in the HSM instead (C_UnwrapKey), or generate it there"},
	refusePlaintextSilent: {name: "plaintext-key-silent", code: ck.CKR_TEMPLATE_INCOMPLETE,
		remedy: "Add CKA_SENSITIVE true to the template, or make a session object"},
	refusePlaintextOpen: {name: "plaintext-key-open", code: ck.CKR_ATTRIBUTE_VALUE_INVALID,
		remedy: "Make the key sensitive and private, or make a session object"},

	refuseFunction: {name: "function-of-profile", code: ck.CKR_FUNCTION_NOT_SUPPORTED,
		remedy: "Do without the function; perilune profile show lists those that the profile lacks"},
	refuseMechanismUnknown: {name: "mechanism-unknown", code: ck.CKR_MECHANISM_INVALID,
		remedy: "Use a mechanism that C_GetMechanismList lists"},
	refuseMechanismProfile: {name: "mechanism-of-profile", code: ck.CKR_MECHANISM_INVALID,
		remedy: "Use a mechanism that C_GetMechanismList lists: this one is not in the profile of the HSM"},
	refuseMechanismFunction: {name: "mechanism-function", code: ck.CKR_MECHANISM_INVALID,
		remedy: "Use a mechanism whose C_GetMechanismInfo has the flag of this function"},
	refuseMechanismFIPS: {name: "mechanism-fips", code: ck.CKR_MECHANISM_INVALID, policy: partitionPolicy(policyPartitionNonFIPS),
		remedy: "Use an approved mechanism; docs/mechanisms.md says which are. The policy is off, too, as long as HSM policy 12 is"},
	refuseMechanismOfKey: {name: "mechanism-of-key", code: ck.CKR_MECHANISM_INVALID,
		remedy: "Use one of the mechanisms that the key was made for, or another key"},
	refuseKeyType: {name: "key-type", code: ck.CKR_KEY_TYPE_INCONSISTENT,
		remedy: "Use a key of a type that the mechanism works with; docs/mechanisms.md has the types"},
	refuseKeyHalf: {name: "key-half", code: ck.CKR_KEY_FUNCTION_NOT_PERMITTED,
		remedy: "Use the other key of the pair"},
	refuseKeyUsage: {name: "key-usage", code: ck.CKR_KEY_FUNCTION_NOT_PERMITTED,
		remedy: "Name the usage in the template when the key is made, or set the attribute with C_SetAttributeValue"},
	refuseKeySize: {name: "key-size", code: ck.CKR_KEY_SIZE_RANGE,
		remedy: "Use a key whose size C_GetMechanismInfo allows"},
	refuseKeySizeFIPS: {name: "key-size-fips", code: ck.CKR_KEY_SIZE_RANGE, policy: partitionPolicy(policyPartitionNonFIPS),
		remedy: "Use a key of a size that FIPS mode allows; docs/mechanisms.md has them. The policy is off, too, as long as HSM policy 12 is"},
	refuseCallersIV: {name: "callers-iv", code: ck.CKR_MECHANISM_PARAM_INVALID, policy: hsmPolicy(policyNonFIPS),
		remedy: "Give no IV (pIv null, ulIvLen 0): the HSM makes one of 16 bytes and puts it behind the tag; make room for it"},
	refuseIndigestible: {name: "not-digestible", code: ck.CKR_KEY_INDIGESTIBLE,
		remedy: "Digest the bytes themselves; only secret keys are digested inside the HSM"},
	refuseUsageLimit: {name: "usage-limit", code: ck.CKR_KEY_NOT_ACTIVE,
		remedy: "Use another key, or let the Crypto Officer raise CKA_USAGE_LIMIT"},
	refuseUnlimited: {name: "no-usage-limit", code: ck.CKR_ATTRIBUTE_TYPE_INVALID,
		remedy: "Give the key a CKA_USAGE_LIMIT first"},

	refuseUnextractable: {name: "not-extractable", code: ck.CKR_KEY_UNEXTRACTABLE,
		remedy: "The key was made to stay in the HSM; a key that is to be wrapped must be made with CKA_EXTRACTABLE true"},
	refuseNotWrappable: {name: "not-wrappable", code: ck.CKR_KEY_NOT_WRAPPABLE,
		remedy: "Use a mechanism that wraps keys of this kind; public keys are read by their attributes"},
	refuseWrapWithTrusted: {name: "wrap-with-trusted", code: ck.CKR_KEY_NOT_WRAPPABLE,
		remedy: "Wrap with a key that the Partition SO has marked CKA_TRUSTED"},
	refuseWrapTemplate: {name: "wrap-template", code: ck.CKR_KEY_HANDLE_INVALID, // what section 5.18.3 says
		remedy: "Wrap only keys that agree with CKA_WRAP_TEMPLATE of the wrapping key"},

	refuseDomainMissing: {name: "domain-missing", code: ck.CKR_CLONING_PARAMETER_MISSING,
		remedy: "Give the partition its cloning domain: perilune partition set-domain"},
	refuseDomainSet: {name: "domain-set", code: ck.CKR_CLONING_PARAMETER_ALREADY_EXISTS,
		remedy: "A partition keeps its cloning domain until it is initialised anew"},
	refuseDomainOther: {name: "domain-other", code: ck.CKR_UNWRAPPING_ERROR,
		remedy: "Use a partition that was initialised with the same cloning domain"},
	refuseCloning: {name: "cloning", code: ck.CKR_OPERATION_NOT_ALLOWED, policy: hsmPolicy(policyCloning),
		remedy: "Let the HSM SO switch the policy on, which destroys all partitions, or leave objects where they are"},
	refusePrivateCloning: {name: "private-key-cloning", code: ck.CKR_OPERATION_NOT_ALLOWED, policy: partitionPolicy(policyPrivateClone),
		remedy: "Let the Partition SO switch the policy on, which destroys the objects, or leave the keys where they are"},
	refuseSecretCloning: {name: "secret-key-cloning", code: ck.CKR_OPERATION_NOT_ALLOWED, policy: partitionPolicy(policySecretClone),
		remedy: "Let the Partition SO switch the policy on, which destroys the objects, or leave the keys where they are"},
	refuseReplication: {name: "network-replication", code: ck.CKR_OPERATION_NOT_ALLOWED, policy: hsmPolicy(policyNetworkReplication),
		remedy: "Let the HSM SO switch the policy on"},
	refuseUIDThere: {name: "ouid-there", code: ck.CKR_OBJECT_ALREADY_EXISTS,
		remedy: "Ask for it to be replaced, or leave it"},
	refuseNotCloned: {name: "not-cloned", code: ck.CKR_OPERATION_NOT_ALLOWED,
		remedy: "Make it a token object first, with C_CopyObject"},

	refuseKorean: {name: "korean-algorithms", code: ck.CKR_MECHANISM_INVALID, policy: hsmPolicy(policyKorean),
		remedy: "Use another mechanism, or have the HSM SO switch the policy on"},
	refuseRawRSA: {name: "raw-rsa", code: ck.CKR_MECHANISM_INVALID, policy: partitionPolicy(policyRawRSA),
		remedy: "Use a mechanism with a padding, such as CKM_RSA_PKCS_OAEP or CKM_SHA256_RSA_PKCS_PSS"},
	refuseRSAPKCS: {name: "rsa-pkcs", code: ck.CKR_MECHANISM_INVALID, policy: partitionPolicy(policyRSAPKCS),
		remedy: "Use CKM_RSA_PKCS_OAEP to encrypt, and to sign a mechanism that hashes, such as CKM_SHA256_RSA_PKCS"},
	refusePrivateWrap: {name: "private-key-wrapping", code: ck.CKR_KEY_NOT_WRAPPABLE, policy: partitionPolicy(policyPrivateWrap),
		remedy: "Leave the key in the partition, or clone it; switching the policy on destroys all objects of the partition"},
	refusePrivateUnwrap: {name: "private-key-unwrapping", code: ck.CKR_KEY_NOT_WRAPPABLE, policy: partitionPolicy(policyPrivateUnwrap),
		remedy: "Have the Partition SO switch the policy on, or generate the key here"},
	refuseSecretWrap: {name: "secret-key-wrapping", code: ck.CKR_KEY_NOT_WRAPPABLE, policy: partitionPolicy(policySecretWrap),
		remedy: "Leave the key in the partition, or clone it; switching the policy on destroys all objects of the partition"},
	refuseSecretUnwrap: {name: "secret-key-unwrapping", code: ck.CKR_KEY_NOT_WRAPPABLE, policy: partitionPolicy(policySecretUnwrap),
		remedy: "Have the Partition SO switch the policy on, or generate the key here"},
	refuseDigestKey: {name: "digest-key", code: ck.CKR_KEY_INDIGESTIBLE, policy: partitionPolicy(policyDigestKey),
		remedy: "Do without the digest of a key; switching the policy on destroys all objects of the partition"},
	refuseMultipurpose: {name: "multipurpose-key", code: ck.CKR_TEMPLATE_INCONSISTENT, policy: partitionPolicy(policyMultipurpose),
		remedy: "Give the key one purpose, and set the other usage attributes to false in its template"},
	refuseChangeAttributes: {name: "changing-attributes", code: ck.CKR_ATTRIBUTE_READ_ONLY, policy: partitionPolicy(policyChangeAttributes),
		remedy: "Make the key anew with the attribute as it shall be"},
	refuseNonLocalSigning: {name: "non-local-signing", code: ck.CKR_KEY_FUNCTION_NOT_PERMITTED, policy: partitionPolicy(policyNonLocalSigning),
		remedy: "Sign with a key that was generated here, whose CKA_LOCAL is true"},
	refuseUnconfirmed: {name: "unconfirmed-signature", code: ck.CKR_KEY_FUNCTION_NOT_PERMITTED, policy: partitionPolicy(policySignUnconfirmed),
		remedy: "Import the key with its CKA_PUBLIC_EXPONENT, without which a signature cannot be verified"},
	refuseCBCPadWrap: {name: "small-key-wrapped", code: ck.CKR_KEY_SIZE_RANGE, policy: partitionPolicy(policyCBCPadAny),
		remedy: "Wrap small keys with CKM_AES_KEY_WRAP_KWP or another mechanism that authenticates"},
	refuseCBCPadUnwrap: {name: "small-key-unwrapped", code: ck.CKR_WRAPPED_KEY_LEN_RANGE, policy: partitionPolicy(policyCBCPadAny),
		remedy: "Wrap small keys with CKM_AES_KEY_WRAP_KWP or another mechanism that authenticates"},
	refuseDates: {name: "key-dates", code: ck.CKR_KEY_NOT_ACTIVE, policy: partitionPolicy(policyDates),
		remedy: "Use the key from its CKA_START_DATE to its CKA_END_DATE, in UTC, or change the dates"},

	refusePartitionFull: {name: "partition-full", code: ck.CKR_CONTAINER_OBJECT_STORAGE_FULL,
		remedy: "Delete what is no longer needed, or let the HSM SO give the partition more: perilune partition resize"},
	refuseHSMFull: {name: "hsm-full", code: ck.CKR_HSM_STORAGE_FULL,
		remedy: "Make other partitions smaller or delete them: perilune partition resize, perilune partition delete"},
	refusePartitions: {name: "too-many-partitions", code: ck.CKR_LICENSE_CAPACITY_EXCEEDED, policy: hsmPolicy(policyMaxPartitions),
		remedy: "Delete a partition that is no longer needed, or raise the policy"},

	refusePolicyUnknown: {name: "policy-unknown", code: ck.CKR_POLICY_ID_INVALID,
		remedy: "Use a number that perilune hsm policy list, or partition policy list, shows"},
	refusePolicyValue: {name: "policy-value", code: ck.CKR_CONFIG_ILLEGAL,
		remedy: "Give the policy a value that its capability allows"},
	refusePolicyFixed: {name: "policy-fixed", code: ck.CKR_CONFIG_CHANGE_ILLEGAL,
		remedy: "Leave the policy as it is"},
	refusePolicyDepends: {name: "policy-dependency", code: ck.CKR_CONFIG_FAILS_DEPENDENCIES,
		remedy: "Change the policy that stands against it first, or in the same change"},
	refusePolicyDestroys: {name: "policy-destroys", code: ck.CKR_DATA_INVALID,
		remedy: "Save what shall outlive the change, and ask for it as one that destroys: perilune asks, or takes --force"},
}

// deny is the error of a rule; the text says what was refused, to whom.
func deny(r refusal, format string, args ...any) error {
	row := &refusalTable[r]
	return &p11.Refusal{Rule: row.name, Code: row.code, Text: fmt.Sprintf(format, args...),
		Policy: row.policy.String(), Remedy: row.remedy}
}

// denyFor is deny because of an attribute.
func denyFor(r refusal, t ck.AttributeType, format string, args ...any) error {
	err := deny(r, format, args...).(*p11.Refusal)
	err.Attribute = t.String()
	return err
}

// refusalNamed is the rule of a name, noRefusal if there is none.
func refusalNamed(name string) refusal {
	for r := refusal(1); r < numRefusals; r++ {
		if refusalTable[r].name == name {
			return r
		}
	}
	return noRefusal
}

// recoded is err with another code and the same explanation.
func recoded(err error, code ck.RV) error {
	var r *p11.Refusal
	if !errors.As(err, &r) {
		return &renamedError{err.Error(), code}
	}
	next := *r
	next.Code = code
	return &next
}

// failure is a call that failed: of what kind, and why.
type failure struct {
	kind p11.Kind
	err  error
}

// refused gives the error of a call the code that the profile has for it, and
// notes it on the session, for whoever asks why. That a buffer was too short is
// no refusal.
func (h *HSM) refused(req p11.Request, err error) error {
	err = h.profile().answered(err)
	q, ok := req.(p11.OnSession)
	if !ok || ck.RVOf(err) == ck.CKR_BUFFER_TOO_SMALL {
		return err
	}
	if s := h.sessions.get(q.On()); s != nil {
		s.failure.Store(&failure{req.Kind(), err})
	}
	return err
}

func (h *HSM) handleExplainRefusal(_ context.Context, s *session, _ *p11.ExplainRefusal, r *p11.Explanation) error {
	f := s.failure.Load()
	if f == nil {
		return nil
	}
	r.Request = f.kind.String()
	var refusal *p11.Refusal
	if errors.As(f.err, &refusal) {
		r.Refusal = *refusal
		return nil
	}
	r.Code, r.Text = ck.RVOf(f.err), f.err.Error()
	return nil
}
