package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// indexed are the attributes by which the store finds objects, rarest values
// first. Empty values are not indexed. CKA_VALUE is, where it is no secret.
var indexed = []ck.AttributeType{
	ck.CKA_UNIQUE_ID,
	ck.CKA_OUID,
	ck.CKA_PUBLIC_KEY_INFO,
	ck.CKA_MODULUS,
	ck.CKA_EC_POINT,
	ck.CKA_VALUE,
	ck.CKA_ID,
	ck.CKA_SERIAL_NUMBER,
	ck.CKA_LABEL,
	ck.CKA_SUBJECT,
	ck.CKA_OBJECT_ID,
	ck.CKA_ISSUER,
	ck.CKA_APPLICATION,
	ck.CKA_CERTIFICATE_TYPE,
	ck.CKA_KEY_TYPE,
	ck.CKA_CLASS,
}

// valueIndexed reports whether objects of the class are found by CKA_VALUE.
func valueIndexed(c ck.ObjectClass) bool { return c == ck.CKO_CERTIFICATE || c == ck.CKO_DATA }

// terms are what the store finds the object by.
func (o *object) terms(k *spaceKeys) (list []store.Term) {
	for _, t := range indexed {
		if v := o.bytes(t); len(v) > 0 && (t != ck.CKA_VALUE || valueIndexed(o.class)) {
			list = append(list, k.term(t, v))
		}
	}
	return list
}

// search is one search under way. What it finds first was there when it began;
// token objects come page by page.
type search struct {
	found   []ck.ObjectHandle // not given out yet
	sources []source          // where to find more
	rest    []ck.Attribute    // what the index cannot tell
}

// source is the token objects of one kind.
type source struct {
	kind  store.Kind
	terms []store.Term
	only  store.Ref // if not 0: this object, unless it has the terms, and no other
	after store.Ref
}

// Pages of a search, in objects.
const (
	minPage = 32
	maxPage = 1024
)

// handleFindObjectsInit begins a search (PKCS#11 v3.1 section 5.7.7). A template
// that no object can match is no error.
func (h *HSM) handleFindObjectsInit(_ context.Context, s *session, q *p11.FindObjectsInit, _ *p11.None) error {
	if s.search != nil {
		return ck.CKR_OPERATION_ACTIVE
	}
	s.search = &search{}
	if l, err := canonicalList(q.Template); err == nil {
		s.search.begin(h, s, l)
	}
	return nil
}

func (f *search) begin(h *HSM, s *session, l attrList) {
	p := s.part
	keys := p.privateKeys()
	token, private := l.get(ck.CKA_TOKEN), l.get(ck.CKA_PRIVATE)
	if token == nil || !l.bool(ck.CKA_TOKEN) {
		f.found = h.objects.matching(p, func(o *object) bool {
			return (keys != nil || !o.private()) && o.matches(l)
		})
		slices.Sort(f.found)
	}
	f.found = append(f.found, matchingBuiltins(l)...)
	if token != nil && !l.bool(ck.CKA_TOKEN) {
		return
	}
	id := l.get(ck.CKA_OUID)
	values, rest := split(l)
	if f.rest = rest; id != nil {
		f.rest = flatten(l).list()
	}
	look := func(kind store.Kind, keys *spaceKeys) {
		switch {
		case keys == nil || private != nil && l.bool(ck.CKA_PRIVATE) != (kind == kindPrivateObject):
		case id != nil:
			f.sources = append(f.sources, p.bornWith(id.Value, kind, keys)...)
		default:
			f.sources = append(f.sources, source{kind: kind, terms: termsOf(keys, values), after: p.stateNow().WipedTo})
		}
	}
	look(kindPublicObject, p.public)
	look(kindPrivateObject, keys) // not p.keysOf: another thread may log out now
}

// split tells what the index knows of a template from what it does not. The
// template's values belong to the caller; those kept are copied.
func split(l attrList) (values, rest []ck.Attribute) {
	class, _ := ck.ULong(l.bytes(ck.CKA_CLASS))
	for _, t := range indexed {
		if a := l.get(t); a != nil && len(a.Value) > 0 &&
			(t != ck.CKA_VALUE || l.get(ck.CKA_CLASS) != nil && valueIndexed(ck.ObjectClass(class))) {
			values = append(values, *a)
		}
	}
	for _, a := range l {
		switch {
		case a.Type == ck.CKA_TOKEN, a.Type == ck.CKA_PRIVATE:
		case slices.ContainsFunc(values, func(v ck.Attribute) bool { return v.Type == a.Type }):
		default:
			rest = append(rest, a)
		}
	}
	return values, flatten(rest).list()
}

func termsOf(k *spaceKeys, values []ck.Attribute) (list []store.Term) {
	for _, a := range values {
		list = append(list, k.term(a.Type, a.Value))
	}
	return list
}

func (h *HSM) handleFindObjects(ctx context.Context, s *session, q *p11.FindObjects, r *p11.Handles) error {
	f := s.search
	if f == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	for len(f.found) < q.Max && len(f.sources) > 0 {
		if err := h.findMore(ctx, s.part, f, q.Max-len(f.found)); err != nil {
			return err
		}
	}
	n := max(0, min(q.Max, len(f.found)))
	r.Objects, f.found = slices.Clone(f.found[:n]), f.found[n:]
	return nil
}

// findMore looks at one more page of token objects, at least, in one
// transaction: at more if few match, but not at so many that the transaction
// grows long.
func (h *HSM) findMore(ctx context.Context, p *partition, f *search, want int) error {
	var found []ck.ObjectHandle
	var sources []source
	t := p.objects.ticket()
	err := h.store.View(ctx, func(tx store.Tx) error {
		found, sources = nil, slices.Clone(f.sources)
		for left := maxPage; left > 0 && len(found) < want && len(sources) > 0; {
			limit := min(max(want, minPage), left)
			refs, err := sources[0].page(tx, p, limit)
			if err != nil {
				return err
			}
			matching, err := h.filter(tx, p, refs, f.rest, t)
			if err != nil {
				return err
			}
			found = append(found, matching...)
			if len(refs) < limit {
				sources = sources[1:]
			}
			left -= len(refs)
		}
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	f.found, f.sources = append(f.found, found...), sources
	return nil
}

// page returns the next objects of a source; none if whoever could see them
// has logged out.
func (s *source) page(tx store.Tx, p *partition, limit int) ([]store.Ref, error) {
	if p.keysOf(s.kind) == nil {
		return nil, nil
	}
	if s.only != 0 {
		return s.single(tx, p)
	}
	refs, err := tx.Find(p.space, s.kind, s.terms, s.after, limit)
	if len(refs) > 0 {
		s.after = refs[len(refs)-1]
	}
	return refs, err
}

// single is page for a source of one object.
func (s *source) single(tx store.Tx, p *partition) ([]store.Ref, error) {
	if s.after != 0 {
		return nil, nil
	}
	s.after = s.only
	if refs, err := tx.Find(p.space, s.kind, s.terms, s.only-1, 1); err != nil || len(refs) > 0 && refs[0] == s.only {
		return nil, err
	}
	rec, err := tx.Get(s.only)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil || rec.Space != p.space || rec.Kind != s.kind:
		return nil, err
	}
	return []store.Ref{s.only}, nil
}

// filter returns the handles of the objects that match a template. With nothing
// to match, no object is read.
func (h *HSM) filter(tx store.Tx, p *partition, refs []store.Ref, rest []ck.Attribute, t ticket) ([]ck.ObjectHandle, error) {
	list := make([]ck.ObjectHandle, 0, len(refs))
	for _, ref := range refs {
		if len(rest) > 0 {
			o, err := h.peek(tx, p, ref, t)
			if err != nil {
				return nil, err
			}
			if o == nil || !o.matches(rest) {
				continue
			}
		}
		list = append(list, ck.ObjectHandle(ref))
	}
	return list, nil
}

// peek reads an object inside a transaction, nil if it cannot be read: one
// damaged record must not hide the others.
func (h *HSM) peek(tx store.Tx, p *partition, ref store.Ref, t ticket) (*object, error) {
	if o := p.objects.get(ref); o != nil {
		return o, nil
	}
	rec, err := tx.Get(ref)
	if err != nil {
		return nil, err
	}
	o, err := p.open(&rec)
	if isDamage(err) {
		h.noteDamage(&rec, err)
	}
	if err != nil {
		return nil, nil
	}
	p.objects.put(o, t)
	return o, nil
}

func (h *HSM) handleFindObjectsFinal(_ context.Context, s *session, _ *p11.FindObjectsFinal, _ *p11.None) error {
	if s.search == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	s.search = nil
	return nil
}

// profiles are the profiles of the standard that the HSM has, as read-only
// objects (PKCS#11 v3.1 section 4.13). There are no hardware features, and the
// mechanisms have no objects.
var profiles = []ck.ProfileID{ck.CKP_BASELINE_PROVIDER, ck.CKP_EXTENDED_PROVIDER, ck.CKP_AUTHENTICATION_TOKEN}

// builtins are the objects of the profiles; every slot has them.
var builtins = sync.OnceValue(func() (list []*object) {
	for i, id := range profiles {
		o, err := newObject(flatten(attrList{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_PROFILE),
			ck.NewBytes(ck.CKA_UNIQUE_ID, fmt.Appendf(nil, "profile-%d", uint64(id))),
			ck.NewULong(ck.CKA_PROFILE_ID, id),
		}))
		if err != nil {
			panic(err)
		}
		o.handle = firstBuiltin + ck.ObjectHandle(i)
		list = append(list, o)
	}
	return list
})

func (o *object) isBuiltin() bool { return o.class == ck.CKO_PROFILE }

// matchingBuiltins are the profile objects that a template asks for. The search
// for everything does not list them: programs that list a token, or empty it,
// know only objects that somebody put there.
func matchingBuiltins(l attrList) (list []ck.ObjectHandle) {
	if len(l) == 0 {
		return nil
	}
	for _, o := range builtins() {
		if o.matches(l) {
			list = append(list, o.handle)
		}
	}
	return list
}
