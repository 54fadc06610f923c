package hsm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perilune/perilune/cryptoki/archive"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// domainKDF is how archives say that their key is made.
var domainKDF = archive.KDF{
	Name: "Argon2id", Passes: domainCost.Passes, MemoryKiB: domainCost.MemoryKiB, Threads: domainCost.Threads, Salt: domainSalt,
}

// archiveError gives an error of package archive its code.
func archiveError(err error) error {
	if errors.Is(err, archive.ErrKey) {
		return deny(refuseDomainOther, "%v", err)
	}
	for _, m := range []struct {
		err error
		rv  ck.RV
	}{
		{archive.ErrDamaged, ck.CKR_ENCRYPTED_DATA_INVALID},
		{archive.ErrFormat, ck.CKR_DATA_INVALID},
		{archive.ErrVersion, ck.CKR_DATA_INVALID},
	} {
		if errors.Is(err, m.err) {
			return fmt.Errorf("%w: %w", err, m.rv)
		}
	}
	return storeError(err)
}

// openArchive opens an archive that the partition can read.
func (h *HSM) openArchive(p *partition, from io.ReaderAt, size int64) (*archive.Reader, error) {
	if from == nil {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	key, err := p.domain()
	if err != nil {
		return nil, err
	}
	defer clear(key)
	r, err := archive.Open(from, size, key)
	if err != nil {
		return nil, archiveError(err)
	}
	if kdf := r.Info().KDF; kdf != domainKDF {
		return nil, fmt.Errorf("the archive's key is made by %s, in a way that this version does not know: %w", kdf.Name, ck.CKR_DATA_INVALID)
	}
	return r, h.mayCross(r.Info().HSM)
}

// objectKinds are the kinds of records that objects have, in the order of
// backups.
var objectKinds = []store.Kind{kindPublicObject, kindPrivateObject}

// maxNamed is how many objects a refusal names.
const maxNamed = 10

// bound collects the objects that a policy holds back.
type bound struct {
	count int
	names []string
	why   error
}

func (b *bound) add(o *object, why error) {
	b.count++
	b.why = why
	if len(b.names) < maxNamed {
		b.names = append(b.names, fmt.Sprintf("%q", o.bytes(ck.CKA_LABEL)))
	}
}

// err refuses everything if anything is held back.
func (b *bound) err() error {
	if b.count == 0 {
		return nil
	}
	more := ""
	if b.count > len(b.names) {
		more = fmt.Sprintf(" and %d more", b.count-len(b.names))
	}
	var why *p11.Refusal
	if !errors.As(b.why, &why) {
		return b.why
	}
	all := *why
	all.Text = fmt.Sprintf("nothing was copied, for %d objects must stay where they are (%s%s): %s", b.count, strings.Join(b.names, ", "), more, why.Text)
	return &all
}

// handleBackupArchive writes what the partition has at one moment: it reads in
// one transaction, which keeps nobody from writing.
func (h *HSM) handleBackupArchive(ctx context.Context, s *session, q *p11.BackupArchive, r *p11.ArchiveResult) error {
	p := s.part
	if q.To == nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	if !h.policies().on(policyNetworkReplication) {
		return h.mayCross(0) // an archive may go anywhere
	}
	key, err := p.domain()
	if err != nil {
		return err
	}
	defer clear(key)
	b := &backup{h: h, p: p, q: q, r: r}
	if q.Old != nil {
		if b.old, err = h.openArchive(p, q.Old, q.Size); err != nil {
			return err
		}
	}
	return archiveError(h.store.View(ctx, func(tx store.Tx) error {
		if err := b.verify(tx); err != nil {
			return err
		}
		if b.w, err = archive.Create(q.To, h.archiveInfo(p), key); err != nil {
			return err
		}
		return b.run(ctx, tx)
	}))
}

func (h *HSM) archiveInfo(p *partition) archive.Info {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return archive.Info{
		HSM: h.info.Serial, Serial: h.serialOf(uint64(p.space)), Label: p.stateNow().Label,
		Created: h.timestamp(), KDF: domainKDF,
	}
}

// backup is one backup under way.
type backup struct {
	h           *HSM
	p           *partition
	q           *p11.BackupArchive
	r           *p11.ArchiveResult
	w           *archive.Writer
	old         *archive.Reader
	kept        []identity // of the old archive's objects, sorted
	done, total uint64
}

// verify makes sure that all objects may leave. The index knows the classes, so
// that objects are read only to name them.
func (b *backup) verify(tx store.Tx) error {
	if err := b.h.mayTravel(b.p, ck.CKO_PUBLIC_KEY); err != nil {
		return err
	}
	var held bound
	for _, kind := range objectKinds {
		n, err := tx.Count(b.p.space, kind)
		if err != nil {
			return err
		}
		b.total += n
		for _, class := range []ck.ObjectClass{ck.CKO_PRIVATE_KEY, ck.CKO_SECRET_KEY} {
			if err := b.held(tx, kind, class, &held); err != nil {
				return err
			}
		}
	}
	if b.old != nil {
		b.total += b.old.Count()
	}
	return held.err()
}

func (b *backup) held(tx store.Tx, kind store.Kind, class ck.ObjectClass, held *bound) error {
	why := b.h.mayTravel(b.p, class)
	if why == nil {
		return nil
	}
	keys := b.p.keysOf(kind)
	if keys == nil {
		return deny(refuseNotLoggedIn, "nobody is logged in")
	}
	term := keys.term(ck.CKA_CLASS, ck.PutULong(class))
	for after := store.Ref(0); ; {
		refs, err := tx.Find(b.p.space, kind, []store.Term{term}, after, maxPage)
		if err != nil || len(refs) == 0 {
			return err
		}
		for _, ref := range refs {
			o := new(object)
			if held.count < maxNamed {
				if o, err = b.h.peek(tx, b.p, ref, b.p.objects.ticket()); err != nil {
					return err
				}
			}
			if o == nil {
				o = new(object) // damaged, but there
			}
			held.add(o, why)
		}
		after = refs[len(refs)-1]
	}
}

func (b *backup) run(ctx context.Context, tx store.Tx) error {
	if b.old != nil {
		if err := b.keep(ctx, tx); err != nil {
			return err
		}
	}
	for _, kind := range objectKinds {
		if err := b.copyAll(ctx, tx, kind); err != nil {
			return err
		}
	}
	b.r.Objects, b.r.Added = b.w.Count(), b.r.Added-b.r.Replaced
	return b.w.Close()
}

// keep copies the old archive, but for what is to be replaced.
func (b *backup) keep(ctx context.Context, tx store.Tx) error {
	err := eachArchived(ctx, b.old, func(o *object, plain []byte) error {
		if b.q.Replace {
			id, _ := o.ouid()
			now, err := b.p.byOUID(tx, id)
			if err != nil {
				return err
			}
			if now != nil {
				b.r.Replaced++
				b.total--
				return nil
			}
		}
		b.kept = append(b.kept, o.identity())
		if err := b.w.Add(plain); err != nil {
			return err
		}
		return b.step(ctx)
	})
	slices.SortFunc(b.kept, compareIdentities)
	return err
}

// identity tells whether two objects with one OUID are the same. They are not
// where an HSM was put back from an old copy and gave an OUID out again; then
// neither may be taken for the other.
type identity [16]byte

func (o *object) identity() identity {
	id, _ := o.ouid()
	sum := sha256.Sum256(append(id[:], o.bytes(ck.CKA_UNIQUE_ID)...))
	return identity(sum[:16])
}

func compareIdentities(a, b identity) int { return slices.Compare(a[:], b[:]) }

// pageOfBackup is how many records are read at a time.
const pageOfBackup = 64

// copyAll copies the objects of one kind, but for what the archive has already.
func (b *backup) copyAll(ctx context.Context, tx store.Tx, kind store.Kind) error {
	if b.p.keysOf(kind) == nil {
		return deny(refuseNotLoggedIn, "nobody is logged in")
	}
	for after := store.Ref(0); ; {
		recs, err := tx.List(b.p.space, kind, after, pageOfBackup)
		if err != nil || len(recs) == 0 {
			return err
		}
		for i := range recs {
			if err := b.copyOne(&recs[i]); err != nil {
				return err
			}
			if err := b.step(ctx); err != nil {
				return err
			}
		}
		after = recs[len(recs)-1].Ref
	}
}

// copyOne copies one object. One that is damaged must not keep the others from
// being saved.
func (b *backup) copyOne(rec *store.Record) error {
	o, err := b.p.open(rec)
	if err != nil {
		if !isDamage(err) {
			return err
		}
		b.h.log.Error("an object cannot be backed up", "record", uint64(rec.Ref), "error", err)
		b.r.Unreadable = append(b.r.Unreadable, uint64(rec.Ref))
		return nil
	}
	if _, there := slices.BinarySearchFunc(b.kept, o.identity(), compareIdentities); there {
		b.r.Present++
		return nil
	}
	plain, err := o.travelling()
	if err != nil {
		return err
	}
	defer clear(plain)
	b.r.Added++
	return b.w.Add(plain)
}

func (b *backup) step(ctx context.Context) error {
	b.done++
	if b.q.Progress != nil {
		b.q.Progress(p11.ArchiveProgress{Done: b.done, Total: b.total})
	}
	return ctx.Err()
}

// handleReadArchive lists an archive, and so verifies all of it.
func (h *HSM) handleReadArchive(ctx context.Context, s *session, q *p11.ReadArchive, r *p11.ArchiveResult) error {
	a, err := h.openArchive(s.part, q.From, q.Size)
	if err != nil {
		return err
	}
	r.Objects = a.Count()
	return archiveError(eachArchived(ctx, a, func(o *object, _ []byte) error {
		if q.Each != nil {
			q.Each(o.listed())
		}
		return nil
	}))
}

func (o *object) listed() p11.ArchivedObject {
	id, _ := o.ouid()
	return p11.ArchivedObject{
		UID: id, Class: o.class, KeyType: o.keyType(), Private: o.private(),
		Label: string(o.bytes(ck.CKA_LABEL)), ID: slices.Clone(o.bytes(ck.CKA_ID)),
	}
}

// eachArchived reads an archive from its beginning to its end. Plain is what an
// object is in the archive, and is overwritten by the next.
func eachArchived(ctx context.Context, a *archive.Reader, do func(o *object, plain []byte) error) error {
	a.Rewind()
	for {
		plain, err := a.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		o, err := arriving(plain)
		if err == nil {
			err = do(o, plain)
		}
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// Batches of a restore: what goes into one transaction.
const (
	batchObjects = 100
	batchBytes   = 1 << 20
)

// handleRestoreArchive reads the archive twice: first all of it, so that nothing
// is written if anything is wrong, then to put its objects into the partition. A
// restore that was interrupted is simply begun again: what is there already is
// known by its OUID.
func (h *HSM) handleRestoreArchive(ctx context.Context, s *session, q *p11.RestoreArchive, r *p11.ArchiveResult) error {
	a, err := h.openArchive(s.part, q.From, q.Size)
	if err != nil {
		return err
	}
	job := &restore{h: h, p: s.part, q: q, r: r, total: a.Count()}
	r.Objects = a.Count()
	if err := job.verify(ctx, a); err != nil {
		return archiveError(err)
	}
	job.done = 0
	err = eachArchived(ctx, a, func(o *object, _ []byte) error { return job.add(ctx, o) })
	if err == nil {
		err = job.flush(ctx)
	}
	return archiveError(err)
}

// restore is one restore under way.
type restore struct {
	h           *HSM
	p           *partition
	q           *p11.RestoreArchive
	r           *p11.ArchiveResult
	batch       []*object
	bytes       int
	done, total uint64
	charge      int64 // what the partition would be charged with in the end
}

func (j *restore) step(verifying bool, n int) {
	j.done += uint64(n)
	if j.q.Progress != nil {
		j.q.Progress(p11.ArchiveProgress{Verifying: verifying, Done: j.done, Total: j.total})
	}
}

// verify reads the whole archive, asks the policies and looks for room.
func (j *restore) verify(ctx context.Context, a *archive.Reader) error {
	if err := j.h.mayTravel(j.p, ck.CKO_PUBLIC_KEY); err != nil {
		return err
	}
	var held bound
	size := j.p.stateNow().Size
	err := eachArchived(ctx, a, func(o *object, _ []byte) error {
		if why := j.h.mayTravel(j.p, o.class); why != nil {
			held.add(o, why)
		}
		j.step(true, 1)
		if size == 0 {
			return nil
		}
		return j.account(ctx, o)
	})
	if err := cmp.Or(err, held.err()); err != nil || size == 0 {
		return err
	}
	return j.fits(ctx, int64(size))
}

// account adds what the partition would be charged for o.
func (j *restore) account(ctx context.Context, o *object) error {
	return j.h.store.View(ctx, func(tx store.Tx) error {
		id, _ := o.ouid()
		old, err := j.p.byOUID(tx, id)
		switch {
		case err != nil:
			return err
		case old == nil:
			j.charge += int64(o.charge())
		case j.q.Replace:
			j.charge += int64(o.charge()) - int64(old.charge())
		}
		return nil
	})
}

// fits says whether the partition has room for all of the archive. Without it
// nothing is restored: half an archive is of no use to anybody.
func (j *restore) fits(ctx context.Context, size int64) error {
	return j.h.store.View(ctx, func(tx store.Tx) error {
		used, err := tx.Charged(j.p.space)
		if err != nil || j.charge <= 0 || int64(used)+j.charge <= size {
			return err
		}
		return deny(refusePartitionFull, "nothing was restored: the partition has %d bytes for objects, %d of them used, and the archive needs %d more",
			size, used, j.charge)
	})
}

// add puts one more object into the batch.
func (j *restore) add(ctx context.Context, o *object) error {
	j.batch = append(j.batch, o)
	j.bytes += len(o.attrs)
	if len(j.batch) < batchObjects && j.bytes < batchBytes {
		return nil
	}
	return j.flush(ctx)
}

// flush stores the batch, in one transaction.
func (j *restore) flush(ctx context.Context) error {
	n := len(j.batch)
	for len(j.batch) > 0 {
		there, err := j.h.adopt(ctx, j.p, j.batch, j.q.Replace)
		if isThere(err) {
			j.leave(there)
			continue
		}
		if err != nil {
			return fmt.Errorf("after %d of %d objects: %w", j.done, j.total, err)
		}
		j.r.Added += uint64(len(j.batch) - len(there))
		j.r.Replaced += uint64(len(there))
		for _, o := range j.batch { // the cache is for what is used
			j.p.objects.forget(o.ref, 0)
		}
		break
	}
	j.batch, j.bytes = j.batch[:0], 0
	j.step(false, n)
	return nil
}

// leave takes out of the batch what is in the partition already.
func (j *restore) leave(there map[int]*object) {
	var rest []*object
	for i, o := range j.batch {
		switch old := there[i]; {
		case old == nil:
			rest = append(rest, o)
		case old.identity() == o.identity():
			j.r.Present++
		default:
			j.r.Strangers = append(j.r.Strangers, o.listed())
		}
	}
	j.batch = rest
}
