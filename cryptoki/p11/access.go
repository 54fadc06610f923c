package p11

import "github.com/perilune/perilune/cryptoki/ck"

// AppID is an application id: whose login a session shares. Every process has
// one of its own unless it sets another.
type AppID [16]byte

// Application ids. One that is open on a slot keeps the login that is made under
// it, with no session open and over the end of processes, and gives it to every
// process that sets the same id.
type (
	// SetAppID sets the id of this process; sessions that are open keep
	// theirs. Random asks for a new one that nobody else has.
	SetAppID struct {
		ID     AppID
		Random bool
	}
	// GetAppID asks for the id of this process.
	GetAppID struct{}
	// AppIDReply is its reply.
	AppIDReply struct{ ID AppID }
	// OpenAppID opens an id on a slot.
	OpenAppID struct {
		Slot ck.SlotID
		ID   AppID
	}
	// CloseAppID closes it: its login ends in all processes.
	CloseAppID struct {
		Slot ck.SlotID
		ID   AppID
	}
	// IsActive asks whether an operation is under way in a session.
	IsActive struct {
		Session ck.SessionHandle
		Op      Operation
	}
	// Answer is its reply.
	Answer struct{ Yes bool }
	// RestartSlot ends all sessions and logins of all processes on a slot, and
	// closes all ids there.
	RestartSlot struct{ Slot ck.SlotID }
)

// Kind and reply of each.
func (*SetAppID) Kind() Kind             { return KindSetAppID }
func (*SetAppID) returns(None)           {}
func (*GetAppID) Kind() Kind             { return KindGetAppID }
func (*GetAppID) returns(AppIDReply)     {}
func (*OpenAppID) Kind() Kind            { return KindOpenAppID }
func (*OpenAppID) returns(None)          {}
func (*CloseAppID) Kind() Kind           { return KindCloseAppID }
func (*CloseAppID) returns(None)         {}
func (*IsActive) Kind() Kind             { return KindIsActive }
func (*IsActive) returns(Answer)         {}
func (q *IsActive) On() ck.SessionHandle { return q.Session }
func (*RestartSlot) Kind() Kind          { return KindRestartSlot }
func (*RestartSlot) returns(None)        {}
