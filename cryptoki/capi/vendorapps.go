package capi

import (
	"encoding/binary"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Application ids and sessions by the vendor's functions.

// appID is the id of two numbers, of which argument i is the higher.
func (c call) appID(i int) (id p11.AppID) {
	binary.LittleEndian.PutUint64(id[:8], c.number(i))
	binary.LittleEndian.PutUint64(id[8:], c.number(i+1))
	return id
}

// appIDAt is the id that argument i points to.
func (c call) appIDAt(i int) (id p11.AppID, err error) {
	err = c.load(i, id[:])
	return id, err
}

func (c call) setAppID(id p11.AppID) error {
	return c.do(&p11.SetAppID{ID: id}, new(p11.None))
}

func setAppID(c call) error { return c.setAppID(c.appID(0)) }

func setAppIDV2(c call) error {
	id, err := c.appIDAt(0)
	if err != nil {
		return err
	}
	return c.setAppID(id)
}

func randomAppID(c call) error {
	return c.do(&p11.SetAppID{Random: true}, new(p11.None))
}

func getAppID(c call) error {
	if err := c.needs(0); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetAppID{})
	if err == nil {
		c.store(0, r.ID[:])
	}
	return err
}

func (c call) openAppID(slot ck.SlotID, id p11.AppID) error {
	return c.do(&p11.OpenAppID{Slot: slot, ID: id}, new(p11.None))
}

func (c call) closeAppID(slot ck.SlotID, id p11.AppID) error {
	return c.do(&p11.CloseAppID{Slot: slot, ID: id}, new(p11.None))
}

func openAppID(c call) error  { return c.openAppID(c.slot(0), c.appID(1)) }
func closeAppID(c call) error { return c.closeAppID(c.slot(0), c.appID(1)) }

func openAppIDFor(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.openAppID(p.Slot, c.appID(2))
}

func closeAppIDFor(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.closeAppID(p.Slot, c.appID(2))
}

func openAppIDV2(c call) error {
	id, err := c.appIDAt(1)
	if err != nil {
		return err
	}
	return c.openAppID(c.slot(0), id)
}

func closeAppIDV2(c call) error {
	id, err := c.appIDAt(1)
	if err != nil {
		return err
	}
	return c.closeAppID(c.slot(0), id)
}

// open opens a session and stores its handle where argument i points.
func (c call) open(i int, q *p11.OpenSession) error {
	if err := c.needs(i); err != nil {
		return err
	}
	r, err := ask(c, q)
	if err == nil {
		set(c, i, r.Session)
		countSession()
	}
	return err
}

func openContainerSession(c call) error {
	slot := c.slot(0)
	if c.number(1) != 0 {
		p, err := c.container()
		if err != nil {
			return err
		}
		slot = p.Slot
	}
	return c.open(5, &p11.OpenSession{Slot: slot, Flags: ck.Flags(c.words[2])})
}

func openAppSession(c call) error {
	id := c.appID(2)
	return c.open(6, &p11.OpenSession{Slot: c.slot(0), Flags: ck.Flags(c.words[1]), App: &id})
}

// vendorSessionInfo tells the application id in two numbers, the container's
// number and, as the level of authentication, the state of the session.
func vendorSessionInfo(c call) error {
	info, err := ask(c, &p11.GetSessionInfo{Session: c.session()})
	if err != nil {
		return err
	}
	app, err := ask(c, &p11.GetAppID{})
	if err != nil {
		return err
	}
	container := containerNumber(info.SlotID)
	if info.SlotID == p11.AdminSlot {
		container = 0
	}
	high, low := binary.LittleEndian.Uint64(app.ID[:8]), binary.LittleEndian.Uint64(app.ID[8:])
	c.numbers(1, high, low, container, uint64(info.State))
	return nil
}

// operationsByNumber are the operations as CA_CheckOperationState counts them.
var operationsByNumber = []p11.Operation{p11.OpEncrypt, p11.OpDecrypt, p11.OpSign, p11.OpVerify, p11.OpDigest}

func operationState(c call) error {
	if c.needs(2) != nil || c.number(1) >= uint64(len(operationsByNumber)) {
		return ck.CKR_ARGUMENTS_BAD
	}
	r, err := ask(c, &p11.IsActive{Session: c.session(), Op: operationsByNumber[c.number(1)]})
	if err != nil {
		return err
	}
	*(*byte)(c.ptr(2)) = 0
	if r.Yes {
		*(*byte)(c.ptr(2)) = 1
	}
	return nil
}

func restart(c call) error {
	return c.do(&p11.RestartSlot{Slot: c.slot(0)}, new(p11.None))
}

func restartFor(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.do(&p11.RestartSlot{Slot: p.Slot}, new(p11.None))
}

// vendorWait is C_WaitForSlotEvent with a history of the slot, which nobody
// has described: it says nothing.
func vendorWait(c call) error {
	if c.words[1] != 0 {
		array(c, 1, make([]uint64, 2))
	}
	return c.wait(2, true)
}
