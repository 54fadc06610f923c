package softhsm2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/cryptoki/ck"
)

// An object is a file: a generation number, then attributes, each with its type,
// the form of its value and the value. Numbers are eight bytes, big-endian.
const (
	formBool  = 1 // a byte
	formULong = 2
	formBytes = 3 // length and bytes
	formMap   = 4 // length in bytes, and attributes
	formTypes = 5 // count, and mechanism types
)

// Attributes of the file that describes the token.
const (
	osLabel   ck.AttributeType = 0x80005349
	osSerial  ck.AttributeType = 0x8000534A
	osSOPIN   ck.AttributeType = 0x8000534C
	osUserPIN ck.AttributeType = 0x8000534D
)

var (
	errDamaged = errors.New("the file is damaged")
	errNoFile  = errors.New("there is no such file")
)

// maxFile bounds a file: SoftHSM's objects have some kilobytes.
const maxFile = 16 << 20

// attribute is one of a file; its form tells what is encrypted in private objects.
type attribute struct {
	ck.Attribute
	form uint64
}

// readObject reads a file under the lock that SoftHSM takes for writing, so that
// what is read was not half written.
func readObject(path string) ([]attribute, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, errNoFile
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lock); err != nil {
		return nil, fmt.Errorf("cannot lock it: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, errDamaged
	}
	return parse(data)
}

// parse reads the attributes of a file.
func parse(data []byte) ([]attribute, error) {
	r := reader(data)
	if _, err := r.number(); err != nil { // the generation
		return nil, err
	}
	return r.attributes(false)
}

// reader is what is left of a file.
type reader []byte

func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(*r)) {
		return nil, errDamaged
	}
	b := (*r)[:n:n]
	*r = (*r)[n:]
	return b, nil
}

func (r *reader) number() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// attributes reads to the end. Templates have no templates in them.
func (r *reader) attributes(inner bool) (list []attribute, err error) {
	for len(*r) > 0 {
		t, err := r.number()
		if err != nil {
			return nil, err
		}
		form, err := r.number()
		if err != nil {
			return nil, err
		}
		a := attribute{ck.Attribute{Type: ck.AttributeType(t)}, form}
		if (form == formMap) != a.Type.IsTemplate() || form == formMap && inner {
			return nil, errDamaged
		}
		if err := r.value(&a); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func (r *reader) value(a *attribute) error {
	if a.form == formBool {
		b, err := r.take(1)
		if err == nil {
			a.Value = ck.PutBool(b[0] != 0)
		}
		return err
	}
	n, err := r.number()
	if err != nil {
		return err
	}
	switch a.form {
	case formULong:
		a.Value = ck.PutULong(n)
	case formBytes:
		a.Value, err = r.take(n)
	case formMap:
		a.Template, err = r.template(n)
	case formTypes:
		a.Value, err = r.mechanisms(n)
	default:
		err = errDamaged
	}
	return err
}

func (r *reader) template(n uint64) ([]ck.Attribute, error) {
	b, err := r.take(n)
	if err != nil {
		return nil, err
	}
	inner := reader(b)
	list, err := inner.attributes(true)
	return plain(list), err
}

func (r *reader) mechanisms(n uint64) ([]byte, error) {
	if n > uint64(len(*r)/8) {
		return nil, errDamaged
	}
	list := make([]ck.MechanismType, n)
	for i := range list {
		m, err := r.number()
		if err != nil {
			return nil, err
		}
		list[i] = ck.MechanismType(m)
	}
	return ck.PutMechanismTypes(list...), nil
}

// plain forgets the forms.
func plain(list []attribute) (out []ck.Attribute) {
	for _, a := range list {
		out = append(out, a.Attribute)
	}
	return out
}
