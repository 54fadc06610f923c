package capi

import (
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestDeriveKeyAndWrap(t *testing.T) {
	var asked []p11.Kind
	var refuse error
	use(t, func(req p11.Request, reply any) error {
		asked = append(asked, req.Kind())
		switch q := req.(type) {
		case *p11.DeriveKey:
			reply.(*p11.Handle).Object = 77
		case *p11.WrapKey:
			if q.Key != 77 || q.WrappingKey != 9 {
				t.Errorf("wraps %+v", q)
			}
			reply.(*p11.Length).N = 3
			copy(q.Out.Buf, "abc")
			return refuse
		case *p11.DestroyObject:
			if q.Object != 77 {
				t.Errorf("destroys %d", q.Object)
			}
		}
		return nil
	})
	out, n := make([]byte, 8), []uint64{8}
	args := []any{3, sha256Mechanism(), 8, template(), 3, sha256Mechanism(), 9, out, n}
	all := []p11.Kind{p11.KindDeriveKey, p11.KindWrapKey, p11.KindDestroyObject}
	want(t, ck.CKR_OK, "CA_DeriveKeyAndWrap", args...)
	if string(out[:n[0]]) != "abc" || !slices.Equal(asked, all) {
		t.Errorf("%q of %v", out[:n[0]], asked)
	}
	// The key goes in any case.
	asked, refuse, n[0] = nil, ck.CKR_KEY_UNEXTRACTABLE, 8
	want(t, ck.CKR_KEY_UNEXTRACTABLE, "CA_DeriveKeyAndWrap", args...)
	if !slices.Equal(asked, all) {
		t.Errorf("asks %v", asked)
	}
	asked = nil
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_DeriveKeyAndWrap", 3, sha256Mechanism(), 8, template(), 3, nil, 9, out, n)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_DeriveKeyAndWrap", 3, sha256Mechanism(), 8, template(), 3, sha256Mechanism(), 9, out, nil)
	if asked != nil {
		t.Errorf("asks %v", asked)
	}
}
