package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

const (
	theSlot ck.SlotID       = 1
	theKey  ck.ObjectHandle = 7
)

var keyBytes = []byte("0123456789abcdef0123456789abcdef")

// fake is a token with one key, whose PIN is 1234.
type fake struct {
	mu       sync.Mutex
	last     ck.SessionHandle
	sessions map[ck.SessionHandle]*session
	login    ck.UserType
	loggedIn bool
	closed   bool
}

type session struct {
	mu  sync.Mutex
	ops [p11.NumOperations]*ck.Mechanism
}

func newFake() *fake { return &fake{sessions: make(map[ck.SessionHandle]*session)} }

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	return nil
}

func (f *fake) session(h ck.SessionHandle) (*session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		panic("a call after Close")
	}
	s := f.sessions[h]
	if s == nil {
		return nil, ck.CKR_SESSION_HANDLE_INVALID
	}
	return s, nil
}

func (f *fake) Do(ctx context.Context, req p11.Request, reply any) error {
	switch r := req.(type) {
	case *p11.GetInfo:
		*reply.(*ck.Info) = ck.Info{
			CryptokiVersion:    ck.Version{Major: 3, Minor: 2},
			ManufacturerID:     "Perilune tests",
			LibraryDescription: "a fake that is long enough: éééé", // 36 bytes
			LibraryVersion:     ck.Version{Major: 1, Minor: 2},
		}
		return nil
	case *p11.GetSlotList:
		reply.(*p11.SlotList).Slots = []ck.SlotID{theSlot}
		return nil
	case *p11.GetTokenInfo:
		*reply.(*ck.TokenInfo) = ck.TokenInfo{
			Label: "fake",
			Flags: ck.CKF_TOKEN_INITIALIZED | ck.CKF_USER_PIN_INITIALIZED | ck.CKF_LOGIN_REQUIRED,
		}
		return nil
	case *p11.WaitForSlotEvent:
		if !r.Block {
			return ck.CKR_NO_EVENT
		}
		<-ctx.Done()
		return ctx.Err()
	case *p11.OpenSession:
		return f.open(r, reply.(*p11.Session))
	case *p11.CloseSession:
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.sessions, r.Session)
		return nil
	case *p11.Login:
		return f.logIn(r)
	case *p11.SeedRandom:
		return seed(string(r.Seed))
	case *p11.GenerateRandom:
		if _, err := f.session(r.Session); err != nil {
			return err
		}
		_, err := rand.Read(r.Buf)
		return err
	case *p11.GenerateKey:
		reply.(*p11.Handle).Object = theKey
		return nil
	case *p11.Begin:
		return f.begin(r)
	case *p11.Finish:
		return f.finish(r, reply.(*p11.Length))
	case *p11.InitToken, *p11.InitPIN, *p11.Logout, *p11.CloseAllSessions:
		return nil
	}
	return ck.CKR_FUNCTION_NOT_SUPPORTED
}

func (f *fake) open(r *p11.OpenSession, reply *p11.Session) error {
	if r.Flags&ck.CKF_SERIAL_SESSION == 0 {
		return ck.CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	f.sessions[f.last] = new(session)
	reply.Session = f.last
	return nil
}

func (f *fake) logIn(r *p11.Login) error {
	if _, err := f.session(r.Session); err != nil {
		return err
	}
	if string(r.PIN) != "1234" {
		return ck.CKR_PIN_INCORRECT
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.login, f.loggedIn = r.User, true
	return nil
}

// seed misbehaves as it is told.
func seed(how string) error {
	switch how {
	case "panic":
		panic("a secret that no log may show")
	case "nil":
		var p *fake
		p.last++
	case "gc":
		runtime.GC()
	}
	return nil
}

func (f *fake) begin(r *p11.Begin) error {
	s, err := f.session(r.Session)
	if err != nil {
		return err
	}
	f.mu.Lock()
	loggedIn := f.loggedIn
	f.mu.Unlock()
	if r.Op != p11.OpDigest && !loggedIn {
		return ck.CKR_USER_NOT_LOGGED_IN
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ops[r.Op] != nil && r.Mechanism != nil {
		return ck.CKR_OPERATION_ACTIVE
	}
	if s.ops[r.Op] = nil; r.Mechanism != nil {
		m := *r.Mechanism // the request is not ours to keep
		s.ops[r.Op] = &m
	}
	return nil
}

func (f *fake) finish(r *p11.Finish, reply *p11.Length) error {
	s, err := f.session(r.Session)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ops[r.Op]
	if m == nil {
		return ck.CKR_OPERATION_NOT_INITIALIZED
	}
	var out []byte
	switch m.Type {
	case ck.CKM_SHA256:
		h := sha256.New()
		h.Write(r.In)
		out = h.Sum(nil)
	case ck.CKM_SHA256_HMAC:
		h := hmac.New(sha256.New, keyBytes)
		h.Write(r.In)
		out = h.Sum(nil)
	case ck.CKM_AES_GCM:
		if out, err = seal(m.Param.(*gcmParams), r.In); err != nil {
			return err
		}
	default:
		return ck.CKR_MECHANISM_INVALID
	}
	reply.N = len(out)
	if r.Out.Query {
		return nil
	}
	if len(r.Out.Buf) < len(out) {
		return ck.CKR_BUFFER_TOO_SMALL
	}
	copy(r.Out.Buf, out)
	s.ops[r.Op] = nil
	return nil
}

func seal(p *gcmParams, in []byte) ([]byte, error) {
	block, err := aes.NewCipher(keyBytes)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(p.IV))
	if err != nil {
		return nil, err
	}
	return gcm.Seal(nil, p.IV, in, p.AAD), nil
}
