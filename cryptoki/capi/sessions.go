package capi

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Sessions (PKCS#11 v3.1 section 5.6).

// openSession ignores the application's pointer and its callback: there is
// nothing to notify it of.
func openSession(c call) error {
	if err := c.needs(4); err != nil {
		return err
	}
	r := newRequests()
	defer pool.Put(r)
	r.open = p11.OpenSession{Slot: ck.SlotID(c.words[0]), Flags: ck.Flags(c.words[1])}
	if err := c.do(&r.open, &r.opened); err != nil {
		return err
	}
	set(c, 4, r.opened.Session)
	countSession()
	return nil
}

func closeSession(c call) error {
	r := newRequests()
	defer pool.Put(r)
	r.close = p11.CloseSession{Session: c.session()}
	err := c.do(&r.close, &r.none)
	if err == nil {
		c.in.messages.forget(c.session())
	}
	return err
}

func closeAllSessions(c call) error {
	err := c.do(&p11.CloseAllSessions{Slot: ck.SlotID(c.words[0])}, new(p11.None))
	c.in.messages.sweep(func(s ck.SessionHandle) bool {
		_, err := ask(c, &p11.GetSessionInfo{Session: s})
		return err == nil
	})
	return err
}

func getSessionInfo(c call) error {
	if err := c.needs(1); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetSessionInfo{Session: c.session()})
	if err != nil {
		return err
	}
	return cmem.Store(&r, c.ptr(1), cmem.Host)
}

func sessionCancel(c call) error {
	return c.do(&p11.SessionCancel{Session: c.session(), Flags: ck.Flags(c.words[1])}, new(p11.None))
}

func getOperationState(c call) error {
	out, err := c.output(1)
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.GetOperationState{Session: c.session(), Out: out})
	return c.wrote(1, &r, err)
}

func setOperationState(c call) error {
	state, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.SetOperationState{
		Session:       c.session(),
		State:         state,
		EncryptionKey: c.object(3),
		AuthKey:       c.object(4),
	}, new(p11.None))
}

func login(c call) error {
	pin, err := c.bytes(2)
	if err != nil {
		return err
	}
	return c.do(&p11.Login{Session: c.session(), User: ck.UserType(c.words[1]), PIN: pin}, new(p11.None))
}

func loginUser(c call) error {
	pin, err := c.bytes(2)
	if err != nil {
		return err
	}
	name, err := c.bytes(4)
	if err != nil {
		return err
	}
	return c.do(&p11.Login{
		Session:  c.session(),
		User:     ck.UserType(c.words[1]),
		PIN:      pin,
		Username: string(name),
		ByName:   true,
	}, new(p11.None))
}

func logout(c call) error {
	return c.do(&p11.Logout{Session: c.session()}, new(p11.None))
}

func getSessionValidationFlags(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetValidationFlags{Session: c.session(), Type: c.number(1)})
	if err != nil {
		return err
	}
	set(c, 2, r.Flags)
	return nil
}
