package capi

import (
	"slices"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The audit log by the vendor's functions.

// recordLength is the length of a line of the log with its newline.
const recordLength = 448

// rotations are the intervals by number.
var rotations = []string{
	ck.CA_LOG_ROTATE_NEVER:   "never",
	ck.CA_LOG_ROTATE_HOURLY:  "hourly",
	ck.CA_LOG_ROTATE_DAILY:   "daily",
	ck.CA_LOG_ROTATE_WEEKLY:  "weekly",
	ck.CA_LOG_ROTATE_MONTHLY: "monthly",
}

// initAudit makes the Auditor. The administration has no label of the Auditor's.
func initAudit(c call) error {
	pin, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.toHSM(&p11.InitAuditor{PIN: pin, Domain: c.in.domain.get()})
}

// setLogConfig changes what the arguments are about, and keeps the rest.
func setLogConfig(c call) error {
	if c.number(3) >= uint64(len(rotations)) || c.number(1) > 1<<32-1 {
		return ck.CKR_ARGUMENTS_BAD
	}
	config, err := ask(c, &p11.GetAuditConfig{Session: c.session()})
	if err != nil {
		return err
	}
	config.Mask, config.Rotation = uint32(c.number(1)), rotations[c.number(3)]
	if c.number(4) != 0 {
		config.FileSize = c.number(4)
	}
	return c.do(&p11.SetAuditConfig{Session: c.session(), Config: config}, new(p11.None))
}

func getLogConfig(c call) error {
	config, err := ask(c, &p11.GetAuditConfig{Session: c.session()})
	if err != nil {
		return err
	}
	rotation := max(0, slices.Index(rotations, config.Rotation))
	c.numbers(1, uint64(config.Mask), 0, uint64(rotation), config.FileSize)
	return nil
}

// verified tells how many records are right, and whether all are.
func (c call) verified(i int, r p11.AuditVerification, err error) error {
	if err != nil {
		return err
	}
	set(c, i, r.Records)
	if len(r.Faults) > 0 {
		return ck.CKR_LOG_BAD_RECORD_HMAC
	}
	return nil
}

func verifyLog(c call) error {
	if c.needs(1, 4) != nil || c.number(2) > maxBytes/recordLength {
		return ck.CKR_ARGUMENTS_BAD
	}
	records, err := input(c.ptr(1), c.words[2]*recordLength)
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.VerifyAuditRecords{Session: c.session(), Records: records, ToHSM: c.number(3) != 0})
	return c.verified(4, r, err)
}

func verifyLogFile(c call) error {
	if err := c.needs(1, 2); err != nil {
		return err
	}
	r, err := ask(c, &p11.VerifyAuditFiles{Session: c.session(), Paths: []string{c.cString(1)}})
	return c.verified(2, r, err)
}

// cString is the text that argument i points to, up to a zero.
func (c call) cString(i int) string {
	const longest = 4096
	var b []byte
	for p := (*byte)(c.ptr(i)); *p != 0 && len(b) < longest; p = (*byte)(unsafe.Add(unsafe.Pointer(p), 1)) {
		b = append(b, *p)
	}
	return string(b)
}

func logExternal(c call) error {
	message, err := c.bytes(2)
	if err != nil {
		return err
	}
	return c.do(&p11.LogExternal{Session: ck.SessionHandle(c.words[1]), Message: string(message)}, new(p11.None))
}

func exportLogSecret(c call) error {
	out, err := c.output(1)
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.ExportAuditSecret{Session: c.session()})
	if err != nil {
		return err
	}
	return c.give(1, out, r.Data)
}

func importLogSecret(c call) error {
	secret, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.ImportAuditSecret{Session: c.session(), Data: secret}, new(p11.AuditSecretInfo))
}
