// Package p11 is the contract between the C layer and whatever does the work:
// one interface, [Module], and one struct per request.
//
// The local HSM (package hsm) is a Module; so will be a client of a remote HSM
// and a group of HSMs. Because every request is a value, auditing, forwarding
// and replicating are one wrapper each. A table row per request ([Row]) says
// what it may change.
package p11

import (
	"context"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Module does what requests ask.
type Module interface {
	// Do serves req and fills reply, a pointer to the reply type of the
	// request (see [Call]). The error is a [ck.RV], possibly wrapped with an
	// explanation for a log; ck.RVOf finds it. Do may be called by any number
	// of goroutines.
	//
	// Slices in a request belong to the caller and are only used during Do.
	// Output buffers (Out) are written during Do only.
	Do(ctx context.Context, req Request, reply any) error
	// Close ends all sessions and frees everything, after the calls in
	// flight returned. Later calls answer CKR_CRYPTOKI_NOT_INITIALIZED.
	Close() error
}

// Request is one of the request structs of this package, by pointer.
type Request interface{ Kind() Kind }

// OnSession is a Request that names a session.
type OnSession interface {
	Request
	On() ck.SessionHandle
}

// Typed is a Request whose reply is an R.
type Typed[R any] interface {
	Request
	returns(R)
}

// Call asks m and returns the reply of the right type. Where an error comes
// with a meaningful reply (attributes, lengths), both are returned.
func Call[R any](ctx context.Context, m Module, req Typed[R]) (R, error) {
	var reply R
	err := m.Do(ctx, req, &reply)
	return reply, err
}

// None is the reply of requests that answer nothing.
type None struct{}

// Operation is a kind of cryptographic operation. A session has at most one
// of each under way.
type Operation uint8

// The operations.
const (
	OpEncrypt Operation = iota
	OpDecrypt
	OpDigest
	OpSign
	OpVerify
	OpSignRecover
	OpVerifyRecover
	OpMessageEncrypt
	OpMessageDecrypt
	OpMessageSign
	OpMessageVerify
	OpVerifySignature
	NumOperations int = iota
)

// AdminSlot is the slot of the HSM's own administration, where the HSM SO logs
// in. It can be opened but is not listed.
const AdminSlot ck.SlotID = 0xFFFFFF00

// Output is the caller's buffer for a result, with the length convention of
// PKCS#11 v3.1 section 5.2: with Query set nothing is computed and the reply
// only tells a length that suffices; a Buf too short answers
// CKR_BUFFER_TOO_SMALL with the length needed, and the operation goes on.
type Output struct {
	Buf   []byte
	Query bool
}

// Length is the reply of requests with an Output: how many bytes were written,
// or are needed.
type Length struct{ N int }

// Handle is the reply of requests that make one object.
type Handle struct{ Object ck.ObjectHandle }

// General purpose and slots (sections 5.4 and 5.5).
type (
	// GetInfo asks for CK_INFO.
	GetInfo struct{}
	// GetSlotList asks for the slots, in a stable order.
	GetSlotList struct{ TokenPresent bool }
	// SlotList is its reply.
	SlotList struct{ Slots []ck.SlotID }
	// GetSlotInfo asks about a slot.
	GetSlotInfo struct{ Slot ck.SlotID }
	// GetTokenInfo asks about the token in a slot.
	GetTokenInfo struct{ Slot ck.SlotID }
	// WaitForSlotEvent waits for a slot to appear, change or go; without
	// Block it answers CKR_NO_EVENT at once if nothing happened.
	// Vendor says that CA_WaitForSlotEvent asks.
	WaitForSlotEvent struct{ Block, Vendor bool }
	// SlotEvent is its reply.
	SlotEvent struct{ Slot ck.SlotID }
	// GetMechanismList asks for the mechanisms of a slot.
	GetMechanismList struct{ Slot ck.SlotID }
	// MechanismList is its reply.
	MechanismList struct{ Mechanisms []ck.MechanismType }
	// GetMechanismInfo asks about one mechanism.
	GetMechanismInfo struct {
		Slot ck.SlotID
		Type ck.MechanismType
	}
	// InitToken initialises a partition: its SO, its label, no objects. Domain
	// is its cloning domain; nil for none yet.
	InitToken struct {
		Slot   ck.SlotID
		PIN    []byte
		Label  string
		Domain []byte
		// Policies are those that are to differ from the profile's; nil leaves
		// them as they are.
		Policies []PolicySetting
	}
	// InitPIN sets the Crypto Officer's PIN from an SO session.
	InitPIN struct {
		Session ck.SessionHandle
		PIN     []byte
	}
	// SetPIN changes the PIN of the role logged in, or of the Crypto Officer.
	SetPIN struct {
		Session  ck.SessionHandle
		Old, New []byte
	}
)

// Sessions (section 5.6).
type (
	// OpenSession opens a session; Flags as of C_OpenSession.
	OpenSession struct {
		Slot  ck.SlotID
		Flags ck.Flags
		// App is the application id that the session shall have; nil for that
		// of the process.
		App *AppID
	}
	// Session is its reply.
	Session struct{ Session ck.SessionHandle }
	// CloseSession closes one session.
	CloseSession struct{ Session ck.SessionHandle }
	// CloseAllSessions closes the sessions of a slot.
	CloseAllSessions struct{ Slot ck.SlotID }
	// GetSessionInfo asks about a session.
	GetSessionInfo struct{ Session ck.SessionHandle }
	// GetValidationFlags asks under which validations of the module the last
	// operation of the session ran (C_GetSessionValidationFlags).
	GetValidationFlags struct {
		Session ck.SessionHandle
		Type    uint64
	}
	// ValidationFlags is its reply.
	ValidationFlags struct{ Flags ck.Flags }
	// SessionCancel ends the operations that Flags name (CKF_ENCRYPT,
	// CKF_FIND_OBJECTS and so on).
	SessionCancel struct {
		Session ck.SessionHandle
		Flags   ck.Flags
	}
	// GetOperationState saves the state of the operation under way.
	GetOperationState struct {
		Session ck.SessionHandle
		Out     Output
	}
	// SetOperationState restores it.
	SetOperationState struct {
		Session                ck.SessionHandle
		State                  []byte
		EncryptionKey, AuthKey ck.ObjectHandle
	}
	// Login logs a role in for the whole application. Username must be empty
	// or the name of the role. ByName says that C_LoginUser asks.
	Login struct {
		Session  ck.SessionHandle
		User     ck.UserType
		PIN      []byte
		Username string
		ByName   bool
	}
	// Logout logs the role out.
	Logout struct{ Session ck.SessionHandle }
)

// Objects (section 5.7).
type (
	// CreateObject makes an object from a template.
	CreateObject struct {
		Session  ck.SessionHandle
		Template []ck.Attribute
	}
	// CopyObject copies an object with changes.
	CopyObject struct {
		Session  ck.SessionHandle
		Object   ck.ObjectHandle
		Template []ck.Attribute
	}
	// DestroyObject destroys an object.
	DestroyObject struct {
		Session ck.SessionHandle
		Object  ck.ObjectHandle
	}
	// GetObjectSize asks how many bytes an object takes.
	GetObjectSize struct {
		Session ck.SessionHandle
		Object  ck.ObjectHandle
	}
	// Size is its reply.
	Size struct{ Bytes uint64 }
	// GetAttributeValue reads attributes.
	GetAttributeValue struct {
		Session ck.SessionHandle
		Object  ck.ObjectHandle
		Types   []ck.AttributeType
	}
	// Attributes is its reply: one entry per type asked for, in order. An
	// entry whose RV is not CKR_OK has no value. The reply is valid also with
	// the errors CKR_ATTRIBUTE_SENSITIVE and CKR_ATTRIBUTE_TYPE_INVALID.
	Attributes struct{ Results []AttributeResult }
	// AttributeResult is one attribute read.
	AttributeResult struct {
		ck.Attribute
		RV ck.RV
	}
	// SetAttributeValue changes attributes, all or none.
	SetAttributeValue struct {
		Session  ck.SessionHandle
		Object   ck.ObjectHandle
		Template []ck.Attribute
	}
	// FindObjectsInit begins a search.
	FindObjectsInit struct {
		Session  ck.SessionHandle
		Template []ck.Attribute
	}
	// FindObjects goes on with it; at most Max handles.
	FindObjects struct {
		Session ck.SessionHandle
		Max     int
	}
	// Handles is its reply.
	Handles struct{ Objects []ck.ObjectHandle }
	// FindObjectsFinal ends a search.
	FindObjectsFinal struct{ Session ck.SessionHandle }
)

// Operations (sections 5.8 to 5.15): one set of requests for encryption,
// decryption, digests, signatures, verification, with and without recovery.
type (
	// Begin starts an operation. A nil Mechanism cancels the one under way
	// (PKCS#11 v3.0). Key is 0 for digests. Signature is what OpVerifySignature
	// will verify. If the operation began, the module keeps the parameter of the
	// mechanism (not the Mechanism itself), which the caller must not change any
	// more; when it needs it no longer, it may tell by calling Done.
	Begin struct {
		Session   ck.SessionHandle
		Op        Operation
		Mechanism *ck.Mechanism
		Key       ck.ObjectHandle
		Signature []byte
		Done      func()
	}
	// Update passes a part. Out is unused for digests, signing and verifying.
	Update struct {
		Session ck.SessionHandle
		Op      Operation
		In      []byte
		Out     Output
	}
	// DigestKey digests the value of a secret key.
	DigestKey struct {
		Session ck.SessionHandle
		Key     ck.ObjectHandle
	}
	// Finish ends an operation. Single says that In is the whole input (C_Sign
	// rather than C_SignFinal); Signature is what verification checks, or what
	// recovery takes.
	Finish struct {
		Session   ck.SessionHandle
		Op        Operation
		Single    bool
		In        []byte
		Signature []byte
		Out       Output
	}
	// DualUpdate is C_DigestEncryptUpdate and its kin. First works on the
	// plaintext before encryption or after decryption.
	DualUpdate struct {
		Session       ck.SessionHandle
		First, Second Operation
		In            []byte
		Out           Output
	}
	// Message is one step of a message-based operation (PKCS#11 v3.0): a whole
	// message (Whole), or its beginning (Start), a part, or its last part
	// (Last). Param may be written to.
	Message struct {
		Session            ck.SessionHandle
		Op                 Operation
		Whole, Start, Last bool
		Param              any
		AAD                []byte
		In                 []byte
		Signature          []byte
		Out                Output
	}
	// EndMessages ends a message-based operation (C_MessageEncryptFinal).
	EndMessages struct {
		Session ck.SessionHandle
		Op      Operation
	}
)

// Keys and random numbers (sections 5.18 to 5.20).
type (
	// GenerateKey makes a secret key or domain parameters.
	GenerateKey struct {
		Session   ck.SessionHandle
		Mechanism *ck.Mechanism
		Template  []ck.Attribute
	}
	// GenerateKeyPair makes a key pair.
	GenerateKeyPair struct {
		Session         ck.SessionHandle
		Mechanism       *ck.Mechanism
		Public, Private []ck.Attribute
	}
	// KeyPair is its reply.
	KeyPair struct{ Public, Private ck.ObjectHandle }
	// WrapKey wraps a key. Authenticated is C_WrapKeyAuthenticated, whose
	// mechanism has the parameter of message-based encryption.
	WrapKey struct {
		Session       ck.SessionHandle
		Mechanism     *ck.Mechanism
		WrappingKey   ck.ObjectHandle
		Key           ck.ObjectHandle
		Authenticated bool
		AAD           []byte
		Out           Output
	}
	// UnwrapKey unwraps a key into an object.
	UnwrapKey struct {
		Session       ck.SessionHandle
		Mechanism     *ck.Mechanism
		UnwrappingKey ck.ObjectHandle
		Wrapped       []byte
		Authenticated bool
		AAD           []byte
		Template      []ck.Attribute
	}
	// DeriveKey derives keys. NoHandle says that the caller has no place for
	// the handle of a key, which suits mechanisms that return what they make
	// in their parameter.
	DeriveKey struct {
		Session   ck.SessionHandle
		Mechanism *ck.Mechanism
		BaseKey   ck.ObjectHandle
		Template  []ck.Attribute
		NoHandle  bool
	}
	// EncapsulateKey makes a secret key and its ciphertext for the holder of
	// a private key.
	EncapsulateKey struct {
		Session   ck.SessionHandle
		Mechanism *ck.Mechanism
		PublicKey ck.ObjectHandle
		Template  []ck.Attribute
		Out       Output
	}
	// Encapsulated is its reply: the length of the ciphertext, which comes
	// with CKR_BUFFER_TOO_SMALL too, and the key.
	Encapsulated struct {
		N      int
		Object ck.ObjectHandle
	}
	// DecapsulateKey finds that key from the ciphertext.
	DecapsulateKey struct {
		Session    ck.SessionHandle
		Mechanism  *ck.Mechanism
		PrivateKey ck.ObjectHandle
		Ciphertext []byte
		Template   []ck.Attribute
	}
	// ModifyUsageCount sets how often a key with CKA_USAGE_LIMIT has been used,
	// or adds to it.
	ModifyUsageCount struct {
		Session ck.SessionHandle
		Key     ck.ObjectHandle
		Set     bool
		Value   uint64
	}
	// SeedRandom adds to the generator's state.
	SeedRandom struct {
		Session ck.SessionHandle
		Seed    []byte
	}
	// GenerateRandom fills Buf.
	GenerateRandom struct {
		Session ck.SessionHandle
		Buf     []byte
	}
)
