package p11

import (
	"io"

	"github.com/perilune/perilune/cryptoki/ck"
)

// OUID names an object for ever, on every HSM: clones, backups and what is
// restored from them keep it (CKA_OUID).
type OUID [12]byte

// Cloning: objects go to another partition, of this HSM or another, if both have
// the same cloning domain.
type (
	// SetCloningDomain gives a partition its cloning domain, once.
	SetCloningDomain struct {
		Session ck.SessionHandle
		Domain  []byte
	}
	// GetObjectUID asks for the OUID of a token object that the application
	// can see.
	GetObjectUID struct {
		Slot   ck.SlotID
		Object ck.ObjectHandle
	}
	// ObjectUID is its reply.
	ObjectUID struct{ UID OUID }
	// GetObjectHandle asks for the token object with an OUID.
	GetObjectHandle struct {
		Slot ck.SlotID
		UID  OUID
	}
	// CloneAsTargetInit begins the cloning of one object into the partition of
	// the session, and makes the first part, which is for the source. The
	// session has at most one such clone under way: the next one replaces it.
	CloneAsTargetInit struct{ Session ck.SessionHandle }
	// ClonePart is a part of the protocol: opaque bytes.
	ClonePart struct{ Part []byte }
	// CloneAsSource makes the second part, for the target that made the first.
	CloneAsSource struct {
		Session ck.SessionHandle
		Object  ck.ObjectHandle
		Part    []byte
	}
	// CloneAsTarget stores the object that the second part brings. An object
	// with its OUID is in the way, unless Replace says that it shall go.
	CloneAsTarget struct {
		Session ck.SessionHandle
		Part    []byte
		Replace bool
	}
	// CloneObject does all three steps between two sessions of this module.
	CloneObject struct {
		Session ck.SessionHandle // of the partition that the object goes to
		Source  ck.SessionHandle
		Object  ck.ObjectHandle
		Replace bool
	}
)

// Archives: the token objects of a partition in a file, which partitions with
// the same cloning domain can read.
type (
	// BackupArchive writes an archive of the session's partition to To. With
	// Old, an archive of Size bytes, it writes what that has too; of an object
	// that is in both it takes Old's, unless Replace is set.
	BackupArchive struct {
		Session  ck.SessionHandle
		To       io.Writer
		Old      io.ReaderAt
		Size     int64
		Replace  bool
		Progress func(ArchiveProgress) // may be nil
	}
	// RestoreArchive verifies an archive of Size bytes to its end, and then
	// puts its objects into the session's partition. Objects whose OUID is
	// there already stay as they are, unless Replace is set.
	RestoreArchive struct {
		Session  ck.SessionHandle
		From     io.ReaderAt
		Size     int64
		Replace  bool
		Progress func(ArchiveProgress) // may be nil
	}
	// ArchiveResult is the reply of both.
	ArchiveResult struct {
		Objects  uint64 // in the archive
		Added    uint64 // to the archive, or to the partition
		Present  uint64 // were there already, and stayed
		Replaced uint64 // were there already, and were replaced
		// Unreadable are the records that are damaged, and so not in the
		// archive.
		Unreadable []uint64
		// Strangers are in the archive and not restored, for the partition has
		// another object with their OUID. That can only be where an HSM was put
		// back from an old copy.
		Strangers []ArchivedObject
	}
	// ReadArchive verifies an archive of Size bytes and lists its objects.
	ReadArchive struct {
		Session ck.SessionHandle
		From    io.ReaderAt
		Size    int64
		Each    func(ArchivedObject) // may be nil
	}
	// ArchivedObject is an object of an archive, as it is listed.
	ArchivedObject struct {
		UID     OUID
		Class   ck.ObjectClass
		KeyType ck.KeyType // of keys; otherwise CK_UNAVAILABLE_INFORMATION
		Label   string
		ID      []byte
		Private bool
	}
	// ArchiveProgress says how far a backup or a restore is.
	ArchiveProgress struct {
		Verifying   bool // nothing was written yet
		Done, Total uint64
	}
)
