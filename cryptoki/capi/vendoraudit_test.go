package capi

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestVendorAudit(t *testing.T) {
	var got p11.Request
	var faults []p11.AuditFault
	use(t, func(req p11.Request, reply any) error {
		switch q := req.(type) {
		case *p11.GetAuditConfig:
			*reply.(*p11.AuditConfig) = p11.AuditConfig{Mask: 7, Rotation: "weekly", FileSize: 100, Limit: 5}
			return nil
		case *p11.VerifyAuditRecords:
			got = &p11.VerifyAuditRecords{Session: q.Session, Records: bytes.Clone(q.Records), ToHSM: q.ToHSM}
			*reply.(*p11.AuditVerification) = p11.AuditVerification{Records: 2, Faults: faults}
			return nil
		case *p11.VerifyAuditFiles:
			*reply.(*p11.AuditVerification) = p11.AuditVerification{Records: 9, Faults: faults}
		case *p11.ExportAuditSecret:
			*reply.(*p11.AuditSecret) = p11.AuditSecret{Data: []byte("sealed")}
		}
		got = clone(req)
		return nil
	})
	lines := bytes.Repeat([]byte{'x'}, 2*recordLength)
	n, out := []uint64{6}, make([]byte, 6)
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_InitAudit", []any{uint64(p11.AdminSlot), pin, 4, nil}, &p11.InitAuditor{PIN: pin[:4]}},
		{"CA_LogSetConfig", []any{3, 0x23, 0, 2, 0, nil},
			&p11.SetAuditConfig{Session: 3, Config: p11.AuditConfig{Mask: 0x23, Rotation: "daily", FileSize: 100, Limit: 5}}},
		{"CA_LogVerify", []any{3, lines, 2, 1, n}, &p11.VerifyAuditRecords{Session: 3, Records: lines, ToHSM: true}},
		{"CA_LogVerifyFile", []any{3, []byte("a.log\x00"), n}, &p11.VerifyAuditFiles{Session: 3, Paths: []string{"a.log"}}},
		{"CA_LogExternal", []any{4, 3, []byte("hello"), 5}, &p11.LogExternal{Session: 3, Message: "hello"}},
		{"CA_LogExportSecret", []any{3, out, n}, &p11.ExportAuditSecret{Session: 3}},
		{"CA_LogImportSecret", []any{3, []byte("sealed"), 6}, &p11.ImportAuditSecret{Session: 3, Data: []byte("sealed")}},
	} {
		n[0] = uint64(len(out))
		want(t, ck.CKR_OK, c.function, c.args...)
		if !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	if string(out) != "sealed" {
		t.Errorf("secret %q", out)
	}
	mask, offset, interval, size := []uint64{0}, []uint64{9}, []uint64{0}, []uint64{0}
	want(t, ck.CKR_OK, "CA_LogGetConfig", 3, mask, offset, interval, size)
	if mask[0] != 7 || offset[0] != 0 || interval[0] != 3 || size[0] != 100 {
		t.Error(mask, offset, interval, size)
	}
	faults = []p11.AuditFault{{Text: "record 3 was changed"}}
	want(t, ck.CKR_LOG_BAD_RECORD_HMAC, "CA_LogVerify", 3, lines, 2, 0, n)
	if n[0] != 2 {
		t.Errorf("%d records verified", n[0])
	}
	for function, args := range map[string][]any{
		"CA_InitAudit": {uint64(p11.AdminSlot), nil, 4, nil}, "CA_LogSetConfig": {3, 1, 0, 5, 0, nil},
		"CA_LogVerify": {3, lines, ^uint64(0), 1, n}, "CA_LogVerifyFile": {3, nil, n},
		"CA_LogExportSecret": {3, out, nil}, "CA_LogExternal": {4, 3, nil, 5},
	} {
		want(t, ck.CKR_ARGUMENTS_BAD, function, args...)
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_LogVerify", 3, ^uint64(0)-100, 1, 1, n) // beyond the end of memory
	want(t, ck.CKR_SLOT_ID_INVALID, "CA_InitAudit", 4, pin, 4, nil)
}
