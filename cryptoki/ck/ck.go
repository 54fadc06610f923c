// Package ck is the vocabulary of PKCS#11 in Go: return values, attributes,
// mechanisms and the information structures of the standard.
//
// Constants keep the names that the standard gives them (CKM_AES_GCM,
// CKA_SENSITIVE), so that a search for a name of the standard finds its use
// here. They are generated from include/pkcs11.h and include/perilune.h.
//
// A CK_ULONG is a Go uint64 (or a named type over it) everywhere above the C
// boundary, and an attribute value that holds a CK_ULONG is eight bytes, least
// significant first, whatever the width and order of the host: see [PutULong].
package ck

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The number spaces of the standard, one Go type each.
type (
	// RV is CK_RV, the result of a call. Every RV but CKR_OK serves as an error.
	RV uint64
	// MechanismType is CK_MECHANISM_TYPE.
	MechanismType uint64
	// AttributeType is CK_ATTRIBUTE_TYPE.
	AttributeType uint64
	// ObjectClass is CK_OBJECT_CLASS.
	ObjectClass uint64
	// KeyType is CK_KEY_TYPE.
	KeyType uint64
	// CertificateType is CK_CERTIFICATE_TYPE.
	CertificateType uint64
	// HardwareType is CK_HW_FEATURE_TYPE.
	HardwareType uint64
	// ProfileID is CK_PROFILE_ID.
	ProfileID uint64
	// UserType is CK_USER_TYPE.
	UserType uint64
	// SessionState is CK_STATE.
	SessionState uint64
	// Flags is CK_FLAGS.
	Flags uint64
	// MGF is CK_RSA_PKCS_MGF_TYPE.
	MGF uint64
	// GeneratorFunction is CK_GENERATOR_FUNCTION, how a message IV is made.
	GeneratorFunction uint64
	// KDF is CK_EC_KDF_TYPE and its kin.
	KDF uint64
	// SourceType is CK_RSA_PKCS_OAEP_SOURCE_TYPE and the salt source of PBKDF2.
	SourceType uint64
	// PRF is CK_PKCS5_PBKD2_PSEUDO_RANDOM_FUNCTION_TYPE.
	PRF uint64
	// NotifyType is CK_NOTIFICATION.
	NotifyType uint64

	// SlotID is CK_SLOT_ID.
	SlotID uint64
	// SessionHandle is CK_SESSION_HANDLE.
	SessionHandle uint64
	// ObjectHandle is CK_OBJECT_HANDLE. In a mechanism's parameter it marks a
	// field that names another key.
	ObjectHandle uint64
)

// UnavailableInformation is CK_UNAVAILABLE_INFORMATION: the length of an
// attribute that cannot be given. At the C boundary it becomes (CK_ULONG)-1.
const UnavailableInformation = ^uint64(0)

// EffectivelyInfinite is CK_EFFECTIVELY_INFINITE: a limit that does not exist.
const EffectivelyInfinite = 0

// Error makes every RV an error. The text is the name of the standard.
func (rv RV) Error() string { return rv.String() }

// Version is CK_VERSION.
type Version struct{ Major, Minor byte }

// Attribute is CK_ATTRIBUTE. Value is nil only where the caller passed a null
// pointer. A template-valued attribute (CKA_WRAP_TEMPLATE and the like) holds
// the nested attributes in Template, and Value is unused.
type Attribute struct {
	Type     AttributeType
	Value    []byte
	Template []Attribute
}

// IsTemplate reports whether values of type t are arrays of attributes.
func (t AttributeType) IsTemplate() bool {
	switch t {
	case CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE,
		CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE:
		return true
	}
	return false
}

// Mechanism is CK_MECHANISM. Param is nil, or []byte where the parameter is
// plain bytes such as an IV, or a pointer to the parameter structure that the
// mechanism's row names.
type Mechanism struct {
	Type  MechanismType
	Param any
}

// MechanismInfo is CK_MECHANISM_INFO.
type MechanismInfo struct {
	MinKeySize, MaxKeySize uint64
	Flags                  Flags
}

// Info is CK_INFO. Strings are neither padded nor cut here.
type Info struct {
	CryptokiVersion    Version
	ManufacturerID     string
	Flags              Flags
	LibraryDescription string
	LibraryVersion     Version
}

// SlotInfo is CK_SLOT_INFO.
type SlotInfo struct {
	SlotDescription string
	ManufacturerID  string
	Flags           Flags
	HardwareVersion Version
	FirmwareVersion Version
}

// TokenInfo is CK_TOKEN_INFO.
type TokenInfo struct {
	Label                                 string
	ManufacturerID                        string
	Model                                 string
	SerialNumber                          string
	Flags                                 Flags
	MaxSessionCount, SessionCount         uint64
	MaxRwSessionCount, RwSessionCount     uint64
	MaxPinLen, MinPinLen                  uint64
	TotalPublicMemory, FreePublicMemory   uint64
	TotalPrivateMemory, FreePrivateMemory uint64
	HardwareVersion, FirmwareVersion      Version
	UTCTime                               string
}

// SessionInfo is CK_SESSION_INFO.
type SessionInfo struct {
	SlotID      SlotID
	State       SessionState
	Flags       Flags
	DeviceError uint64
}

// PutULong encodes v as the value of a CK_ULONG attribute.
func PutULong[T ~uint64](v T) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 0, 8), uint64(v))
}

// ULong decodes the value of a CK_ULONG attribute; ok is false if b is not
// eight bytes long.
func ULong(b []byte) (v uint64, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// PutBool encodes v as the value of a CK_BBOOL attribute.
func PutBool(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

// Bool decodes the value of a CK_BBOOL attribute. Any byte but 0 is true, as
// C programs expect; ok is false if b is not one byte long.
func Bool(b []byte) (v, ok bool) {
	if len(b) != 1 {
		return false, false
	}
	return b[0] != 0, true
}

// NewULong is an attribute whose value is a CK_ULONG.
func NewULong[T ~uint64](t AttributeType, v T) Attribute {
	return Attribute{Type: t, Value: PutULong(v)}
}

// NewBool is an attribute whose value is a CK_BBOOL.
func NewBool(t AttributeType, v bool) Attribute {
	return Attribute{Type: t, Value: PutBool(v)}
}

// NewBytes is an attribute whose value is b, which is not copied.
func NewBytes(t AttributeType, b []byte) Attribute {
	return Attribute{Type: t, Value: b}
}

// MechanismTypes decodes the value of CKA_ALLOWED_MECHANISMS; ok is false if
// the length is not a multiple of eight.
func MechanismTypes(b []byte) (list []MechanismType, ok bool) {
	if len(b)%8 != 0 {
		return nil, false
	}
	for c := range slices.Chunk(b, 8) {
		list = append(list, MechanismType(binary.LittleEndian.Uint64(c)))
	}
	return list, true
}

// PutMechanismTypes encodes the value of CKA_ALLOWED_MECHANISMS.
func PutMechanismTypes(list ...MechanismType) []byte {
	b := make([]byte, 0, 8*len(list))
	for _, m := range list {
		b = binary.LittleEndian.AppendUint64(b, uint64(m))
	}
	return b
}

// Find returns the first attribute of type t in list, or nil.
func Find(list []Attribute, t AttributeType) *Attribute {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

// RVOf returns the RV that err carries: CKR_OK for nil, CKR_GENERAL_ERROR for
// an error that carries none.
func RVOf(err error) RV {
	if err == nil {
		return CKR_OK
	}
	var rv RV
	if errors.As(err, &rv) {
		return rv
	}
	return CKR_GENERAL_ERROR
}
