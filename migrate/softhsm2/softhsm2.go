// Package softhsm2 reads the token directories of SoftHSM 2: what its objects
// are, private and not extractable ones too, given a PIN of the token. It
// writes nothing there, and needs nothing of SoftHSM installed.
package softhsm2

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Token is a token in a store.
type Token struct {
	Dir, Label, Serial string

	userKey, soKey []byte // the token's key, encrypted for each of them
}

// Object is an object of a token. Err says why it cannot be read; its other
// objects can be read all the same.
type Object struct {
	Name  string // of the file
	Attrs []ck.Attribute
	Err   error
}

// Errors of stores and tokens.
var (
	ErrPIN      = errors.New("the PIN of the token is wrong")
	ErrNoPIN    = errors.New("the token has no such PIN")
	errDatabase = errors.New("the token is in SoftHSM's database form (objectstore.backend = db), of which this program reads nothing; only the form of files is read")
	errNoStore  = errors.New("there is no SoftHSM token in it")
)

// tokenFile describes a token, in the form of an object.
const tokenFile = "token.object"

// Tokens lists the tokens of a store; dir is the store, or one token in it.
func Tokens(dir string) ([]*Token, error) {
	if t, err := openToken(dir); !errors.Is(err, fs.ErrNotExist) {
		return []*Token{t}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*Token
	for _, e := range entries {
		t, err := openToken(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("token %s: %w", e.Name(), err)
		}
		list = append(list, t)
	}
	if len(list) == 0 {
		return nil, errNoStore
	}
	return list, nil
}

// openToken answers fs.ErrNotExist where there is no token.
func openToken(dir string) (*Token, error) {
	attrs, err := readObject(filepath.Join(dir, tokenFile))
	if errors.Is(err, errNoFile) {
		if _, err := os.Stat(filepath.Join(dir, "sqlite3.db")); err == nil {
			return nil, errDatabase
		}
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	text := func(t ck.AttributeType) string { return strings.TrimRight(string(value(attrs, t)), " \x00") }
	return &Token{Dir: dir, Label: text(osLabel), Serial: text(osSerial),
		soKey: value(attrs, osSOPIN), userKey: value(attrs, osUserPIN)}, nil
}

// Open reads all objects. pin is the user's, or the SO's: each of them opens
// the key that private objects are encrypted with.
func (t *Token) Open(pin []byte, so bool) ([]Object, error) {
	wrapped := t.userKey
	if so {
		wrapped = t.soKey
	}
	if len(wrapped) == 0 {
		return nil, ErrNoPIN
	}
	key, err := openKey(wrapped, pin)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return nil, err
	}
	var list []Object
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".object" || e.Name() == tokenFile {
			continue
		}
		o := Object{Name: e.Name()}
		attrs, err := readObject(filepath.Join(t.Dir, e.Name()))
		if errors.Is(err, errNoFile) {
			continue // somebody deleted it meanwhile
		}
		if err == nil {
			err = decrypt(attrs, key)
		}
		o.Attrs, o.Err = plain(attrs), err
		list = append(list, o)
	}
	return list, nil
}

// decrypt opens the byte strings of a private object. Dates are stored in the
// clear even there.
func decrypt(attrs []attribute, key []byte) error {
	if private := value(attrs, ck.CKA_PRIVATE); len(private) != 1 || private[0] == 0 {
		return nil
	}
	for i := range attrs {
		a := &attrs[i]
		date := a.Type == ck.CKA_START_DATE || a.Type == ck.CKA_END_DATE
		if a.form != formBytes || len(a.Value) == 0 || date {
			continue
		}
		opened, err := openValue(key, a.Value)
		if err != nil {
			return fmt.Errorf("%v cannot be decrypted: %w", a.Type, err)
		}
		a.Value = opened
	}
	return nil
}

func value(attrs []attribute, t ck.AttributeType) []byte {
	for _, a := range attrs {
		if a.Type == t {
			return a.Value
		}
	}
	return nil
}

// DefaultDir is the store that SoftHSM's configuration names, which it finds as
// SoftHSM does.
func DefaultDir(env func(string) string) (string, error) {
	files := []string{"/etc/softhsm/softhsm2.conf", "/etc/softhsm2.conf"}
	if home := env("HOME"); home != "" {
		files = slices.Insert(files, 0, filepath.Join(home, ".config/softhsm2/softhsm2.conf"))
	}
	if file := env("SOFTHSM2_CONF"); file != "" {
		files = []string{file}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if dir := tokenDir(text); dir != "" {
			return dir, nil
		}
		return "", fmt.Errorf("%s has no line directories.tokendir", file)
	}
	return "", fmt.Errorf("there is no configuration of SoftHSM (%s)", strings.Join(files, ", "))
}

// tokenDir finds the store in the text of softhsm2.conf.
func tokenDir(text []byte) (dir string) {
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		name, v, ok := strings.Cut(string(line), "=")
		if ok && strings.TrimSpace(name) == "directories.tokendir" {
			dir = strings.TrimSpace(v)
		}
	}
	return dir
}
