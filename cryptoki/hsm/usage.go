package hsm

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Attributes of devices that the standard does not have: fingerprints, bytes for
// applications, and a bound on how often a key is used.

// applicationRows are byte arrays that applications use as they like.
var applicationRows = []row{
	{t: ck.CKA_EKM_UID, rules: mutable},
	{t: ck.CKA_GENERIC_1, rules: mutable},
	{t: ck.CKA_GENERIC_2, rules: mutable},
	{t: ck.CKA_GENERIC_3, rules: mutable},
}

// usageRows count the uses of keys that have a limit. A key without one, or with
// 0, is not counted.
var usageRows = []row{
	{t: ck.CKA_USAGE_LIMIT, shape: shapeULong, rules: mutable},
	{t: ck.CKA_USAGE_COUNT, shape: shapeULong, rules: readOnly, derived: noUses},
}

// fingerprintRows are digests of what is public of a pair, the same for both of
// its keys. Secret keys have none, for a digest would tell short ones.
var fingerprintRows = []row{
	{t: ck.CKA_FINGERPRINT_SHA1, rules: readOnly, derived: func(o *object) []byte {
		return digestPublic(o, func(b []byte) []byte { sum := sha1.Sum(b); return sum[:] })
	}},
	{t: ck.CKA_FINGERPRINT_SHA256, rules: readOnly, derived: func(o *object) []byte {
		return digestPublic(o, func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] })
	}},
}

// digestPublic digests the SubjectPublicKeyInfo of a key, nil if it has none.
func digestPublic(o *object, digest func([]byte) []byte) []byte {
	if info := o.bytes(ck.CKA_PUBLIC_KEY_INFO); len(info) > 0 {
		return digest(info)
	}
	return nil
}

// noUses is the count of a key with a limit that was not used yet.
func noUses(o *object) []byte {
	if _, limited := o.ulong(ck.CKA_USAGE_LIMIT); limited {
		return ck.PutULong(uint64(0))
	}
	return nil
}

// attribute is an attribute of the object, kept or derived from others.
func (o *object) attribute(t ck.AttributeType) (a ck.Attribute, ok bool) {
	if i, ok := o.attrs.find(t); ok {
		return o.attrs.attribute(i), true
	}
	if r := o.schema.row(t); r != nil && r.derived != nil {
		v := r.derived(o)
		return ck.NewBytes(t, v), v != nil
	}
	return ck.Attribute{Type: t}, false
}

// countUse counts a use of a key that has a limit, and refuses it beyond that.
// The count is durable before the key works, and right over all processes.
func (h *HSM) countUse(ctx context.Context, s *session, key *object) error {
	if limit, _ := key.ulong(ck.CKA_USAGE_LIMIT); limit == 0 {
		return nil
	}
	return h.changeCount(ctx, s, key, func(now *object) (uint64, error) {
		limit, _ := now.ulong(ck.CKA_USAGE_LIMIT)
		count, _ := now.ulong(ck.CKA_USAGE_COUNT)
		switch {
		case limit == 0: // somebody lifted it meanwhile
			return count, nil
		case count >= limit:
			return 0, denyFor(refuseUsageLimit, ck.CKA_USAGE_LIMIT, "the key was used %d times, and may be %d times", count, limit)
		}
		return count + 1, nil
	})
}

// changeCount sets CKA_USAGE_COUNT to what next makes of the object as it is.
func (h *HSM) changeCount(ctx context.Context, s *session, key *object, next func(*object) (uint64, error)) error {
	change := func(now *object) (flat, error) {
		count, err := next(now)
		if err != nil {
			return nil, err
		}
		l := now.attrs.list()
		l.put(ck.NewULong(ck.CKA_USAGE_COUNT, count))
		return flattenBounded(l)
	}
	if key.token() {
		return h.modify(ctx, s.part, key.ref, change)
	}
	return h.objects.modify(key.handle, change)
}

// handleModifyUsageCount sets the count of a key that has a limit, or adds to
// it. It cannot be taken back by itself: the Crypto Officer sets it.
func (h *HSM) handleModifyUsageCount(ctx context.Context, s *session, q *p11.ModifyUsageCount, _ *p11.None) error {
	key, err := h.keyObject(ctx, s, q.Key)
	if err != nil {
		return err
	}
	if key.token() && !s.rw {
		return deny(refuseReadOnlySession, "a token object does not change in a R/O session")
	}
	if _, limited := key.ulong(ck.CKA_USAGE_LIMIT); !limited {
		return denyFor(refuseUnlimited, ck.CKA_USAGE_LIMIT, "the key has no limit, so its uses are not counted")
	}
	return h.changeCount(ctx, s, key, func(now *object) (uint64, error) {
		count, _ := now.ulong(ck.CKA_USAGE_COUNT)
		if !q.Set && q.Value > ^uint64(0)-count {
			return 0, refuse(ck.CKA_USAGE_COUNT, ck.CKR_ATTRIBUTE_VALUE_INVALID, "too large")
		}
		if !q.Set {
			return count + q.Value, nil
		}
		return q.Value, nil
	})
}
