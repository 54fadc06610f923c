package capi

import (
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestVendorCloning(t *testing.T) {
	id := p11.OUID{1, 2, 3, 11: 9}
	var got []p11.Request
	use(t, func(req p11.Request, reply any) error {
		switch req.(type) {
		case *p11.ListPartitions:
			*reply.(*p11.PartitionList) = p11.PartitionList{Partitions: []p11.PartitionInfo{{Slot: 4}}}
			return nil
		case *p11.GetObjectUID:
			reply.(*p11.ObjectUID).UID = id
		case *p11.GetObjectHandle, *p11.CloneObject, *p11.CloneAsTarget:
			reply.(*p11.Handle).Object = 77
		case *p11.GetObjectSize:
			reply.(*p11.Size).Bytes = 100
		case *p11.CloneAsTargetInit, *p11.CloneAsSource:
			reply.(*p11.ClonePart).Part = []byte("a part")
		}
		got = append(got, clone(req))
		return nil
	})
	uid, kind, handle := make([]byte, 12), []uint64{9}, []uint64{0}
	part, n := make([]byte, 16), []uint64{16}
	dom := []byte("a domain")
	label := slices.Repeat([]byte(" "), 32)
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_GetObjectUID", []any{0, 5, 0, 8, uid}, &p11.GetObjectUID{Slot: 4, Object: 8}},
		{"CA_GetTokenObjectUID", []any{4, 0, 8, uid}, &p11.GetObjectUID{Slot: 4, Object: 8}},
		{"CA_GetObjectHandle", []any{0, 5, id[:], kind, handle}, &p11.GetObjectHandle{Slot: 4, UID: id}},
		{"CA_GetTokenObjectHandle", []any{4, id[:], kind, handle}, &p11.GetObjectHandle{Slot: 4, UID: id}},
		{"CA_SetKCV", []any{3, dom, 8}, &p11.SetCloningDomain{Session: 3, Domain: dom}},
		{"CA_SetRDK", []any{3, dom, 8}, &p11.SetCloningDomain{Session: 3, Domain: dom}},
		{"CA_CloneObject", []any{3, 2, 0, 8, handle}, &p11.CloneObject{Session: 3, Source: 2, Object: 8}},
		{"CA_CloneAsTargetInit", []any{3, nil, 0, nil, 0, 0, part, n}, &p11.CloneAsTargetInit{Session: 3}},
		{"CA_CloneAsSource", []any{2, 0, 8, part, 6, 0, part, n}, &p11.CloneAsSource{Session: 2, Object: 8, Part: []byte("a part")}},
		{"CA_CloneAsTarget", []any{3, nil, 0, part, 6, 0, 0, 0, handle}, &p11.CloneAsTarget{Session: 3, Part: []byte("a part")}},
	} {
		got, n[0] = nil, 16
		want(t, ck.CKR_OK, c.function, c.args...)
		if len(got) != 1 || !reflect.DeepEqual(got[0], c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	if !slices.Equal(uid, id[:]) || kind[0] != 0 || handle[0] != 77 || n[0] != 16 && n[0] != 6 {
		t.Error(uid, kind, handle, n)
	}

	// The lengths are known without making a part.
	got = nil
	want(t, ck.CKR_OK, "CA_CloneAsTargetInit", 3, nil, 0, nil, 0, 0, nil, n)
	if n[0] != maxPart1 || got != nil {
		t.Errorf("part 1 may have %d bytes; asked %v", n[0], got)
	}
	want(t, ck.CKR_OK, "CA_CloneAsSource", 2, 0, 8, part, 6, 0, nil, n)
	if n[0] != 100+moreInPart2 {
		t.Errorf("part 2 may have %d bytes", n[0])
	}
	n[0] = 5
	want(t, ck.CKR_BUFFER_TOO_SMALL, "CA_CloneAsTargetInit", 3, nil, 0, nil, 0, 0, part, n)
	if n[0] != 6 {
		t.Errorf("part 1 has %d bytes", n[0])
	}

	// A domain that is set beforehand goes to the next partition.
	want(t, ck.CKR_OK, "CA_SetCloningDomain", dom, 8)
	clear(dom)
	got = nil
	want(t, ck.CKR_OK, "C_InitToken", 4, pin, 4, label)
	if q, ok := got[0].(*p11.InitToken); !ok || string(q.Domain) != "a domain" {
		t.Errorf("%#v", got)
	}
	want(t, ck.CKR_OK, "CA_SetCloningDomain", nil, 0)
	got = nil
	want(t, ck.CKR_OK, "C_InitToken", 4, pin, 4, label)
	if q := got[0].(*p11.InitToken); len(q.Domain) != 0 {
		t.Errorf("%#v", q)
	}

	for function, args := range map[string][]any{
		"CA_GetTokenObjectUID": {4, 0, 8, nil}, "CA_GetTokenObjectHandle": {4, nil, kind, handle},
		"CA_CloneObject": {3, 2, 0, 8, nil}, "CA_SetKCV": {3, nil, 8}, "CA_SetCloningDomain": {nil, 8},
		"CA_CloneAsTarget": {3, nil, 0, part, 6, 0, 0, 0, nil},
	} {
		want(t, ck.CKR_ARGUMENTS_BAD, function, args...)
	}
	want(t, ck.CKR_OBJECT_TYPE_INVALID, "CA_CloneObject", 3, 2, 1, 8, handle)
}
