package softhsm2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The token in testdata was made by softhsm2-util and pkcs11-tool, with SoftHSM
// 2.6.1. These are its PINs.
const (
	store   = "testdata/tokens"
	userPIN = "Very-Secret-6-user"
	soPIN   = "Very-Secret-3-partition-so"
)

func open(t *testing.T, dir string) *Token {
	t.Helper()
	list, err := Tokens(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	return list[0]
}

func TestToken(t *testing.T) {
	token := open(t, store)
	if token.Label != "old" || len(token.Serial) != 16 {
		t.Errorf("label %q, serial %q", token.Label, token.Serial)
	}
	if again := open(t, token.Dir); again.Serial != token.Serial {
		t.Errorf("the token's own directory is token %q", again.Serial)
	}
}

// Both PINs open everything: the token's key is stored for each.
func TestOpen(t *testing.T) {
	token := open(t, store)
	byUser, err := token.Open([]byte(userPIN), false)
	if err != nil {
		t.Fatal(err)
	}
	bySO, err := token.Open([]byte(soPIN), true)
	if err != nil {
		t.Fatal(err)
	}
	labels := func(list []Object) (out []string) {
		for _, o := range list {
			if o.Err != nil {
				t.Errorf("%s: %v", o.Name, o.Err)
			}
			class, _ := ck.ULong(ck.Find(o.Attrs, ck.CKA_CLASS).Value)
			out = append(out, ck.ObjectClass(class).String()+" "+string(ck.Find(o.Attrs, ck.CKA_LABEL).Value))
		}
		slices.Sort(out)
		return out
	}
	want := []string{"CKO_CERTIFICATE web", "CKO_DATA note", "CKO_PRIVATE_KEY code", "CKO_PRIVATE_KEY mail", "CKO_PRIVATE_KEY web",
		"CKO_PUBLIC_KEY code", "CKO_PUBLIC_KEY mail", "CKO_PUBLIC_KEY web", "CKO_SECRET_KEY vault"}
	if got := labels(byUser); !slices.Equal(got, want) {
		t.Errorf("the user sees %v", got)
	}
	if got := labels(bySO); !slices.Equal(got, want) {
		t.Errorf("the SO's PIN opens %v", got)
	}
	for _, o := range byUser {
		if string(ck.Find(o.Attrs, ck.CKA_LABEL).Value) == "note" && string(ck.Find(o.Attrs, ck.CKA_VALUE).Value) != "hello" {
			t.Errorf("the data are %q", ck.Find(o.Attrs, ck.CKA_VALUE).Value)
		}
	}
}

func TestWrongPIN(t *testing.T) {
	token := open(t, store)
	for _, so := range []bool{false, true} {
		if _, err := token.Open([]byte("nobody's"), so); !errors.Is(err, ErrPIN) {
			t.Errorf("so %v: %v", so, err)
		}
	}
	if _, err := token.Open([]byte(soPIN), false); !errors.Is(err, ErrPIN) {
		t.Errorf("the SO's PIN for the user's: %v", err)
	}
	token.userKey = nil
	if _, err := token.Open([]byte(userPIN), false); !errors.Is(err, ErrNoPIN) {
		t.Errorf("no user PIN: %v", err)
	}
}

// copied is a copy of the store that a test may damage.
func copied(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The name of a directory is a name, whatever is in it.
func TestNameOfADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*?")
	if err := os.CopyFS(dir, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, dir).Open([]byte(userPIN), false)
	if err != nil || len(list) != 9 {
		t.Errorf("%d objects, %v", len(list), err)
	}
}

// A damaged object is told by name, and keeps no other from being read. Values in
// CBC have no integrity protection, so that not every changed byte can be found
// here: the proof after the import finds the rest.
func TestDamagedObject(t *testing.T) {
	token := open(t, copied(t))
	files, _ := filepath.Glob(filepath.Join(token.Dir, "*-*.object"))
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(files[0], whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := token.Open([]byte(userPIN), false)
		if err != nil || len(list) != len(files) {
			t.Fatalf("%d of %d objects, %v", len(list), len(files), err)
		}
		for _, o := range list {
			cut := o.Name == filepath.Base(files[0])
			if !cut && o.Err != nil {
				t.Fatalf("cut to %d bytes: %s: %v", n, o.Name, o.Err)
			}
			if cut && o.Err == nil && len(o.Attrs) >= len(all) {
				t.Fatalf("cut to %d bytes: read whole", n)
			}
		}
	}
}

func TestNoStore(t *testing.T) {
	empty := t.TempDir()
	if _, err := Tokens(empty); !errors.Is(err, errNoStore) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Tokens(filepath.Join(empty, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	db := filepath.Join(empty, "aaaa")
	if err := errors.Join(os.Mkdir(db, 0o700), os.WriteFile(filepath.Join(db, "sqlite3.db"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Tokens(empty); !errors.Is(err, errDatabase) {
		t.Errorf("a token in a database: %v", err)
	}
}

func TestDefaultDir(t *testing.T) {
	home := t.TempDir()
	env := map[string]string{"HOME": home}
	write := func(path, text string) string {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(filepath.Join(home, ".config/softhsm2/softhsm2.conf"), "# directories.tokendir = /no\n directories.tokendir = /a/tokens/ # here\nobjectstore.backend = file\n")
	get := func(name string) string { return env[name] }
	if dir, err := DefaultDir(get); err != nil || dir != "/a/tokens/" {
		t.Errorf("%q, %v", dir, err)
	}
	env["SOFTHSM2_CONF"] = write(filepath.Join(home, "own"), "directories.tokendir=/b")
	if dir, err := DefaultDir(get); err != nil || dir != "/b" {
		t.Errorf("%q, %v", dir, err)
	}
	env["SOFTHSM2_CONF"] = write(filepath.Join(home, "silent"), "log.level = INFO")
	if _, err := DefaultDir(get); err == nil || !strings.Contains(err.Error(), "directories.tokendir") {
		t.Errorf("no directory named: %v", err)
	}
}

// Templates, lists of mechanisms and what must not be, by bytes.
func TestForms(t *testing.T) {
	u := func(list ...uint64) (b []byte) {
		for _, n := range list {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}
	inner := append(u(uint64(ck.CKA_SENSITIVE), formBool), 0xff)
	whole := slices.Concat(u(7), u(uint64(ck.CKA_WRAP_TEMPLATE), formMap, uint64(len(inner))), inner,
		u(uint64(ck.CKA_ALLOWED_MECHANISMS), formTypes, 2, uint64(ck.CKM_AES_CBC), uint64(ck.CKM_AES_GCM)),
		u(uint64(ck.CKA_KEY_TYPE), formULong, uint64(ck.CKK_AES)))
	list, err := parse(whole)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	if tmpl := list[0].Template; len(tmpl) != 1 || tmpl[0].Type != ck.CKA_SENSITIVE || !bytes.Equal(tmpl[0].Value, []byte{1}) {
		t.Errorf("the template is %v", tmpl)
	}
	if m, _ := ck.MechanismTypes(list[1].Value); !slices.Equal(m, []ck.MechanismType{ck.CKM_AES_CBC, ck.CKM_AES_GCM}) {
		t.Errorf("the mechanisms are %v", m)
	}
	for name, text := range map[string][]byte{
		"an unknown form":                 u(1, uint64(ck.CKA_ID), 9, 0),
		"more bytes than there are":       u(1, uint64(ck.CKA_ID), formBytes, 1<<62),
		"more mechanisms than there are":  u(1, uint64(ck.CKA_ALLOWED_MECHANISMS), formTypes, 1<<61),
		"a template in a template":        slices.Concat(u(1, uint64(ck.CKA_WRAP_TEMPLATE), formMap, 24), u(uint64(ck.CKA_UNWRAP_TEMPLATE), formMap, 0)),
		"a template that is a number":     u(1, uint64(ck.CKA_WRAP_TEMPLATE), formULong, 0),
		"an attribute without a value":    u(1, uint64(ck.CKA_ID)),
		"a file without its first number": {1, 2},
	} {
		if _, err := parse(text); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(store + "/*/*.object")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	key := make([]byte, keySize)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parse(data)
		if err != nil {
			return
		}
		_ = decrypt(list, key)
		_, _ = openKey(value(list, osUserPIN), []byte("1234"))
		for _, a := range plain(list) {
			if a.Type.IsTemplate() && a.Value != nil {
				t.Errorf("%v is a template with a value", a.Type)
			}
		}
	})
}
