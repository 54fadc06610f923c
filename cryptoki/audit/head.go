package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perilune/perilune/ownfile"
)

// Head is the newest record as the HSM remembers it outside the log: what the
// end of the log is compared with. The zero Head is that of an empty log.
type Head struct {
	Sequence uint64
	Link     Link
	File     uint32 // the number of the file that the record is in
	Size     int64  // of that file, with the record
	Opened   int64  // when that file was begun, in Unix seconds
}

// newer returns the one of two that knows more records.
func newer(a, b Head) Head {
	if b.Sequence > a.Sequence {
		return b
	}
	return a
}

// The head file holds two places, written in turn, so that one of them is whole
// whenever writing stops. Each is authenticated under a key that is not the
// log secret: who imports the secret of an HSM cannot make heads for it.
const (
	headName  = "head"
	headMagic = "PRLNHD\x00\x01"
	headPlace = 128
	headPlain = 80
)

func (h *Head) encode(turn uint64, key []byte) []byte {
	b := make([]byte, 0, headPlace)
	le := binary.LittleEndian
	b = append(b, headMagic...)
	b = le.AppendUint64(b, turn)
	b = le.AppendUint64(b, h.Sequence)
	b = le.AppendUint64(b, uint64(h.Size))
	b = le.AppendUint64(b, uint64(h.Opened))
	b = le.AppendUint64(b, uint64(h.File))
	b = append(b, h.Link[:]...)
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	b = mac.Sum(b)
	return b[:headPlace]
}

func decodeHead(b, key []byte) (h Head, turn uint64, ok bool) {
	if len(b) < headPlace || string(b[:8]) != headMagic {
		return Head{}, 0, false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(b[:headPlain])
	if !hmac.Equal(mac.Sum(nil), b[headPlain:headPlain+sha256.Size]) {
		return Head{}, 0, false
	}
	le := binary.LittleEndian
	h = Head{
		Sequence: le.Uint64(b[16:]), Size: int64(le.Uint64(b[24:])), Opened: int64(le.Uint64(b[32:])),
		File: uint32(le.Uint64(b[40:])), Link: Link(b[48:80]),
	}
	return h, le.Uint64(b[8:]), true
}

// headFile is the file, and which place was written last.
type headFile struct {
	path string
	key  []byte
}

func newHeadFile(dir string, key []byte) headFile {
	return headFile{filepath.Join(dir, headName), key}
}

// read returns the newest whole head and its turn; ok is false if there is none.
func (f headFile) read() (h Head, turn uint64, ok bool, err error) {
	b, err := readBounded(f.path, 2*headPlace)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, 0, false, nil
	}
	if err != nil {
		return Head{}, 0, false, err
	}
	for len(b) >= headPlace {
		if one, n, good := decodeHead(b, f.key); good && (!ok || n > turn) {
			h, turn, ok = one, n, true
		}
		b = b[headPlace:]
	}
	return h, turn, ok, nil
}

// write puts h into the place of the next turn.
func (f headFile) write(h Head, turn uint64) error {
	file, err := ownfile.Open(f.path, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(h.encode(turn, f.key), int64(turn%2)*headPlace)
	return errors.Join(err, file.Close())
}
