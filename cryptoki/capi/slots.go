package capi

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// General purpose, slots and tokens (PKCS#11 v3.1 sections 5.4 and 5.5).

// The information structures in the order of C.
type (
	info struct {
		CryptokiVersion    ck.Version
		ManufacturerID     [32]byte
		Flags              ck.Flags
		LibraryDescription [32]byte
		LibraryVersion     ck.Version
	}
	slotInfo struct {
		SlotDescription [64]byte
		ManufacturerID  [32]byte
		Flags           ck.Flags
		HardwareVersion ck.Version
		FirmwareVersion ck.Version
	}
	tokenInfo struct {
		Label, ManufacturerID                 [32]byte
		Model, SerialNumber                   [16]byte
		Flags                                 ck.Flags
		MaxSessionCount, SessionCount         uint64
		MaxRwSessionCount, RwSessionCount     uint64
		MaxPinLen, MinPinLen                  uint64
		TotalPublicMemory, FreePublicMemory   uint64
		TotalPrivateMemory, FreePrivateMemory uint64
		HardwareVersion, FirmwareVersion      ck.Version
		UTCTime                               [16]byte
	}
)

// pad fills dst with s and blanks. What does not fit is cut off between
// characters.
func pad(dst []byte, s string) {
	n := len(s)
	if n > len(dst) {
		for n = len(dst); n > 0 && !utf8.RuneStart(s[n]); n-- {
		}
	}
	copy(dst, s[:n])
	for i := n; i < len(dst); i++ {
		dst[i] = ' '
	}
}

// unpad is the text of a padded string. Programs that pad with zeroes are as
// many as those that read the standard.
func unpad(b []byte) string { return strings.TrimRight(string(b), " \x00") }

func getInfo(c call) error {
	if err := c.needs(0); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetInfo{})
	if err != nil {
		return err
	}
	out := info{CryptokiVersion: r.CryptokiVersion, Flags: r.Flags, LibraryVersion: r.LibraryVersion}
	pad(out.ManufacturerID[:], r.ManufacturerID)
	pad(out.LibraryDescription[:], r.LibraryDescription)
	return cmem.Store(&out, c.ptr(0), cmem.Host)
}

func getSlotList(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetSlotList{TokenPresent: byte(c.words[0]) != 0})
	if err != nil {
		return err
	}
	return list(c, 1, r.Slots)
}

func getSlotInfo(c call) error {
	if err := c.needs(1); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetSlotInfo{Slot: ck.SlotID(c.words[0])})
	if err != nil {
		return err
	}
	out := slotInfo{Flags: r.Flags, HardwareVersion: r.HardwareVersion, FirmwareVersion: r.FirmwareVersion}
	pad(out.SlotDescription[:], r.SlotDescription)
	pad(out.ManufacturerID[:], r.ManufacturerID)
	return cmem.Store(&out, c.ptr(1), cmem.Host)
}

func getTokenInfo(c call) error {
	if err := c.needs(1); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetTokenInfo{Slot: ck.SlotID(c.words[0])})
	if err != nil {
		return err
	}
	out := tokenInfo{
		Flags:              r.Flags,
		MaxSessionCount:    r.MaxSessionCount,
		SessionCount:       r.SessionCount,
		MaxRwSessionCount:  r.MaxRwSessionCount,
		RwSessionCount:     r.RwSessionCount,
		MaxPinLen:          r.MaxPinLen,
		MinPinLen:          r.MinPinLen,
		TotalPublicMemory:  r.TotalPublicMemory,
		FreePublicMemory:   r.FreePublicMemory,
		TotalPrivateMemory: r.TotalPrivateMemory,
		FreePrivateMemory:  r.FreePrivateMemory,
		HardwareVersion:    r.HardwareVersion,
		FirmwareVersion:    r.FirmwareVersion,
	}
	pad(out.Label[:], r.Label)
	pad(out.ManufacturerID[:], r.ManufacturerID)
	pad(out.Model[:], r.Model)
	pad(out.SerialNumber[:], r.SerialNumber)
	pad(out.UTCTime[:], r.UTCTime)
	return cmem.Store(&out, c.ptr(1), cmem.Host)
}

// gnutlsRoom is the room that GnuTLS has for the mechanisms of a token. It does
// not ask how many there are, and a token with more has none for it. So whoever
// has room for exactly as many gets the first of them, which are the standard's.
const gnutlsRoom = 400

func getMechanismList(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetMechanismList{Slot: ck.SlotID(c.words[0])})
	if err != nil {
		return err
	}
	if c.words[1] != 0 && len(r.Mechanisms) > gnutlsRoom && cmem.LoadULong(c.ptr(2), cmem.Host) == gnutlsRoom {
		r.Mechanisms = r.Mechanisms[:gnutlsRoom]
	}
	return list(c, 1, r.Mechanisms)
}

func getMechanismInfo(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetMechanismInfo{Slot: ck.SlotID(c.words[0]), Type: ck.MechanismType(c.words[1])})
	if err != nil {
		return err
	}
	return cmem.Store(&r, c.ptr(2), cmem.Host)
}

func initToken(c call) error {
	pin, err := c.bytes(1)
	if err != nil || c.needs(3) != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	label := unpad(unsafe.Slice((*byte)(c.ptr(3)), 32))
	return c.do(&p11.InitToken{Slot: ck.SlotID(c.words[0]), PIN: pin, Label: label, Domain: c.in.domain.get()}, new(p11.None))
}

func initPIN(c call) error {
	pin, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.InitPIN{Session: c.session(), PIN: pin}, new(p11.None))
}

func setPIN(c call) error {
	old, err := c.bytes(1)
	if err != nil {
		return err
	}
	pin, err := c.bytes(3)
	if err != nil {
		return err
	}
	return c.do(&p11.SetPIN{Session: c.session(), Old: old, New: pin}, new(p11.None))
}

func waitForSlotEvent(c call) error { return c.wait(1, false) }

// wait waits for an event by the flags that are the first argument. Argument i
// is where the slot goes, the next is reserved.
func (c call) wait(i int, vendor bool) error {
	if c.words[i] == 0 || c.words[i+1] != 0 {
		return ck.CKR_ARGUMENTS_BAD
	}
	block := ck.Flags(c.words[0])&ck.CKF_DONT_BLOCK == 0
	r, err := p11.Call(c.in.waiting, c.in.module, &p11.WaitForSlotEvent{Block: block, Vendor: vendor})
	if c.in.waiting.Err() != nil {
		return ck.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if err != nil {
		return err
	}
	set(c, i, r.Slot)
	return nil
}
