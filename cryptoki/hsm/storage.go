package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Storage is accounted in bytes that have little to do with those on the disk:
// by a rule that gives the same on every machine and in every version, so that
// what fits today fits tomorrow. A partition that was given a size refuses what
// goes beyond it; an HSM that has a total gives no more than that to partitions.

const (
	// PartitionOverhead is what a partition takes of the HSM's storage beside
	// what its objects may take.
	PartitionOverhead = 9_648

	// chargedFixed is what every object is charged with. It pays for attributes
	// of fixed size, the unique id, and chargedText bytes of labels and the like.
	chargedFixed = 124
	chargedText  = 96
)

// charge is what the object takes of its partition's storage: a fixed part, its
// key material, and what else is long. What repeats the public key, for which
// the pair is charged already, is free up to a length that follows from the
// material.
func (o *object) charge() uint64 {
	var material, text, repeated, start int
	rows := o.schema.rows // both are in rising order of type
	for i := range o.attrs.count() {
		t, end := o.attrs.entry(i)
		n := end - start
		start = end
		for len(rows) > 0 && rows[0].t < t {
			rows = rows[1:]
		}
		switch o.accountOf(t, rows) {
		case accountMaterial:
			material += charged(n)
		case accountRepeated:
			repeated = max(repeated, n)
		case accountText:
			text += n
		}
	}
	return uint64(chargedFixed + material + max(0, text-chargedText) + max(0, repeated-2*material-64))
}

// charged is what n bytes of key material cost. Large integers lose leading
// zeroes by chance, so they are charged in steps.
func charged(n int) int {
	const large, step = 80, 16
	if n < large {
		return n
	}
	return (n + step - 1) / step * step
}

// account is how an attribute counts.
type account uint8

const (
	accountFixed    account = iota // its size is fixed
	accountMaterial                // key material
	accountRepeated                // it follows from the material, or should
	accountText                    // everything else of any length
)

// accountOf is how attribute t counts, whose row is the first if it has one.
func (o *object) accountOf(t ck.AttributeType, rows []row) account {
	switch {
	case t == ck.CKA_UNIQUE_ID, t == ck.CKA_OUID:
		return accountFixed
	case isKey(o.class) && (t == ck.CKA_PUBLIC_KEY_INFO || t == ck.CKA_EC_POINT && o.class == ck.CKO_PRIVATE_KEY):
		return accountRepeated
	case len(rows) == 0 || rows[0].t != t:
		return accountText
	case rows[0].rules&material != 0 && rows[0].shape == shapeBytes:
		return accountMaterial
	}
	switch rows[0].shape {
	case shapeBool, shapeULong, shapeDate:
		return accountFixed
	}
	return accountText
}

// within runs fn, and refuses what it did if the objects of the space take more
// after it than before, and more than size. 0 is no limit.
func within(tx store.Tx, space store.Space, size uint64, fn func(store.Tx) error) error {
	if size == 0 {
		return fn(tx)
	}
	before, err := tx.Charged(space)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	after, err := tx.Charged(space)
	if err != nil || after <= before || after <= size {
		return err
	}
	return deny(refusePartitionFull, "the partition has %d bytes for objects, %d of them used, and %d more were asked for",
		size, before, after-before)
}

// wish is how large a partition shall be.
type wish struct {
	bytes uint64 // 0 for the usual size
	all   bool   // all that is free
}

// licensed is how many partitions the HSM may have.
func (s *hsmState) licensed() int { return int(s.settings()[policyMaxPartitions]) }

// reserved is what the partitions, but one, take of the HSM's storage.
func (m *metaState) reserved(but uint64) (sum uint64) {
	for i := range m.parts {
		if s := &m.parts[i]; s.Number != but {
			sum += s.Size + PartitionOverhead
		}
	}
	return sum
}

// free is what partitions, but one, leave of the HSM's storage.
func (m *metaState) free(but uint64) uint64 {
	reserved := m.reserved(but)
	return m.hsm.Storage - min(m.hsm.Storage, reserved)
}

// sizeOf is the size of a new partition, or of partition number there instead
// of the one that it has. The usual size is an equal share of what is free for
// each partition that may still be made.
func (m *metaState) sizeOf(w wish, number uint64) (uint64, error) {
	if m.hsm.Storage == 0 {
		if w.bytes > maxSize {
			return 0, fmt.Errorf("a partition has at most %d bytes: %w", uint64(maxSize), ck.CKR_ARGUMENTS_BAD)
		}
		return w.bytes, nil // 0: there is no limit
	}
	free := m.free(number)
	size := free
	switch {
	case w.bytes != 0 && w.bytes > free-min(free, PartitionOverhead):
		return 0, deny(refuseHSMFull, "the HSM has %d bytes free, %d of which a partition takes for itself; %d do not fit",
			free, PartitionOverhead, w.bytes)
	case w.bytes != 0:
		return w.bytes, nil
	case !w.all:
		size = free / uint64(max(1, m.hsm.licensed()-m.count(number)))
	}
	if size <= PartitionOverhead {
		return 0, deny(refuseHSMFull, "the HSM has %d bytes free, which is too little for a partition", free)
	}
	return size - PartitionOverhead, nil
}

// maxSize keeps sums of sizes from overflowing.
const maxSize = 1 << 48

// count is how many partitions there are beside one.
func (m *metaState) count(but uint64) (n int) {
	for i := range m.parts {
		if m.parts[i].Number != but {
			n++
		}
	}
	return n
}

// limitAll gives every partition a size when the HSM gets a total: the usual
// one, or as much as its objects take. It fails if they do not fit.
func (h *HSM) limitAll(tx store.Tx, m *metaState) error {
	if m.hsm.Storage == 0 || len(m.parts) == 0 {
		return nil
	}
	used := make([]uint64, len(m.parts))
	var sum uint64
	for i := range m.parts {
		charged, err := tx.Charged(spaceOf(m.parts[i].Number))
		if err != nil {
			return err
		}
		used[i] = charged
		sum += charged + PartitionOverhead
	}
	if sum >= m.hsm.Storage {
		return deny(refuseHSMFull, "the partitions that exist take %d bytes, and the HSM would have %d", sum, m.hsm.Storage)
	}
	spare := m.hsm.Storage - sum
	share := m.hsm.Storage / uint64(max(len(m.parts), m.hsm.licensed()))
	share -= min(share, PartitionOverhead)
	for i := range m.parts {
		s := &m.parts[i]
		more := min(spare, max(share, used[i])-used[i])
		spare -= more
		s.Size = max(1, used[i]+more) // 0 would be no limit
		if err := h.replaceMeta(tx, 0, kindPartition, &s.record, s); err != nil {
			return err
		}
	}
	return nil
}

// usage is what the objects of a partition are and take.
type usage struct{ objects, used uint64 }

func usageOf(tx store.Tx, space store.Space) (u usage, err error) {
	for _, kind := range objectKinds {
		n, err := tx.Count(space, kind)
		if err != nil {
			return u, err
		}
		u.objects += n
	}
	u.used, err = tx.Charged(space)
	return u, err
}

// storage tells the account of a partition.
func (u usage) storage(size uint64) p11.Storage {
	s := p11.Storage{Total: size, Used: u.used, Overhead: PartitionOverhead}
	if size > u.used {
		s.Free = size - u.used
	}
	return s
}

// storage tells the account of the HSM, of which every partition takes what was
// set apart for it; without a total, what its objects take.
func (h *HSM) storage(tx store.Tx, m *metaState) (p11.Storage, error) {
	s := p11.Storage{Total: m.hsm.Storage}
	for i := range m.parts {
		part := &m.parts[i]
		take := part.Size
		if m.hsm.Storage == 0 {
			u, err := usageOf(tx, spaceOf(part.Number))
			if err != nil {
				return s, err
			}
			take = u.used
		}
		s.Used += take + PartitionOverhead
		s.Overhead += PartitionOverhead
	}
	s.Free = s.Total - min(s.Total, s.Used)
	return s, nil
}

// viewStorage reads the account of the HSM.
func (h *HSM) viewStorage(ctx context.Context, to *p11.Storage) error {
	return storeError(h.store.View(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		*to, err = h.storage(tx, m)
		return err
	}))
}

// tokenMemory fills the memory fields of CK_TOKEN_INFO. Public and private
// objects share what there is.
func (h *HSM) tokenMemory(ctx context.Context, p *partition, r *ck.TokenInfo) error {
	total, free := uint64(ck.UnavailableInformation), uint64(ck.UnavailableInformation)
	size := p.stateNow().Size
	if p.admin() || size != 0 {
		s, err := h.account(ctx, p, size)
		if err != nil {
			return err
		}
		if s.Total != 0 {
			total, free = s.Total, s.Free
		}
	}
	r.TotalPublicMemory, r.TotalPrivateMemory = total, total
	r.FreePublicMemory, r.FreePrivateMemory = free, free
	return nil
}

// account is that of a partition, or on the administration's slot of the HSM.
func (h *HSM) account(ctx context.Context, p *partition, size uint64) (s p11.Storage, err error) {
	if p.admin() {
		err = h.viewStorage(ctx, &s)
		return s, err
	}
	err = h.store.View(ctx, func(tx store.Tx) error {
		u, err := usageOf(tx, p.space)
		s = u.storage(size)
		return err
	})
	return s, storeError(err)
}
