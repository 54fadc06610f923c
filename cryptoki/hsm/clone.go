package hsm

import (
	"context"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Cloning takes two parts. The target makes a key pair for one object and sends
// the public key; the source makes another, and sends the object sealed under a
// key that follows from both pairs and from the domain's key. So only a
// partition of the domain can read it, only the one that asked, and only once.
// docs/FORMAT.md has the bytes.
//
//	part 1: version, serial number of the target's HSM (8 bytes), public key
//	part 2: the same of the source, and the sealed object
const (
	cloneVersion   = 1
	clonePublicLen = 65                 // a point of P-256, uncompressed
	clonePart1Len  = 9 + clonePublicLen // of part 2, what is not sealed
	cloneInfo      = "perilune clone"
)

// cloneTarget is a clone under way on the target's session.
type cloneTarget struct {
	key  *ecdh.PrivateKey
	part []byte // part 1
}

// newClonePart makes the public half of a part for a new key pair.
func (h *HSM) newClonePart() (*cloneTarget, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	part := binary.LittleEndian.AppendUint64([]byte{cloneVersion}, h.info.Serial)
	return &cloneTarget{key, append(part, key.PublicKey().Bytes()...)}, nil
}

var errClonePart = fmt.Errorf("the bytes are no part of a clone that this version knows: %w", ck.CKR_DATA_INVALID)

// parseClonePart reads the public half of a part.
func parseClonePart(b []byte) (serial uint64, key *ecdh.PublicKey, err error) {
	if len(b) < clonePart1Len || b[0] != cloneVersion {
		return 0, nil, errClonePart
	}
	if key, err = ecdh.P256().NewPublicKey(b[9:clonePart1Len]); err != nil {
		return 0, nil, errClonePart
	}
	return binary.LittleEndian.Uint64(b[1:]), key, nil
}

// cloneAEAD seals the one object of a clone. Both public halves are its context.
func cloneAEAD(mine *ecdh.PrivateKey, peer *ecdh.PublicKey, domain, part1, part2 []byte) (cipher.AEAD, error) {
	shared, err := mine.ECDH(peer)
	if err != nil {
		return nil, err
	}
	defer clear(shared)
	secret := slices.Concat(shared, domain)
	defer clear(secret)
	key, err := hkdf.Key(sha256.New, secret, slices.Concat(part1, part2), cloneInfo, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newAEAD(key)
}

// mayTravel says whether objects of a class may leave the partition for another,
// and come into it from another.
func (h *HSM) mayTravel(p *partition, class ck.ObjectClass) error {
	s := p.policies.Load()
	switch {
	case !h.policies().on(policyCloning):
		return deny(refuseCloning, "HSM policy %d (Allow cloning) is off", policyCloning)
	case class == ck.CKO_PRIVATE_KEY && !s.on(policyPrivateClone):
		return deny(refusePrivateCloning, "policy %d (Allow private key cloning) of partition %q is off", policyPrivateClone, p.name())
	case class == ck.CKO_SECRET_KEY && !s.on(policySecretClone):
		return deny(refuseSecretCloning, "policy %d (Allow secret key cloning) of partition %q is off", policySecretClone, p.name())
	}
	return nil
}

// mayCross says whether objects may go to the HSM with a serial number, or come
// from it.
func (h *HSM) mayCross(serial uint64) error {
	h.mu.RLock()
	own := h.info.Serial
	h.mu.RUnlock()
	if serial != own && !h.policies().on(policyNetworkReplication) {
		return deny(refuseReplication, "HSM policy %d (Allow network replication) is off, so objects neither go to another HSM nor come from one",
			policyNetworkReplication)
	}
	return nil
}

// mayClone is mayTravel for one object and the role of the session. Devices let the
// Crypto User clone public objects from firmware 7.2.0 on.
func (h *HSM) mayClone(s *session, o *object) error {
	if !o.token() || o.isBuiltin() {
		return deny(refuseNotCloned, "only token objects are cloned")
	}
	if role, _ := s.acting(); role == p11.RoleCryptoUser && (o.private() || isSecretKind(o.class)) {
		return deny(refuseRole, "the %s may not clone this; the %s may", role, p11.RoleCryptoOfficer)
	}
	return h.mayTravel(s.part, o.class)
}

// travelling is the form in which an object leaves: that of its record, always
// with its OUID.
func (o *object) travelling() (flat, error) {
	id, ok := o.ouid()
	if !ok {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	l := o.attrs.list()
	l.put(ck.NewBytes(ck.CKA_OUID, id[:]))
	return flattenBounded(l)
}

// arriving makes the object of that form. The domain says that another HSM made
// it; that it is an object which this one could have made is checked here.
func arriving(plain []byte) (*object, error) {
	attrs, err := parseFlat(slices.Clone(plain))
	if err != nil {
		return nil, errArriving(err)
	}
	o, err := newObject(attrs)
	if err != nil {
		return nil, errArriving(err)
	}
	if !o.bool(ck.CKA_TOKEN) || o.isBuiltin() || len(o.bytes(ck.CKA_OUID)) != len(p11.OUID{}) || len(o.bytes(ck.CKA_UNIQUE_ID)) == 0 {
		return nil, errArriving(errFlat)
	}
	for _, a := range attrs.list() {
		r := o.schema.row(a.Type)
		if r == nil {
			return nil, errArriving(fmt.Errorf("%v: unknown attribute", a.Type))
		}
		if c, err := canonical(a, r.shape); err != nil || !sameValue(&c, &a) {
			return nil, errArriving(fmt.Errorf("%v: malformed", a.Type))
		}
	}
	return o, nil
}

func errArriving(err error) error {
	return fmt.Errorf("an object that arrives is none that this version knows: %w: %w", err, ck.CKR_DATA_INVALID)
}

// errThere says that an object with the OUID is in the partition already.
var errThere = deny(refuseUIDThere, "an object with this OUID is in the partition already")

// adopt puts objects that came from elsewhere into a partition, all in one
// transaction or none. If the OUID of some is there already, it replaces those,
// or says errThere; there are they, by their place in objs.
func (h *HSM) adopt(ctx context.Context, p *partition, objs []*object, replace bool) (there map[int]*object, err error) {
	err = h.insert(ctx, p, func(tx store.Tx) error {
		there = map[int]*object{}
		for i, o := range objs {
			id, _ := o.ouid()
			old, err := p.byOUID(tx, id)
			if err != nil {
				return err
			}
			if old == nil {
				continue
			}
			there[i] = old
			if replace {
				if err := tx.Delete(old.ref, old.version); err != nil {
					return err
				}
			}
		}
		if len(there) > 0 && !replace {
			return errThere
		}
		return nil
	}, objs)
	if err == nil {
		for _, old := range there {
			p.objects.forget(old.ref, 0)
		}
	}
	return there, err
}

func (h *HSM) handleCloneAsTargetInit(_ context.Context, s *session, _ *p11.CloneAsTargetInit, r *p11.ClonePart) error {
	target, err := h.beginClone(s.part)
	if err != nil {
		return err
	}
	s.clone, r.Part = target, slices.Clone(target.part)
	return nil
}

// beginClone makes part 1. What is wrong with the target is said before
// anything is asked of the source.
func (h *HSM) beginClone(p *partition) (*cloneTarget, error) {
	if err := h.mayTravel(p, ck.CKO_PUBLIC_KEY); err != nil {
		return nil, err
	}
	key, err := p.domain()
	if err != nil {
		return nil, err
	}
	clear(key)
	return h.newClonePart()
}

func (h *HSM) handleCloneAsSource(ctx context.Context, s *session, q *p11.CloneAsSource, r *p11.ClonePart) (err error) {
	r.Part, err = h.sendClone(ctx, s, q.Object, q.Part)
	return err
}

// sendClone makes part 2.
func (h *HSM) sendClone(ctx context.Context, s *session, handle ck.ObjectHandle, part1 []byte) ([]byte, error) {
	serial, peer, err := parseClonePart(part1)
	if err != nil || len(part1) != clonePart1Len {
		return nil, errClonePart
	}
	if err := h.mayCross(serial); err != nil {
		return nil, err
	}
	o, err := h.object(ctx, s, handle)
	if err != nil {
		return nil, err
	}
	if err := h.mayClone(s, o); err != nil {
		return nil, err
	}
	plain, err := o.travelling()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	domain, err := s.part.domain()
	if err != nil {
		return nil, err
	}
	defer clear(domain)
	mine, err := h.newClonePart()
	if err != nil {
		return nil, err
	}
	aead, err := cloneAEAD(mine.key, peer, domain, part1, mine.part)
	if err != nil {
		return nil, err
	}
	return aead.Seal(mine.part, nil, plain, []byte(cloneInfo)), nil
}

func (h *HSM) handleCloneAsTarget(ctx context.Context, s *session, q *p11.CloneAsTarget, r *p11.Handle) (err error) {
	target := s.clone
	s.clone = nil
	if target == nil {
		return fmt.Errorf("no clone is under way on the session: %w", ck.CKR_OPERATION_NOT_INITIALIZED)
	}
	r.Object, err = h.receiveClone(ctx, s, target, q.Part, q.Replace)
	return err
}

// receiveClone stores what part 2 brings.
func (h *HSM) receiveClone(ctx context.Context, s *session, target *cloneTarget, part2 []byte, replace bool) (ck.ObjectHandle, error) {
	o, err := h.openClone(s.part, target, part2)
	if err != nil {
		return 0, err
	}
	if err := h.mayClone(s, o); err != nil {
		return 0, err
	}
	if _, err := h.adopt(ctx, s.part, []*object{o}, replace); err != nil {
		return 0, err
	}
	return o.handle, nil
}

func (h *HSM) openClone(p *partition, target *cloneTarget, part2 []byte) (*object, error) {
	serial, peer, err := parseClonePart(part2)
	if err != nil {
		return nil, err
	}
	if err := h.mayCross(serial); err != nil {
		return nil, err
	}
	domain, err := p.domain()
	if err != nil {
		return nil, err
	}
	defer clear(domain)
	aead, err := cloneAEAD(target.key, peer, domain, target.part, part2[:clonePart1Len])
	if err != nil {
		return nil, errClonePart
	}
	plain, err := aead.Open(nil, nil, part2[clonePart1Len:], []byte(cloneInfo))
	if err != nil {
		return nil, deny(refuseDomainOther, "the partitions have different cloning domains, or the clone was changed on its way")
	}
	defer clear(plain)
	return arriving(plain)
}

// handleCloneObject takes the three steps at once. The source's session is not
// locked: nothing of it is changed, and two clones in opposite directions must
// not wait for each other.
func (h *HSM) handleCloneObject(ctx context.Context, s *session, q *p11.CloneObject, r *p11.Handle) error {
	source, err := h.session(q.Source)
	if err != nil {
		return err
	}
	if err := h.mayCall(source, p11.KindCloneAsSource); err != nil {
		return err
	}
	target, err := h.beginClone(s.part)
	if err != nil {
		return err
	}
	part2, err := h.sendClone(ctx, source, q.Object, target.part)
	if err != nil {
		return err
	}
	r.Object, err = h.receiveClone(ctx, s, target, part2, q.Replace)
	return err
}

// isThere reports whether err says that the OUID is there already.
func isThere(err error) bool { return errors.Is(err, errThere) }
