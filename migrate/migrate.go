// Package migrate brings keys, certificates and data from elsewhere into a
// partition: with all attributes that can be carried, told what cannot, without
// doubles, and with each private and secret key proven by using it in the HSM.
package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Object is something to import: what its source says of it.
type Object struct {
	// Attrs are all attributes that the source has.
	Attrs []ck.Attribute
	// Lost is what the reader of the source found and cannot put into Attrs.
	Lost []Loss
	// PublicKeys are the public keys (SubjectPublicKeyInfo) that the source has
	// for a private key, of which one should fit.
	PublicKeys [][]byte
	// AnyLabel says that the label does not count when the object is looked for
	// in the partition.
	AnyLabel bool
	// AnyID says the same of the identifier, which was made for the occasion.
	AnyID bool
}

// Loss is something that could not be carried.
type Loss struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Status is what became of an object.
type Status string

// The statuses.
const (
	Imported Status = "imported"
	Present  Status = "present" // in the partition already
	Failed   Status = "failed"
)

// Result is what became of an object. Handle is 0 if there is none.
type Result struct {
	Status Status
	Handle ck.ObjectHandle
	Proof  string // how a key was proven
	Lost   []Loss
	Err    error // of status Failed
}

// Importer imports into the partition of a session, in which the Crypto Officer
// is logged in.
type Importer struct {
	Module  p11.Module
	Session ck.SessionHandle
	// Rehearse makes session objects, which are destroyed again: the partition
	// stays as it is.
	Rehearse bool
	// Mismatched imports private keys although none of the public keys that the
	// source has for them fits.
	Mismatched bool

	claimed map[ck.ObjectHandle]bool // objects of the partition that are accounted for
	gate    *gate                    // by which keys come in wrapped; nil before the first
}

// errOtherPublic is what Importer.Mismatched overrides.
var errOtherPublic = errors.New("the public key or certificate that goes by its name in the source belongs to another key: the source is damaged, or its names are mixed up; with --mismatched it is imported all the same")

// errMismatch says that a proof failed.
var errMismatch = errors.New("the key in the HSM is not the one of the source: what one of them made, the other did not accept")

// Import imports one object, or finds it. What fails, or is interrupted, leaves
// nothing behind.
func (im *Importer) Import(ctx context.Context, o Object) Result {
	j := &job{Importer: im, Object: o}
	j.sort()
	if err := errors.Join(j.identify(), j.checkPublic()); err != nil {
		return j.failed(err)
	}
	if h, proof, err := j.present(ctx); err != nil || h != 0 {
		if err != nil {
			return j.failed(err)
		}
		im.claim(h)
		return Result{Status: Present, Handle: h, Proof: proof}
	}
	h, err := j.make(ctx)
	if err != nil {
		return j.failed(err)
	}
	proof, err := j.prove(ctx, h)
	if err == nil {
		err = j.compare(ctx, h)
	}
	if err != nil || im.Rehearse {
		err = errors.Join(err, im.destroy(ctx, h))
	}
	if err != nil {
		return j.failed(err)
	}
	if im.Rehearse {
		h = 0
	} else {
		im.claim(h)
	}
	return Result{Status: Imported, Handle: h, Proof: proof, Lost: j.lost()}
}

func (im *Importer) claim(h ck.ObjectHandle) {
	if im.claimed == nil {
		im.claimed = map[ck.ObjectHandle]bool{}
	}
	im.claimed[h] = true
}

// job is one object on its way.
type job struct {
	*Importer
	Object

	class    ck.ObjectClass
	keyType  ck.KeyType
	material []ck.Attribute // makes the key
	fixed    []ck.Attribute // what it must not come without
	free     []ck.Attribute // what it can do without
	given    []ck.Attribute // what it was made with
	public   []byte         // SubjectPublicKeyInfo of a key, nil if it cannot be told
}

// checkPublic refuses a private key whose public key in the source is another's:
// one of them was changed, or the identifiers are mixed up.
func (j *job) checkPublic() error {
	if j.class != ck.CKO_PRIVATE_KEY || len(j.PublicKeys) == 0 || j.knownPublic() {
		return nil
	}
	if j.Mismatched {
		j.Lost = append(j.Lost, Loss{"the tie to its public key", "the public key or certificate that goes by its name in the source belongs to another key; it was proven against its own"})
		return nil
	}
	return errOtherPublic
}

// knownPublic reports whether the source has the public key of a private key.
func (j *job) knownPublic() bool {
	return slices.ContainsFunc(j.PublicKeys, func(k []byte) bool { return bytes.Equal(k, j.public) })
}

func (j *job) failed(err error) Result {
	return Result{Status: Failed, Err: err}
}

// lost is everything that could not be carried, each once.
func (j *job) lost() []Loss {
	slices.SortFunc(j.Lost, func(a, b Loss) int {
		return bytes.Compare([]byte(a.What+a.Why), []byte(b.What+b.Why))
	})
	return slices.Compact(j.Lost)
}

func (j *job) lose(t ck.AttributeType, why string) {
	j.Lost = append(j.Lost, Loss{t.String(), why})
}

// present looks for the object in the partition: the same class, type, identifier
// and label, and the same key or value. The key there is proven too, since an
// import may have been interrupted just before it was.
func (j *job) present(ctx context.Context) (ck.ObjectHandle, string, error) {
	found, err := j.find(ctx, j.likeness())
	if err != nil {
		return 0, "", err
	}
	for _, h := range found {
		if j.claimed[h] && !j.AnyLabel && !j.AnyID {
			continue // another object of the source, of which this one is a twin
		}
		same, err := j.same(ctx, h)
		if err != nil {
			return 0, "", err
		}
		if !same {
			continue
		}
		proof, err := j.prove(ctx, h)
		if err != nil {
			return 0, "", fmt.Errorf("the partition has it already, with handle %d, but it cannot be proven: %w", h, err)
		}
		return h, proof, nil
	}
	return 0, "", nil
}

// likeness is what C_FindObjects looks for.
func (j *job) likeness() []ck.Attribute {
	list := []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true), ck.NewULong(ck.CKA_CLASS, j.class)}
	if isKey(j.class) {
		list = append(list, ck.NewULong(ck.CKA_KEY_TYPE, j.keyType))
	}
	for _, t := range []ck.AttributeType{ck.CKA_ID, ck.CKA_LABEL, ck.CKA_APPLICATION} {
		if a := ck.Find(j.Attrs, t); a != nil && !(t == ck.CKA_LABEL && j.AnyLabel) && !(t == ck.CKA_ID && j.AnyID) {
			list = append(list, *a)
		}
	}
	return list
}

// same compares what can be read without using the key: public keys, check values
// and whatever is no key as a whole.
func (j *job) same(ctx context.Context, h ck.ObjectHandle) (bool, error) {
	var want []ck.Attribute
	switch {
	case j.class == ck.CKO_SECRET_KEY:
		kcv, err := j.checkValue()
		if err != nil || kcv == nil {
			return err == nil, err // the proof will tell
		}
		want = []ck.Attribute{ck.NewBytes(ck.CKA_CHECK_VALUE, kcv)}
	case isKey(j.class) && j.public != nil:
		want = []ck.Attribute{ck.NewBytes(ck.CKA_PUBLIC_KEY_INFO, j.public)}
	default:
		want = j.material
	}
	for _, a := range want {
		have, err := j.attribute(ctx, h, a.Type)
		if err != nil || have == nil || !bytes.Equal(have.Value, a.Value) {
			return false, err
		}
	}
	return true, nil
}

// compare reads back what the object was made with. What is no key must be
// exactly what it was; of other attributes, what the HSM made of them is
// reported.
func (j *job) compare(ctx context.Context, h ck.ObjectHandle) error {
	for _, want := range j.given {
		have, err := j.attribute(ctx, h, want.Type)
		if err != nil {
			return err
		}
		if have != nil && bytes.Equal(have.Value, want.Value) && sameTemplate(have.Template, want.Template) {
			continue
		}
		switch {
		case !isKey(j.class) && isMaterial(want.Type):
			return fmt.Errorf("%v is not what it was in the source", want.Type)
		case have != nil && !isMaterial(want.Type):
			j.lose(want.Type, "the HSM changed its value")
		}
	}
	return nil
}

func sameTemplate(a, b []ck.Attribute) bool {
	return slices.EqualFunc(a, b, func(x, y ck.Attribute) bool { return x.Type == y.Type && bytes.Equal(x.Value, y.Value) })
}

// attribute reads one attribute; nil if the object does not have it, or does not
// show it.
func (im *Importer) attribute(ctx context.Context, h ck.ObjectHandle, t ck.AttributeType) (*ck.Attribute, error) {
	r, err := p11.Call(ctx, im.Module, &p11.GetAttributeValue{Session: im.Session, Object: h, Types: []ck.AttributeType{t}})
	switch ck.RVOf(err) {
	case ck.CKR_OK:
		return &r.Results[0].Attribute, nil
	case ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_SENSITIVE:
		return nil, nil
	}
	return nil, err
}

func (im *Importer) flag(ctx context.Context, h ck.ObjectHandle, t ck.AttributeType) (bool, error) {
	a, err := im.attribute(ctx, h, t)
	if err != nil || a == nil {
		return false, err
	}
	b, _ := ck.Bool(a.Value)
	return b, nil
}

// destroy also works when ctx has ended: nothing half done is to stay.
func (im *Importer) destroy(ctx context.Context, h ck.ObjectHandle) error {
	_, err := p11.Call(context.WithoutCancel(ctx), im.Module, &p11.DestroyObject{Session: im.Session, Object: h})
	if err != nil {
		return fmt.Errorf("object %d could not be removed: %w", h, err)
	}
	return nil
}

func (im *Importer) find(ctx context.Context, template []ck.Attribute) (list []ck.ObjectHandle, err error) {
	if _, err := p11.Call(ctx, im.Module, &p11.FindObjectsInit{Session: im.Session, Template: template}); err != nil {
		return nil, err
	}
	for err == nil {
		var r p11.Handles
		r, err = p11.Call(ctx, im.Module, &p11.FindObjects{Session: im.Session, Max: 1000})
		if len(r.Objects) == 0 {
			break
		}
		list = append(list, r.Objects...)
	}
	_, finalErr := p11.Call(context.WithoutCancel(ctx), im.Module, &p11.FindObjectsFinal{Session: im.Session})
	slices.Sort(list)
	return list, errors.Join(err, finalErr)
}
