// Package engine holds the mechanisms: keys and bytes in, bytes out. It knows
// no handle, session, role or file.
//
// A mechanism is one row, a [Mechanism], in the file of its family
// (mech_*.go), which also holds its parameter structure, its code and its
// self-test. Rows register themselves. A key type is a row too, a [KeyType],
// in keytype_*.go.
//
// Errors are [ck.RV] values, bare or wrapped with an explanation that carries
// no secret. What depends on secrets is constant-time unless docs/SECURITY.md
// says otherwise by name; failed paddings and tags are told apart by nothing.
package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Mechanism is one row of the engine: everything that the HSM needs to know of
// a mechanism. A nil function means that the mechanism does not serve that
// operation; the CKF flags of C_GetMechanismInfo follow from which are set.
type Mechanism struct {
	Type ck.MechanismType
	// Aliases are further numbers of the mechanism: those that devices gave it
	// before the standard did. Each becomes a row of its own.
	Aliases []ck.MechanismType
	alias   bool // this is such a row

	// Param is the prototype of the parameter: nil for none, []byte(nil) for
	// plain bytes such as an IV, uint64(0) for one CK_ULONG,
	// ck.ObjectHandle(0) for one handle, or a nil pointer to the parameter
	// structure, whose field tags tell package cmem the C layout. Functions
	// get a value of the same type, or nil if Optional and the caller passed
	// none.
	Param    any
	Optional bool

	// MessageParam is the prototype for the message-based functions.
	MessageParam any
	// WrapParam is the prototype of another structure that Wrap and Unwrap
	// take beside Param.
	WrapParam any

	// Keys lists the key types that it works with; empty for mechanisms
	// without a key.
	Keys []ck.KeyType
	// Makes is the key type that Generate or GeneratePair makes, or AnySecret;
	// and the one that Derive makes if the template does not say.
	Makes ck.KeyType

	// Min and Max bound the key size, in the unit that C_GetMechanismInfo
	// reports for this family: bits for RSA and EC, bytes for secret keys.
	// KeyType.Size measures in the same unit. Both 0: no bound.
	Min, Max uint64
	// Flags holds CKF flags that do not follow from the functions (CKF_EC_*).
	Flags ck.Flags

	// FIPS says that the mechanism is approved in FIPS mode, with keys of
	// FIPSMin and more (0: Min and more). Keys from LegacyMin on may still
	// verify, decrypt and unwrap there (0: none smaller than FIPSMin); with
	// Legacy, keys of no size may do more (SP 800-131A).
	FIPS, Legacy       bool
	FIPSMin, LegacyMin uint64
	// Approve says what else FIPS mode refuses of an approved mechanism: other
	// curves than the standard's, functions that the parameter names. Nil where
	// the sizes say all. The key is nil where there is none, or none yet;
	// produce is false for what verifies, decrypts, decapsulates and unwraps.
	Approve func(k *Key, p any, produce bool) error

	// Korean marks KCDSA, EC-KCDSA, HAS-160 and SEED; RawRSA, RSA without a
	// padding; RSAPKCS, the padding of PKCS #1 version 1.5 around what the
	// caller gives; CBCPad, CBC with a padding. Policies of an HSM switch these
	// off, or bound what they wrap.
	Korean, RawRSA, RSAPKCS, CBCPad bool

	// OneMessage says that a second message under the same key and parameter
	// would break the mechanism, so that it does not sign by messages.
	OneMessage bool

	// Leaks says what timing or caches may tell about secrets; empty for
	// mechanisms in constant time. Vectors names what proves the mechanism
	// from outside this project. Both are for docs/mechanisms.md.
	Leaks, Vectors string

	Encrypt, Decrypt           func(k *Key, p any) (Op, error)
	Sign                       func(k *Key, p any) (Op, error)
	Verify                     func(k *Key, p any) (Verifier, error)
	SignRecover, VerifyRecover func(k *Key, p any) (Op, error)
	Digest                     func(p any) (Op, error)

	// Wrap and Unwrap make single-part operations over encoded key material.
	Wrap, Unwrap func(k *Key, p any) (Op, error)
	// Wrapped says what comes back from unwrapping.
	Wrapped Wrapped

	// Encapsulate makes a secret for the holder of a private key: the
	// ciphertext that CiphertextLen announces, and the bytes of the secret.
	// Decapsulate finds the secret again (sections 5.18.8 and 5.18.9).
	Encapsulate   func(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error)
	CiphertextLen func(public *Key, p any) (int, error)
	Decapsulate   func(private *Key, p any, d *Derivation, ciphertext []byte) (secret []byte, err error)

	MessageEncrypt, MessageDecrypt func(k *Key, p any) (MessageOp, error)

	// Generate makes a secret key from the template's attributes (such as
	// CKA_VALUE_LEN) and returns its value attributes.
	Generate func(p any, template []ck.Attribute) ([]ck.Attribute, error)
	// GenerateParameters makes domain parameters and returns their value
	// attributes.
	GenerateParameters func(p any, template []ck.Attribute) ([]ck.Attribute, error)
	// GeneratePair makes a key pair and returns the value attributes of both.
	GeneratePair func(p any, public, private []ck.Attribute) (pub, priv []ck.Attribute, err error)
	// Derive returns the bytes of the derived key.
	Derive func(base *Key, p any, d *Derivation) ([]byte, error)
	// DerivesData says that the result is a data object and no key. Inherits
	// says that the derived key shows bytes of the keys that it comes from, and
	// must be as sensitive as they are.
	DerivesData, Inherits bool
	// DeriveKeys, instead of Derive, derives any number of objects; without
	// one for the caller's template if InParam.
	DeriveKeys func(base *Key, p any, d *Derivation) ([]Derived, error)
	InParam    bool
	// DerivesFromPublic says that public keys derive too.
	DerivesFromPublic bool
	// DerivesPublic says that the result is the public key of the base key,
	// which need not permit derivation: it tells nothing that is secret.
	DerivesPublic bool

	// SelfTest checks a known answer that this project did not compute. A row
	// without one is not registered.
	SelfTest func() error
	proven   func() error // SelfTest, run once
}

// Proven runs the self-test of the mechanism, once in the life of the process,
// and returns what it found.
func (m *Mechanism) Proven() error { return m.proven() }

// Wrapped says what unwrapping gives back where the mechanism does not recover
// the length of what was wrapped.
type Wrapped struct {
	// Zeros is how many zeros there can be behind it.
	Zeros int
	// Last says that it comes last, after zeros (raw RSA, PKCS#11 v3.1
	// section 6.1.12).
	Last bool
	// SecretOnly says that only secret keys are wrapped, because the end of an
	// encoded private key would not be found, or because the standard says so.
	SecretOnly bool
}

// Derived is one object that DeriveKeys makes.
type Derived struct {
	// Handle is where in the parameter its handle goes; nil for the object
	// that C_DeriveKey answers with, whose template is the call's.
	Handle *NewHandle
	// Template is what the parameter, or the mechanism, asks for. Of the
	// object with a Handle it is the whole template; otherwise it is added to
	// the call's.
	Template []ck.Attribute
	// Class and Type are those of the object where its template does not tell.
	Class  ck.ObjectClass
	Type   ck.KeyType
	Values []ck.Attribute
}

// NewHandle is a field of a parameter structure in which the handle of an
// object is returned; in contrast to ck.ObjectHandle, which names one.
type NewHandle uint64

// AnySecret, as what a mechanism makes, leaves the type of the secret key to the
// template; a generic secret if that is silent. As what it takes, it stands for
// secret keys of every type.
const AnySecret = ^ck.KeyType(0)

// Derivation tells Derive what is wanted.
type Derivation struct {
	// Type is the key type of the result.
	Type ck.KeyType
	// Len is the length of the result in bytes, from CKA_VALUE_LEN or from
	// a key type of fixed length; 0 if the template leaves it open.
	Len int
	// Keys are the keys that the parameter's handles name, in the order of
	// the fields; nil stands for the handle 0.
	Keys []*Key
	// Template is the caller's, for DeriveKeys.
	Template []ck.Attribute
}

// Op is one operation under way: encryption, decryption, signing, digesting,
// wrapping. It belongs to one goroutine at a time. After an error it is dead.
//
// dst and src may be the same memory, beginning at the same byte, but do not
// overlap otherwise.
type Op interface {
	// UpdateLen is how many bytes Update will write for n more bytes: exact,
	// or an upper bound where padding makes that depend on secrets.
	UpdateLen(n int) int
	// Update takes src and writes what is ready to dst, which has room for
	// UpdateLen(len(src)). Operations that work in one part only return
	// CKR_FUNCTION_NOT_SUPPORTED.
	Update(dst, src []byte) (int, error)
	// FinishLen is how many bytes Finish writes after n more bytes; exact
	// tells whether that is so or only an upper bound. It computes nothing.
	FinishLen(n int) (max int, exact bool)
	// Finish takes the last bytes (all of them in a single-part call) and
	// ends the operation. dst has room for the maximum of FinishLen.
	Finish(dst, src []byte) (int, error)
}

// Verifier is a verification under way.
type Verifier interface {
	// Update takes more of the message. Mechanisms that work in one part only
	// return CKR_FUNCTION_NOT_SUPPORTED.
	Update(src []byte) error
	// Verify takes the last bytes of the message (all of them in a
	// single-part call) and checks sig: nil, CKR_SIGNATURE_INVALID or
	// CKR_SIGNATURE_LEN_RANGE.
	Verify(src, sig []byte) error
}

// MessageOp is the state of a message-based operation: many messages, one key.
type MessageOp interface {
	// Begin starts one message with its parameter, in which it may fill in
	// the IV. The Op's Finish fills in the tag (encryption) or checks it.
	Begin(p any, aad []byte) (Op, error)
}

// Saver is an Op or Verifier whose state can be carried to another session
// (C_GetOperationState). Load is called on a fresh operation made with the
// same key and parameter.
type Saver interface {
	Save() ([]byte, error)
	Load(state []byte) error
}

// KeyType is what the engine knows of one key type.
type KeyType struct {
	Type ck.KeyType
	// Aliases are further numbers of the type, which devices gave it before the
	// standard did. No key has them: StandardKeyType puts Type in their place.
	Aliases []ck.KeyType
	// Size measures a key in the unit of Mechanism.Min and Max.
	Size func(k *Key) uint64
	// Complete checks the value attributes of a key that came from outside
	// (created, unwrapped, derived) and returns those to add or to replace:
	// missing CRT components, CKA_MODULUS_BITS, CKA_VALUE_LEN, normalised EC
	// parameters, truncated or parity-adjusted values. It refuses keys that
	// are not on their curve, of illegal length or inconsistent.
	Complete func(k *Key) ([]ck.Attribute, error)
	// Lengths lists the lengths in bytes that secret keys of this type can
	// have; empty if any length will do.
	Lengths []int
	// PublicInfo is the DER SubjectPublicKeyInfo of a public or private key;
	// nil bytes if it cannot be told.
	PublicInfo func(k *Key) ([]byte, error)
	// MarshalPKCS8 and UnmarshalPKCS8 carry a private key; OIDs lists the
	// AlgorithmIdentifiers (dotted decimal) that UnmarshalPKCS8 answers to.
	// It is given the whole PrivateKeyInfo.
	OIDs           []string
	MarshalPKCS8   func(k *Key) ([]byte, error)
	UnmarshalPKCS8 func(der []byte) ([]ck.Attribute, error)
	// unmarshalPublic reads the public key of an algorithm in OIDs.
	unmarshalPublic func(info *publicInfo) ([]ck.Attribute, error)
	// CheckValue is CKA_CHECK_VALUE of a secret key, three bytes.
	CheckValue func(k *Key) ([]byte, error)
}

// Key is key material: the attributes that carry values (CKA_VALUE,
// CKA_MODULUS, CKA_EC_PARAMS and so on), immutable once made.
type Key struct {
	Class ck.ObjectClass
	Type  ck.KeyType
	Attrs []ck.Attribute
	// Blind says that RSA private operations with the key are blinded.
	Blind atomic.Bool

	mu     sync.Mutex
	parsed atomic.Pointer[[]any]
}

// Bytes returns the value of attribute t, nil if the key has none.
func (k *Key) Bytes(t ck.AttributeType) []byte {
	if a := ck.Find(k.Attrs, t); a != nil {
		return a.Value
	}
	return nil
}

// Value returns CKA_VALUE.
func (k *Key) Value() []byte { return k.Bytes(ck.CKA_VALUE) }

// Parsed returns the form of k that parse makes. The first one made for a key
// and type T is kept as long as the key; parse may use Parsed for other types.
// T must be safe for use by several goroutines.
func Parsed[T any](k *Key, parse func(*Key) (T, error)) (T, error) {
	if v, ok := lookup[T](k); ok {
		return v, nil
	}
	v, err := parse(k) // without the lock: two may parse, and one wins
	if err != nil {
		return v, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if first, ok := lookup[T](k); ok {
		return first, nil
	}
	var list []any
	if old := k.parsed.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, v)
	k.parsed.Store(&list)
	return v, nil
}

func lookup[T any](k *Key) (v T, ok bool) {
	if list := k.parsed.Load(); list != nil {
		for _, p := range *list {
			if v, ok = p.(T); ok {
				return v, true
			}
		}
	}
	return v, false
}

var (
	pending    []func() // make rows that nobody asked for yet
	mechanisms []*Mechanism
	byType     map[ck.MechanismType]*Mechanism
	keyTypes   []*KeyType
	byKeyType  map[ck.KeyType]*KeyType // aliases too
)

// later notes a function that registers rows; called from the init functions of
// mech_*.go and keytype_*.go. A program that loads the library and looks around
// shall not wait for hundreds of rows.
func later(rows func()) { pending = append(pending, rows) }

// makeRows comes before every look at rows.
var makeRows = sync.OnceFunc(func() {
	byType, byKeyType = make(map[ck.MechanismType]*Mechanism, 600), make(map[ck.KeyType]*KeyType, 100)
	for _, rows := range pending {
		rows()
	}
	pending = nil
	sortRows()
})

// register adds rows. A mechanism that nothing tests is none.
func register(rows ...*Mechanism) {
	for _, m := range rows {
		if m.SelfTest == nil {
			continue
		}
		m.proven = sync.OnceValue(m.SelfTest)
		mechanisms = append(mechanisms, m)
		byType[m.Type] = m
		for _, t := range m.Aliases {
			alias := *m
			alias.Type, alias.Aliases, alias.alias = t, nil, true
			mechanisms = append(mechanisms, &alias)
			byType[t] = &alias
		}
	}
}

// registerKeyType adds rows.
func registerKeyType(rows ...*KeyType) {
	keyTypes = append(keyTypes, rows...)
	for _, k := range rows {
		for _, t := range append(slices.Clip(k.Aliases), k.Type) {
			byKeyType[t] = k
		}
	}
}

func sortRows() {
	slices.SortFunc(mechanisms, func(a, b *Mechanism) int { return cmp.Compare(a.Type, b.Type) })
	for i := 1; i < len(mechanisms); i++ {
		if mechanisms[i-1].Type == mechanisms[i].Type {
			panic(fmt.Sprintf("engine: two rows for %v", mechanisms[i].Type))
		}
	}
}

// Mechanisms returns all rows in the order of their numbers. The slice is
// shared and must not be changed.
func Mechanisms() []*Mechanism {
	makeRows()
	return mechanisms
}

// Find returns the row of a mechanism, or nil.
func Find(t ck.MechanismType) *Mechanism {
	makeRows()
	return byType[t]
}

// FindKeyType returns the row of a key type, or nil.
func FindKeyType(t ck.KeyType) *KeyType {
	makeRows()
	return byKeyType[t]
}

// StandardKeyType is the standard's number for an older number of a key type;
// other numbers it leaves alone.
func StandardKeyType(t ck.KeyType) ck.KeyType {
	if k := FindKeyType(t); k != nil {
		return k.Type
	}
	return t
}

// KeyTypes returns the rows of all key types.
func KeyTypes() []*KeyType {
	makeRows()
	return keyTypes
}

// Info is what C_GetMechanismInfo answers for the row.
func (m *Mechanism) Info() ck.MechanismInfo {
	f := m.Flags
	for _, x := range []struct {
		has  bool
		flag ck.Flags
	}{
		{m.Encrypt != nil, ck.CKF_ENCRYPT},
		{m.Decrypt != nil, ck.CKF_DECRYPT},
		{m.Digest != nil, ck.CKF_DIGEST},
		{m.Sign != nil, ck.CKF_SIGN},
		{m.SignRecover != nil, ck.CKF_SIGN_RECOVER},
		{m.Verify != nil, ck.CKF_VERIFY},
		{m.VerifyRecover != nil, ck.CKF_VERIFY_RECOVER},
		{m.Generate != nil || m.GenerateParameters != nil, ck.CKF_GENERATE},
		{m.GeneratePair != nil, ck.CKF_GENERATE_KEY_PAIR},
		{m.Wrap != nil, ck.CKF_WRAP},
		{m.Unwrap != nil, ck.CKF_UNWRAP},
		{m.Derive != nil || m.DeriveKeys != nil, ck.CKF_DERIVE},
		{m.Encapsulate != nil, ck.CKF_ENCAPSULATE},
		{m.Decapsulate != nil, ck.CKF_DECAPSULATE},
		{m.MessageEncrypt != nil, ck.CKF_MESSAGE_ENCRYPT},
		{m.MessageDecrypt != nil, ck.CKF_MESSAGE_DECRYPT},
		{m.SignsMessages(), ck.CKF_MESSAGE_SIGN},
		{m.VerifiesMessages(), ck.CKF_MESSAGE_VERIFY},
	} {
		if x.has {
			f |= x.flag
		}
	}
	return ck.MechanismInfo{MinKeySize: m.Min, MaxKeySize: m.Max, Flags: f}
}

// Unit is how many bits the unit of Min and Max is: keys that are bytes are
// measured in bytes, but where the standard has bits.
func (m *Mechanism) Unit() uint64 {
	if m.Type == ck.CKM_GENERIC_SECRET_KEY_GEN {
		return 1
	}
	types := m.Keys
	if len(types) == 0 {
		types = []ck.KeyType{m.Makes}
	}
	switch types[0] {
	case ck.CKK_RSA, ck.CKK_DSA, ck.CKK_DH, ck.CKK_X9_42_DH, ck.CKK_KCDSA, ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY,
		ck.CKK_RC2, ck.CKK_RC4:
		return 1
	}
	return 8
}

// SizeOf is the size of a key in the unit of Min and Max, 0 if its type has no
// sizes.
func (m *Mechanism) SizeOf(key *Key) uint64 {
	kt := FindKeyType(key.Type)
	if kt == nil || kt.Size == nil {
		return 0
	}
	if m.Type == ck.CKM_GENERIC_SECRET_KEY_GEN { // bits, of keys that are bytes
		return 8 * kt.Size(key)
	}
	return kt.Size(key)
}

// Restricted is the row with no other functions than those of the flags, and
// with keys of least to most bits only; most 0 is no bound.
func (m *Mechanism) Restricted(flags ck.Flags, least, most uint64) *Mechanism {
	r := *m
	for _, f := range []struct {
		flag ck.Flags
		drop func()
	}{
		{ck.CKF_ENCRYPT, func() { r.Encrypt = nil }},
		{ck.CKF_DECRYPT, func() { r.Decrypt = nil }},
		{ck.CKF_DIGEST, func() { r.Digest = nil }},
		{ck.CKF_SIGN, func() { r.Sign = nil }},
		{ck.CKF_SIGN_RECOVER, func() { r.SignRecover = nil }},
		{ck.CKF_VERIFY, func() { r.Verify = nil }},
		{ck.CKF_VERIFY_RECOVER, func() { r.VerifyRecover = nil }},
		{ck.CKF_GENERATE, func() { r.Generate, r.GenerateParameters = nil, nil }},
		{ck.CKF_GENERATE_KEY_PAIR, func() { r.GeneratePair = nil }},
		{ck.CKF_WRAP, func() { r.Wrap = nil }},
		{ck.CKF_UNWRAP, func() { r.Unwrap = nil }},
		{ck.CKF_DERIVE, func() { r.Derive, r.DeriveKeys = nil, nil }},
		{ck.CKF_ENCAPSULATE, func() { r.Encapsulate = nil }},
		{ck.CKF_DECAPSULATE, func() { r.Decapsulate = nil }},
		{ck.CKF_MESSAGE_ENCRYPT, func() { r.MessageEncrypt = nil }},
		{ck.CKF_MESSAGE_DECRYPT, func() { r.MessageDecrypt = nil }},
	} {
		if flags&f.flag == 0 {
			f.drop()
		}
	}
	if flags&ck.CKF_MESSAGE_SIGN == 0 {
		r.OneMessage = true
	}
	if most == 0 {
		return &r
	}
	unit := m.Unit()
	r.Min = max(r.Min, (least+unit-1)/unit)
	if r.Max == 0 || most/unit < r.Max {
		r.Max = most / unit
	}
	return &r
}

// producingFlags are the flags of functions that FIPS mode denies to what is
// approved as a legacy only.
const producingFlags = ck.CKF_ENCRYPT | ck.CKF_DIGEST | ck.CKF_SIGN | ck.CKF_SIGN_RECOVER | ck.CKF_GENERATE |
	ck.CKF_GENERATE_KEY_PAIR | ck.CKF_WRAP | ck.CKF_DERIVE | ck.CKF_ENCAPSULATE |
	ck.CKF_MESSAGE_ENCRYPT | ck.CKF_MESSAGE_SIGN

// ApprovedInfo is what C_GetMechanismInfo answers for an approved row in FIPS
// mode.
func (m *Mechanism) ApprovedInfo() ck.MechanismInfo {
	info := m.Info()
	if m.Legacy {
		info.Flags &^= producingFlags
	}
	info.MinKeySize = m.ApprovedMin(!m.Legacy)
	return info
}

// Approved reports whether FIPS mode allows the mechanism to produce
// (encryptions, signatures, keys), or to consume what was made earlier.
func (m *Mechanism) Approved(produce bool) bool { return m.FIPS && !(m.Legacy && produce) }

// ApprovedMin is the size of the smallest key with which it may do so.
func (m *Mechanism) ApprovedMin(produce bool) uint64 {
	strong := max(m.Min, m.FIPSMin)
	if produce || m.LegacyMin == 0 {
		return strong
	}
	return max(m.Min, min(strong, m.LegacyMin))
}

// SignsMessages reports whether the mechanism serves C_MessageSignInit.
func (m *Mechanism) SignsMessages() bool { return m.Sign != nil && !m.OneMessage }

// VerifiesMessages reports whether it serves C_MessageVerifyInit.
func (m *Mechanism) VerifiesMessages() bool { return m.Verify != nil && !m.OneMessage }

// Takes reports whether the mechanism works with keys of this class and type.
func (m *Mechanism) Takes(class ck.ObjectClass, t ck.KeyType) bool {
	for _, k := range m.Keys {
		if k == t || k == AnySecret && class == ck.CKO_SECRET_KEY {
			return true
		}
	}
	return false
}

// ParamPrototypes returns the prototypes of the parameters of t, for the layer
// that decodes them: of the mechanism, of its message-based functions, and of
// wrapping.
func ParamPrototypes(t ck.MechanismType) (param, message, wrap any, known bool) {
	m := Find(t)
	if m == nil {
		return nil, nil, nil, false
	}
	return m.Param, m.MessageParam, m.WrapParam, true
}
