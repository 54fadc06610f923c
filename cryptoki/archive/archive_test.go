package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
)

var testKey = bytes.Repeat([]byte{0x42}, 32)

var testInfo = Info{HSM: 1234567, Serial: "2874423253702", Label: "vector", Created: "2026-11-21T12:00:00Z",
	KDF: KDF{Name: "Argon2id", Passes: 3, MemoryKiB: 65536, Threads: 4, Salt: "salt of the domain"}}

// object is the nth object of test archives.
func object(n int) []byte { return bytes.Repeat([]byte{byte(n + 1)}, 10+n) }

func write(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := Create(&b, testInfo, testKey)
	for i := range n {
		err = errors.Join(err, w.Add(object(i)))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads an archive to its end.
func readAll(file, key []byte) (list [][]byte, err error) {
	r, err := Open(bytes.NewReader(file), int64(len(file)), key)
	if err != nil {
		return nil, err
	}
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, bytes.Clone(o))
	}
}

func checkObjects(t *testing.T, list [][]byte, n int) {
	t.Helper()
	if len(list) != n {
		t.Fatalf("%d objects, want %d", len(list), n)
	}
	for i, o := range list {
		if !bytes.Equal(o, object(i)) {
			t.Errorf("object %d is %x", i, o)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		file := write(t, n)
		list, err := readAll(file, testKey)
		if err != nil {
			t.Fatal(err)
		}
		checkObjects(t, list, n)
		info, count, err := Stat(bytes.NewReader(file), int64(len(file)))
		if err != nil || count != uint64(n) || info.Label != testInfo.Label || info.HSM != testInfo.HSM || info.KDF != testInfo.KDF {
			t.Errorf("stat: %+v, %d, %v", info, count, err)
		}
	}
}

func TestRewind(t *testing.T) {
	file := write(t, 3)
	r, err := Open(bytes.NewReader(file), int64(len(file)), testKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o, err := r.Next()
		if err != nil || !bytes.Equal(o, object(0)) {
			t.Fatal(o, err)
		}
		r.Rewind()
	}
}

func TestNeverTwiceTheSame(t *testing.T) {
	if a, b := write(t, 1), write(t, 1); bytes.Equal(a[len(a)-endLen:], b[len(b)-endLen:]) {
		t.Error("two archives of the same end alike")
	}
}

func TestAnotherKey(t *testing.T) {
	if _, err := readAll(write(t, 2), bytes.Repeat([]byte{0x43}, 32)); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

// refused reads what must not be read to its end.
func refused(t *testing.T, what string, file []byte) {
	t.Helper()
	_, err := readAll(file, testKey)
	for _, known := range []error{ErrFormat, ErrVersion, ErrKey, ErrDamaged} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

func TestEveryBitCounts(t *testing.T) {
	file := write(t, 3)
	for i := range 8 * len(file) {
		bad := bytes.Clone(file)
		bad[i/8] ^= 1 << (i % 8)
		refused(t, fmt.Sprintf("bit %d of byte %d changed", i%8, i/8), bad)
	}
	for n := range file {
		refused(t, fmt.Sprintf("cut to %d bytes", n), file[:n])
		refused(t, fmt.Sprintf("byte %d left out", n), slices.Delete(bytes.Clone(file), n, n+1))
		refused(t, fmt.Sprintf("a byte before byte %d", n), slices.Insert(bytes.Clone(file), n, 0))
	}
	refused(t, "a byte behind the end", append(bytes.Clone(file), 0))
}

// frames splits an archive into header, objects and end.
func frames(file []byte) (list [][]byte) {
	h, _ := readHeader(bytes.NewReader(file), int64(len(file)))
	list, file = append(list, file[:h.length()]), file[h.length():]
	for len(file) > endLen {
		n := 4 + binary.LittleEndian.Uint32(file)
		list, file = append(list, file[:n]), file[n:]
	}
	return append(list, file)
}

func TestObjectsKeepTheirPlaces(t *testing.T) {
	f, g := frames(write(t, 4)), frames(write(t, 4))
	for what, list := range map[string][][]byte{
		"swapped":            {f[0], f[2], f[1], f[3], f[4], f[5]},
		"left out":           {f[0], f[1], f[3], f[4], f[5]},
		"doubled":            {f[0], f[1], f[2], f[2], f[3], f[4], f[5]},
		"one for another":    {f[0], f[1], f[1], f[3], f[4], f[5]},
		"last left out":      {f[0], f[1], f[2], f[3], f[5]},
		"of another archive": {f[0], f[1], g[2], f[3], f[4], f[5]},
		"another's end":      {f[0], f[1], f[2], f[3], f[4], g[5]},
		"another's header":   {g[0], f[1], f[2], f[3], f[4], f[5]},
		"two ends":           {f[0], f[1], f[2], f[3], f[4], f[5], f[5]},
		"nothing but an end": {f[0], f[5]},
	} {
		refused(t, what, slices.Concat(list...))
	}
	if _, err := readAll(slices.Concat(f...), testKey); err != nil {
		t.Error("the frames are not the archive:", err)
	}
}

func TestSizes(t *testing.T) {
	var b bytes.Buffer
	w, err := Create(&b, testInfo, testKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(nil); err == nil {
		t.Error("an empty object was written")
	}
	if err := w.Add(make([]byte, MaxObject+1)); err == nil {
		t.Error("an object beyond the limit was written")
	}
	big := bytes.Repeat([]byte("big"), MaxObject/3)
	if err := errors.Join(w.Add(big), w.Close()); err != nil {
		t.Fatal(err)
	}
	if list, err := readAll(b.Bytes(), testKey); err != nil || len(list) != 1 || !bytes.Equal(list[0], big) {
		t.Error(len(list), err)
	}
	info := testInfo
	info.Label = string(make([]byte, maxInfo))
	if _, err := Create(&b, info, testKey); err == nil {
		t.Error("a description beyond the limit was written")
	}
}

// The archive of docs/FORMAT.md. It is never written again.
func TestVersion1IsReadForEver(t *testing.T) {
	file, err := os.ReadFile("testdata/v1.parc")
	if err != nil {
		t.Fatal(err)
	}
	list, err := readAll(file, testKey)
	if err != nil {
		t.Fatal(err)
	}
	checkObjects(t, list, 3)
	info, _, err := Stat(bytes.NewReader(file), int64(len(file)))
	info.Salt = nil
	if err != nil || info.Label != testInfo.Label || info.Created != testInfo.Created || info.KDF != testInfo.KDF || info.Serial != testInfo.Serial {
		t.Errorf("%+v, %v", info, err)
	}
}

// FuzzRead looks for a file that brings the reader down, or that it accepts
// although the writer did not make it.
func FuzzRead(f *testing.F) {
	good := write(f, 3)
	f.Add(good)
	f.Add(write(f, 0))
	f.Add(good[:len(good)-endLen])
	f.Fuzz(func(t *testing.T, file []byte) {
		Stat(bytes.NewReader(file), int64(len(file)))
		list, err := readAll(file, testKey)
		if err == nil && len(list) != 0 && !bytes.Equal(list[0], object(0)) {
			t.Errorf("accepted: %x", file)
		}
	})
}
