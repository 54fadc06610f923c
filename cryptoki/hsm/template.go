package hsm

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// maxTemplate bounds the attributes of a template.
const maxTemplate = 512

// precheck refuses everything about a template that can be refused before the
// key exists: unknown, read-only, inconsistent or missing attributes (PKCS#11
// v3.1 section 4.1.1), and what the session's state and role may not make.
func (h *HSM) precheck(_ context.Context, s *session, d *draft) error {
	_, err := h.planOf(s, d)
	return err
}

// build makes the object of a draft, complete but not stored yet.
func (h *HSM) build(_ context.Context, s *session, d *draft) (*object, error) {
	if d.origin == originCopy {
		return d.copyOf(s)
	}
	p, err := h.planOf(s, d)
	if err != nil {
		return nil, err
	}
	d.plan = nil // its list becomes the object's
	sch, l := p.schema, p.full
	l.overlay(sch, d.values)
	if err := d.completeKey(sch, &l); err != nil {
		return nil, err
	}
	if err := d.checkLength(p.given, l); err != nil {
		return nil, err
	}
	d.setHistory(sch, &l)
	if err := d.compute(sch, p.given, &l); err != nil {
		return nil, err
	}
	o, err := d.finish(s, sch, l)
	l.release() // the object has copies
	return o, err
}

// plan is what a new object is to be, as far as is known before its value.
type plan struct {
	circumstances
	schema *schema
	given  attrList // what the template, and those that bind it, ask for
	full   attrList // that and the defaults, with room for what comes
}

// circumstances are what a plan depends on besides its draft.
type circumstances struct {
	role     p11.Role
	policies *settings
	profile  *profile
}

// planOf is the plan of a draft, which precheck and build share unless somebody
// logged in or out, or changed a policy, between them.
func (h *HSM) planOf(s *session, d *draft) (*plan, error) {
	now := circumstances{policies: s.part.policies.Load(), profile: h.profile()}
	now.role, _ = s.acting()
	if d.plan != nil && d.plan.circumstances == now {
		return d.plan, nil
	}
	p := &plan{circumstances: now}
	d.plan = nil
	if err := p.make(s, d); err != nil {
		return nil, err
	}
	d.plan = p
	return p, nil
}

// make checks the template of a new object.
func (p *plan) make(s *session, d *draft) error {
	l, err := canonicalList(d.template)
	if err != nil {
		return err
	}
	implied := d.implied()
	sch, err := d.findSchema(l, implied)
	if err != nil {
		return err
	}
	if err := sch.admits(d.origin, l, p.role); err != nil {
		return err
	}
	if err := d.bind(sch, &l, implied); err != nil {
		return err
	}
	if err := sch.complete(d.origin, l); err != nil {
		return err
	}
	if d.origin == originCreate && isSecretKind(sch.class) {
		if err := p.profile.plaintext.admits(l, s.part.fips()); err != nil {
			return err
		}
	}
	l.overlay(sch, implied)
	for _, t := range sch.transient {
		l.remove(t)
	}
	p.schema, p.given, p.full = sch, l, sch.withDefaults(&p.circumstances, d.origin, l)
	if err := p.policies.mayServe(sch.class, p.full); err != nil {
		return err
	}
	return s.mayMake(d.origin, sch.class, p.full.bool(ck.CKA_TOKEN), p.full.bool(ck.CKA_PRIVATE))
}

// canonicalList brings a template to its one form. An attribute may be there
// twice with the same value, as section 4.1.1 encourages.
func canonicalList(template []ck.Attribute) (attrList, error) {
	if len(template) > maxTemplate {
		return nil, fmt.Errorf("a template of %d attributes: %w", len(template), ck.CKR_TEMPLATE_INCONSISTENT)
	}
	l := make(attrList, 0, len(template)+4)
	for _, a := range template {
		sh, known := shapes()[a.Type]
		if !known {
			return nil, refuse(a.Type, ck.CKR_ATTRIBUTE_TYPE_INVALID, "unknown attribute")
		}
		a, err := canonical(a, sh)
		if err != nil {
			return nil, err
		}
		if old := l.get(a.Type); old != nil && !sameValue(old, &a) {
			return nil, refuse(a.Type, ck.CKR_TEMPLATE_INCONSISTENT, "given twice, with different values")
		}
		l.put(a)
	}
	return l, nil
}

// findSchema tells the schema by class and type: of C_CreateObject's template,
// or of what a key function is about to make, with which a template may agree.
func (d *draft) findSchema(l, implied attrList) (*schema, error) {
	if d.origin == originCreate {
		class, err := l.need(ck.CKA_CLASS)
		if err != nil {
			return nil, err
		}
		var subtype uint64
		if t, has := subtypeAttribute(ck.ObjectClass(class)); has {
			if subtype, err = l.need(t); err != nil {
				return nil, err
			}
		}
		return schemaFor(ck.ObjectClass(class), subtype)
	}
	sch, err := schemaFor(d.class, uint64(d.keyType))
	if err != nil {
		return nil, err
	}
	for i := range implied {
		a := &implied[i]
		if got := l.get(a.Type); got != nil && !sameValue(got, a) {
			return nil, refuse(a.Type, ck.CKR_TEMPLATE_INCONSISTENT, "not what this function makes")
		}
	}
	return sch, nil
}

// implied are the attributes that tell the schema, of everything but what
// C_CreateObject makes.
func (d *draft) implied() attrList {
	if d.origin == originCreate {
		return nil
	}
	l := attrList{ck.NewULong(ck.CKA_CLASS, d.class)}
	if t, has := subtypeAttribute(d.class); has {
		l = append(l, ck.NewULong(t, d.keyType)) // after CKA_CLASS, whose number is 0
	}
	return l
}

func (l attrList) need(t ck.AttributeType) (uint64, error) {
	v, ok := ck.ULong(l.bytes(t))
	if !ok {
		return 0, refuse(t, ck.CKR_TEMPLATE_INCOMPLETE, "missing")
	}
	return v, nil
}

// schemaFor finds the schema of objects that can be made.
func schemaFor(class ck.ObjectClass, subtype uint64) (*schema, error) {
	t, has := subtypeAttribute(class)
	if !has {
		t, subtype = ck.CKA_CLASS, 0
	}
	sch := findSchema(class, subtype)
	switch {
	case sch == nil || class == ck.CKO_PROFILE:
		return nil, refuse(t, ck.CKR_ATTRIBUTE_VALUE_INVALID, "objects of this kind cannot be made")
	case hasKeyType(class) && engine.FindKeyType(ck.KeyType(subtype)) == nil:
		return nil, refuse(t, ck.CKR_ATTRIBUTE_VALUE_INVALID, "no mechanism for keys of type %v", ck.KeyType(subtype))
	}
	return sch, nil
}

// admits checks every attribute of a template against its row.
func (s *schema) admits(o origin, l attrList, role p11.Role) error {
	for _, a := range l {
		r := s.row(a.Type)
		switch {
		case r == nil:
			return refuse(a.Type, ck.CKR_TEMPLATE_INCONSISTENT, "objects of class %v and this type do not have it", s.class)
		case r.refused(o):
			return refuse(a.Type, ck.CKR_ATTRIBUTE_READ_ONLY, "must not be specified here")
		case r.rules&bySO != 0 && role != p11.RolePartitionSO && a.Value[0] != 0:
			return denyFor(refuseAttributeBySO, a.Type, "only the Partition SO can make %v true", a.Type)
		}
		if r.check != nil {
			if err := r.check(a.Value); err != nil {
				return refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%v", err)
			}
		}
	}
	return nil
}

// complete checks that everything is there that a caller must give.
func (s *schema) complete(o origin, l attrList) error {
	for i := range s.rows {
		r := &s.rows[i]
		if r.needed(o) && l.get(r.t) == nil {
			return refuse(r.t, ck.CKR_TEMPLATE_INCOMPLETE, "missing")
		}
	}
	return nil
}

// bindingTemplate is what the unwrapping or base key prescribes for the new
// one (sections 5.18.4 and 5.18.5), nil for nothing.
func (d *draft) bindingTemplate() []ck.Attribute {
	if d.from == nil {
		return nil
	}
	switch d.origin {
	case originUnwrap:
		return d.from.template(ck.CKA_UNWRAP_TEMPLATE)
	case originDerive:
		return d.from.template(ck.CKA_DERIVE_TEMPLATE)
	case originEncapsulate:
		return d.from.template(ck.CKA_ENCAPSULATE_TEMPLATE)
	case originDecapsulate:
		return d.from.template(ck.CKA_DECAPSULATE_TEMPLATE)
	}
	return nil
}

// bind adds what is prescribed, and refuses what contradicts it. What a caller
// could not ask for either is only compared, in the end, by finish.
func (d *draft) bind(sch *schema, l *attrList, implied attrList) error {
	for _, a := range d.bindingTemplate() {
		got := l.get(a.Type)
		if got == nil {
			got = implied.get(a.Type)
		}
		if got != nil && !sameValue(got, &a) {
			return refuse(a.Type, ck.CKR_TEMPLATE_INCONSISTENT, "contradicts the template of the key that is used")
		}
		if r := sch.row(a.Type); r != nil && !r.refused(d.origin) && r.rules&bySO == 0 {
			l.put(a)
		}
	}
	return nil
}

// overlay puts the values that the engine made over those asked for.
func (l *attrList) overlay(sch *schema, values []ck.Attribute) {
	for _, a := range values {
		if sch.row(a.Type) != nil {
			l.put(a)
		}
	}
}

// completeKey has the engine check and complete key material, or domain
// parameters, that came from outside. What it generated itself is right.
func (d *draft) completeKey(sch *schema, l *attrList) error {
	if !hasKeyType(sch.class) || d.origin == originGenerate {
		return nil
	}
	kt := engine.FindKeyType(l.keyType())
	if kt.Complete == nil {
		return nil
	}
	values, err := kt.Complete(sch.engineKey(kt.Type, *l))
	if err != nil {
		return err
	}
	l.overlay(sch, values)
	return nil
}

// keyType is the type of the key in the making, one that schemaFor let pass.
func (l attrList) keyType() ck.KeyType {
	v, _ := ck.ULong(l.bytes(ck.CKA_KEY_TYPE))
	return ck.KeyType(v)
}

func (s *schema) engineKey(t ck.KeyType, l attrList) *engine.Key {
	k := &engine.Key{Class: s.class, Type: t, Attrs: make([]ck.Attribute, 0, len(s.material))}
	for _, t := range s.material {
		if a := l.get(t); a != nil {
			k.Attrs = append(k.Attrs, *a)
		}
	}
	return k
}

// checkLength compares a CKA_VALUE_LEN that was given with the key's length.
func (d *draft) checkLength(given, l attrList) error {
	want, ok := ck.ULong(given.bytes(ck.CKA_VALUE_LEN))
	if value := l.get(ck.CKA_VALUE); !ok || value == nil || want == uint64(len(value.Value)) {
		return nil
	}
	if d.origin == originUnwrap {
		return refuse(ck.CKA_VALUE_LEN, ck.CKR_WRAPPED_KEY_LEN_RANGE, "the wrapped key has another length")
	}
	return refuse(ck.CKA_VALUE_LEN, ck.CKR_TEMPLATE_INCONSISTENT, "the key has another length")
}

// withDefaults is l and what was not given and has a default, with room for
// what is computed later.
func (s *schema) withDefaults(now *circumstances, o origin, l attrList) attrList {
	full := listWithRoom(len(l) + len(s.rows))
	for i := range s.rows { // both are in rising order of type
		r := &s.rows[i]
		for len(l) > 0 && l[0].Type < r.t {
			full, l = append(full, l[0]), l[1:]
		}
		if r.def != nil && (len(l) == 0 || l[0].Type != r.t) {
			full = append(full, ck.NewBytes(r.t, now.profile.defaultOf(r, s.class, o, now.role)))
		}
	}
	return append(full, l...)
}

// setHistory sets what tells where a key comes from (sections 4.7, 4.9, 4.10,
// 5.7.1, 5.18).
func (d *draft) setHistory(sch *schema, l *attrList) {
	generated := d.origin == originGenerate
	mech := ck.MechanismType(ck.UnavailableInformation)
	if generated {
		mech = d.genMech
	}
	inherited := func(t ck.AttributeType) bool {
		return generated || d.origin == originDerive && d.base != nil && d.base.bool(t)
	}
	history := [...]ck.Attribute{
		ck.NewBool(ck.CKA_LOCAL, generated),
		ck.NewULong(ck.CKA_KEY_GEN_MECHANISM, mech),
		ck.NewBool(ck.CKA_ALWAYS_SENSITIVE, inherited(ck.CKA_ALWAYS_SENSITIVE) && l.bool(ck.CKA_SENSITIVE)),
		ck.NewBool(ck.CKA_NEVER_EXTRACTABLE, inherited(ck.CKA_NEVER_EXTRACTABLE) && !l.bool(ck.CKA_EXTRACTABLE)),
	}
	l.overlay(sch, history[:])
}

// compute sets the attributes that follow from others.
func (d *draft) compute(sch *schema, given attrList, l *attrList) error {
	switch sch.class {
	case ck.CKO_CERTIFICATE:
		return computeCertificate(sch, given, l)
	case ck.CKO_DOMAIN_PARAMETERS:
		setBits(l, ck.CKA_PRIME, ck.CKA_PRIME_BITS)
		if sch.row(ck.CKA_SUBPRIME_BITS) != nil {
			setBits(l, ck.CKA_SUBPRIME, ck.CKA_SUBPRIME_BITS)
		}
		return nil
	}
	if !isKey(sch.class) {
		return nil
	}
	if value := l.get(ck.CKA_VALUE); value != nil && sch.row(ck.CKA_VALUE_LEN) != nil {
		l.put(ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(value.Value))))
	}
	kt := engine.FindKeyType(l.keyType())
	k := sch.engineKey(kt.Type, *l)
	if sch.class == ck.CKO_SECRET_KEY {
		return computeOnce(l, ck.CKA_CHECK_VALUE, k, kt.CheckValue)
	}
	return computeOnce(l, ck.CKA_PUBLIC_KEY_INFO, k, kt.PublicInfo)
}

// computeOnce sets attribute t to what f says of the key. A value that was given
// must be the same. A given CKA_CHECK_VALUE without a value means that none is
// wanted (section 4.10.2).
func computeOnce(l *attrList, t ck.AttributeType, k *engine.Key, f func(*engine.Key) ([]byte, error)) error {
	given := l.get(t)
	if f == nil {
		l.remove(t)
		return nil
	}
	if given != nil && len(given.Value) == 0 && t == ck.CKA_CHECK_VALUE {
		return nil
	}
	v, err := f(k)
	if err != nil {
		return err
	}
	a := ck.NewBytes(t, v)
	if v == nil {
		a.Value = []byte{}
	}
	if given != nil && len(given.Value) > 0 && !sameValue(given, &a) {
		return refuse(t, ck.CKR_ATTRIBUTE_VALUE_INVALID, "does not belong to the key")
	}
	l.put(a)
	return nil
}

// computeCertificate sets CKA_CHECK_VALUE, the start of the SHA-1 of the
// certificate, and CKA_PUBLIC_KEY_INFO if nobody gave one (section 4.6.2: the
// relation is not enforced).
func computeCertificate(sch *schema, given attrList, l *attrList) error {
	value := l.bytes(ck.CKA_VALUE)
	check := given.get(ck.CKA_CHECK_VALUE)
	if len(value) > 0 && (check == nil || len(check.Value) > 0) {
		sum := sha1.Sum(value)
		a := ck.NewBytes(ck.CKA_CHECK_VALUE, sum[:3])
		if check != nil && !sameValue(check, &a) {
			return refuse(ck.CKA_CHECK_VALUE, ck.CKR_ATTRIBUTE_VALUE_INVALID, "does not belong to the certificate")
		}
		l.put(a)
	}
	if sch.row(ck.CKA_SUBJECT) != nil && len(l.bytes(ck.CKA_PUBLIC_KEY_INFO)) == 0 {
		if info := certificateKeyInfo(value); info != nil {
			l.put(ck.NewBytes(ck.CKA_PUBLIC_KEY_INFO, info))
		}
	}
	return nil
}

// certificateKeyInfo finds the SubjectPublicKeyInfo in an X.509 certificate
// (RFC 5280 section 4.1), nil if it is none.
func certificateKeyInfo(der []byte) []byte {
	var cert struct {
		TBS struct {
			Version      int `asn1:"optional,explicit,default:0,tag:0"`
			SerialNumber asn1.RawValue
			Algorithm    asn1.RawValue
			Issuer       asn1.RawValue
			Validity     asn1.RawValue
			Subject      asn1.RawValue
			PublicKey    asn1.RawValue
		}
		Algorithm asn1.RawValue
		Signature asn1.RawValue
	}
	_, err := asn1.Unmarshal(der, &cert)
	if err != nil || cert.TBS.PublicKey.Tag != asn1.TagSequence {
		return nil
	}
	return cert.TBS.PublicKey.FullBytes
}

// setBits sets attribute to to the length in bits of the number in from.
func setBits(l *attrList, from, to ck.AttributeType) {
	b := l.bytes(from)
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	n := uint64(0)
	if len(b) > 0 {
		n = uint64(8*len(b) - bits.LeadingZeros8(b[0]))
	}
	l.put(ck.NewULong(to, n))
}

// finish checks the attributes against each other and makes the object.
func (d *draft) finish(s *session, sch *schema, l attrList) (*object, error) {
	if sch.check != nil {
		if err := sch.check(l); err != nil {
			return nil, err
		}
	}
	l.put(ck.NewBytes(ck.CKA_UNIQUE_ID, newUniqueID()))
	l.remove(ck.CKA_MADE_BY)
	if role, _ := s.acting(); role == p11.RoleLimitedCryptoOfficer {
		l.put(ck.NewULong(ck.CKA_MADE_BY, uint64(ck.CKU_LIMITED_CRYPTO_OFFICER)))
	}
	l.remove(ck.CKA_OUID) // the original's, if this is a copy
	attrs, err := flattenBounded(l)
	if err != nil {
		return nil, err
	}
	o := &object{class: sch.class, schema: sch, attrs: attrs, isPrivate: l.bool(ck.CKA_PRIVATE)}
	if !l.bool(ck.CKA_TOKEN) {
		o.owner = s
	}
	for _, a := range d.bindingTemplate() {
		if !o.matches([]ck.Attribute{a}) {
			return nil, refuse(a.Type, ck.CKR_TEMPLATE_INCONSISTENT, "contradicts the template of the key that is used")
		}
	}
	return o, nil
}

func flattenBounded(l attrList) (flat, error) {
	if n := flatSize(l); n > maxObject {
		return nil, fmt.Errorf("an object of %d bytes: %w", n, ck.CKR_DEVICE_MEMORY)
	}
	return flatten(l), nil
}

// newUniqueID makes a CKA_UNIQUE_ID: a random UUID (RFC 9562 section 5.4).
func newUniqueID() []byte {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	id := make([]byte, 0, 36)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			id = append(id, '-')
		}
		id = hex.AppendEncode(id, part)
	}
	return id
}

// copyOf makes the copy of an object (sections 4.1.3 and 5.7.2).
func (d *draft) copyOf(s *session) (*object, error) {
	base := d.base
	if base.isBuiltin() {
		return nil, deny(refuseBuiltin, "an object of the HSM is not copied")
	}
	if !base.bool(ck.CKA_COPYABLE) {
		return nil, denyFor(refuseNotCopyable, ck.CKA_COPYABLE, "CKA_COPYABLE is false")
	}
	role, _ := s.acting()
	l, err := base.withChanges(originCopy, role, s.part.policies.Load(), d.template)
	if err != nil {
		return nil, err
	}
	if role == p11.RoleLimitedCryptoOfficer {
		if err := limitedMay(originCopy, base, d.template); err != nil {
			return nil, err
		}
	}
	if base.private() && !l.bool(ck.CKA_PRIVATE) {
		return nil, refuse(ck.CKA_PRIVATE, ck.CKR_TEMPLATE_INCONSISTENT, "the copy of a private object is private")
	}
	if base.bool(ck.CKA_TRUSTED) && role != p11.RolePartitionSO {
		l.put(ck.NewBool(ck.CKA_TRUSTED, false)) // only the SO makes it true
	}
	if err := s.mayMake(originCopy, base.class, l.bool(ck.CKA_TOKEN), l.bool(ck.CKA_PRIVATE)); err != nil {
		return nil, err
	}
	return d.finish(s, base.schema, l)
}

// changed is the attributes of o after C_SetAttributeValue (section 5.7.6).
func (o *object) changed(role p11.Role, policies *settings, template []ck.Attribute) (flat, error) {
	if !o.bool(ck.CKA_MODIFIABLE) {
		return nil, denyFor(refuseNotModifiable, ck.CKA_MODIFIABLE, "CKA_MODIFIABLE is false")
	}
	l, err := o.withChanges(originModify, role, policies, template)
	if err != nil {
		return nil, err
	}
	if o.schema.check != nil {
		if err := o.schema.check(l); err != nil {
			return nil, err
		}
	}
	return flattenBounded(l)
}

// withChanges applies a template to the attributes of o.
func (o *object) withChanges(from origin, role p11.Role, policies *settings, template []ck.Attribute) (attrList, error) {
	changes, err := canonicalList(template)
	if err != nil {
		return nil, err
	}
	if err := o.schema.admits(from, changes, role); err != nil {
		return nil, err
	}
	l := o.attrs.list()
	for _, a := range changes {
		if err := o.mayBecome(role, a); err != nil {
			return nil, err
		}
		if err := policies.mayChange(o, a); err != nil {
			return nil, err
		}
		if a.Type == ck.CKA_PUBLIC_KEY_INFO && len(a.Value) == 0 {
			continue // "MAY be empty" (section 4.9); ours is not
		}
		l.put(a)
	}
	return l, policies.mayServe(o.class, l)
}

// mayBecome says whether an attribute that can change may change to this.
func (o *object) mayBecome(role p11.Role, a ck.Attribute) error {
	r := o.schema.row(a.Type)
	if o.equals(a) {
		return nil
	}
	switch {
	case r.rules&onlyToTrue != 0 && o.bool(a.Type), r.rules&onlyToFalse != 0 && !o.bool(a.Type):
		return denyFor(refuseAttributeOneWay, a.Type, "%v cannot be changed back", a.Type)
	case r.rules&bySO != 0 && role != p11.RolePartitionSO:
		return denyFor(refuseAttributeBySO, a.Type, "only the Partition SO changes %v", a.Type)
	case r.rules&erasable != 0 && len(a.Value) > 0:
		return refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "it can only be erased")
	case a.Type == ck.CKA_PUBLIC_KEY_INFO && len(a.Value) > 0:
		return refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "does not belong to the key")
	}
	return nil
}
