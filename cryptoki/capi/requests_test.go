package capi

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// What the functions are called with.
var (
	bufA = []byte("input one")
	bufB = []byte("another input")
	bufC = []byte("a third")
	room = make([]byte, 40)
	pin  = []byte("a pin")
)

func size() []uint64 { return []uint64{uint64(len(room))} }

func sha256Mechanism() []cMechanism { return []cMechanism{{Type: uint64(ck.CKM_SHA256)}} }

func template() []cAttribute {
	return []cAttribute{
		attribute(ck.CKA_LABEL, []byte("label")),
		attribute(ck.CKA_CLASS, ck.PutULong(ck.CKO_DATA)),
		{Type: uint64(ck.CKA_ID)},
	}
}

// Every argument of every function arrives in the request where it belongs.
func TestRequests(t *testing.T) {
	mech := &ck.Mechanism{Type: ck.CKM_SHA256}
	attrs := []ck.Attribute{
		{Type: ck.CKA_LABEL, Value: []byte("label")},
		{Type: ck.CKA_CLASS, Value: ck.PutULong(ck.CKO_DATA)},
		{Type: ck.CKA_ID},
	}
	out := p11.Output{Buf: room}
	label := []byte("a label" + strings.Repeat(" ", 25))
	n := func(b []byte) int { return len(b) }

	type row struct {
		function string
		args     []any
		request  p11.Request
	}
	rows := []row{
		{"C_GetInfo", []any{make([]byte, 88)}, &p11.GetInfo{}},
		{"C_GetSlotList", []any{1, room, size()}, &p11.GetSlotList{TokenPresent: true}},
		{"C_GetSlotList", []any{0, room, size()}, &p11.GetSlotList{}},
		{"C_GetSlotInfo", []any{7, make([]byte, 112)}, &p11.GetSlotInfo{Slot: 7}},
		{"C_GetTokenInfo", []any{7, make([]byte, 208)}, &p11.GetTokenInfo{Slot: 7}},
		{"C_WaitForSlotEvent", []any{0, room, nil}, &p11.WaitForSlotEvent{Block: true}},
		{"C_WaitForSlotEvent", []any{uint64(ck.CKF_DONT_BLOCK), room, nil}, &p11.WaitForSlotEvent{}},
		{"C_GetMechanismList", []any{7, room, size()}, &p11.GetMechanismList{Slot: 7}},
		{"C_GetMechanismInfo", []any{7, 0x250, room}, &p11.GetMechanismInfo{Slot: 7, Type: ck.CKM_SHA256}},
		{"C_InitToken", []any{7, pin, n(pin), label}, &p11.InitToken{Slot: 7, PIN: pin, Label: "a label"}},
		{"C_InitPIN", []any{1, pin, n(pin)}, &p11.InitPIN{Session: 1, PIN: pin}},
		{"C_SetPIN", []any{1, pin, n(pin), bufA, n(bufA)}, &p11.SetPIN{Session: 1, Old: pin, New: bufA}},
		{"C_OpenSession", []any{7, 6, nil, nil, room}, &p11.OpenSession{Slot: 7, Flags: 6}},
		{"C_CloseSession", []any{1}, &p11.CloseSession{Session: 1}},
		{"C_CloseAllSessions", []any{7}, &p11.CloseAllSessions{Slot: 7}},
		{"C_GetSessionInfo", []any{1, room}, &p11.GetSessionInfo{Session: 1}},
		{"C_SessionCancel", []any{1, 0x100}, &p11.SessionCancel{Session: 1, Flags: 0x100}},
		{"C_GetOperationState", []any{1, room, size()}, &p11.GetOperationState{Session: 1, Out: out}},
		{"C_SetOperationState", []any{1, bufA, n(bufA), 3, 4}, &p11.SetOperationState{Session: 1, State: bufA, EncryptionKey: 3, AuthKey: 4}},
		{"C_Login", []any{1, 2, pin, n(pin)}, &p11.Login{Session: 1, User: 2, PIN: pin}},
		{"C_LoginUser", []any{1, 2, pin, n(pin), bufC, n(bufC)}, &p11.Login{Session: 1, User: 2, PIN: pin, Username: "a third", ByName: true}},
		{"C_Logout", []any{1}, &p11.Logout{Session: 1}},

		{"C_CreateObject", []any{1, template(), 3, room}, &p11.CreateObject{Session: 1, Template: attrs}},
		{"C_CopyObject", []any{1, 9, template(), 3, room}, &p11.CopyObject{Session: 1, Object: 9, Template: attrs}},
		{"C_DestroyObject", []any{1, 9}, &p11.DestroyObject{Session: 1, Object: 9}},
		{"C_GetObjectSize", []any{1, 9, room}, &p11.GetObjectSize{Session: 1, Object: 9}},
		{"C_SetAttributeValue", []any{1, 9, template(), 3}, &p11.SetAttributeValue{Session: 1, Object: 9, Template: attrs}},
		{"C_FindObjectsInit", []any{1, template(), 3}, &p11.FindObjectsInit{Session: 1, Template: attrs}},
		{"C_FindObjectsInit", []any{1, nil, 0}, &p11.FindObjectsInit{Session: 1}},
		{"C_FindObjects", []any{1, room, 5, size()}, &p11.FindObjects{Session: 1, Max: 5}},
		{"C_FindObjectsFinal", []any{1}, &p11.FindObjectsFinal{Session: 1}},

		{"C_DigestKey", []any{1, 9}, &p11.DigestKey{Session: 1, Key: 9}},
		{"C_DigestEncryptUpdate", []any{1, bufA, n(bufA), room, size()},
			&p11.DualUpdate{Session: 1, First: p11.OpDigest, Second: p11.OpEncrypt, In: bufA, Out: out}},
		{"C_DecryptDigestUpdate", []any{1, bufA, n(bufA), room, size()},
			&p11.DualUpdate{Session: 1, First: p11.OpDigest, Second: p11.OpDecrypt, In: bufA, Out: out}},
		{"C_SignEncryptUpdate", []any{1, bufA, n(bufA), room, size()},
			&p11.DualUpdate{Session: 1, First: p11.OpSign, Second: p11.OpEncrypt, In: bufA, Out: out}},
		{"C_DecryptVerifyUpdate", []any{1, bufA, n(bufA), room, size()},
			&p11.DualUpdate{Session: 1, First: p11.OpVerify, Second: p11.OpDecrypt, In: bufA, Out: out}},
		{"C_Verify", []any{1, bufA, n(bufA), bufB, n(bufB)},
			&p11.Finish{Session: 1, Op: p11.OpVerify, Single: true, In: bufA, Signature: bufB}},
		{"C_VerifyFinal", []any{1, bufA, n(bufA)}, &p11.Finish{Session: 1, Op: p11.OpVerify, Signature: bufA}},
		{"C_VerifyRecover", []any{1, bufA, n(bufA), room, size()},
			&p11.Finish{Session: 1, Op: p11.OpVerifyRecover, Single: true, Signature: bufA, Out: out}},

		{"C_GenerateKey", []any{1, sha256Mechanism(), template(), 3, room},
			&p11.GenerateKey{Session: 1, Mechanism: mech, Template: attrs}},
		{"C_GenerateKeyPair", []any{1, sha256Mechanism(), template(), 3, template(), 1, room, room},
			&p11.GenerateKeyPair{Session: 1, Mechanism: mech, Public: attrs, Private: attrs[:1]}},
		{"C_WrapKey", []any{1, sha256Mechanism(), 8, 9, room, size()},
			&p11.WrapKey{Session: 1, Mechanism: mech, WrappingKey: 8, Key: 9, Out: out}},
		{"C_UnwrapKey", []any{1, sha256Mechanism(), 8, bufA, n(bufA), template(), 3, room},
			&p11.UnwrapKey{Session: 1, Mechanism: mech, UnwrappingKey: 8, Wrapped: bufA, Template: attrs}},
		{"C_DeriveKey", []any{1, sha256Mechanism(), 8, template(), 3, room},
			&p11.DeriveKey{Session: 1, Mechanism: mech, BaseKey: 8, Template: attrs}},
		{"C_DeriveKey", []any{1, sha256Mechanism(), 8, template(), 3, nil},
			&p11.DeriveKey{Session: 1, Mechanism: mech, BaseKey: 8, Template: attrs, NoHandle: true}},
		{"C_WrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, 9, bufA, n(bufA), room, size()},
			&p11.WrapKey{Session: 1, Mechanism: mech, WrappingKey: 8, Key: 9, Authenticated: true, AAD: bufA, Out: out}},
		{"C_UnwrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, bufA, n(bufA), template(), 3, bufB, n(bufB), room},
			&p11.UnwrapKey{Session: 1, Mechanism: mech, UnwrappingKey: 8, Wrapped: bufA, Authenticated: true, AAD: bufB, Template: attrs}},
		{"C_EncapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, room, size(), make([]byte, 8)},
			&p11.EncapsulateKey{Session: 1, Mechanism: mech, PublicKey: 8, Template: attrs, Out: out}},
		{"C_EncapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, nil, size(), nil},
			&p11.EncapsulateKey{Session: 1, Mechanism: mech, PublicKey: 8, Template: attrs, Out: p11.Output{Query: true}}},
		{"C_DecapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, bufA, n(bufA), room},
			&p11.DecapsulateKey{Session: 1, Mechanism: mech, PrivateKey: 8, Ciphertext: bufA, Template: attrs}},
		{"C_VerifySignatureInit", []any{1, sha256Mechanism(), 9, bufA, n(bufA)},
			&p11.Begin{Session: 1, Op: p11.OpVerifySignature, Mechanism: mech, Key: 9, Signature: bufA}},
		{"C_VerifySignature", []any{1, bufA, n(bufA)},
			&p11.Finish{Session: 1, Op: p11.OpVerifySignature, Single: true, In: bufA}},
		{"C_VerifySignatureUpdate", []any{1, bufA, n(bufA)}, &p11.Update{Session: 1, Op: p11.OpVerifySignature, In: bufA}},
		{"C_VerifySignatureFinal", []any{1}, &p11.Finish{Session: 1, Op: p11.OpVerifySignature}},
		{"C_GetSessionValidationFlags", []any{1, 1, room}, &p11.GetValidationFlags{Session: 1, Type: 1}},
		{"C_SeedRandom", []any{1, bufA, n(bufA)}, &p11.SeedRandom{Session: 1, Seed: bufA}},
		{"C_GenerateRandom", []any{1, room, 40}, &p11.GenerateRandom{Session: 1, Buf: room}},
		{"C_GenerateRandom", []any{1, nil, 0}, &p11.GenerateRandom{Session: 1}},

		{"C_SignMessage", []any{1, nil, 0, bufA, n(bufA), room, size()},
			&p11.Message{Session: 1, Op: p11.OpMessageSign, Whole: true, In: bufA, Out: out}},
		{"C_SignMessageBegin", []any{1, nil, 0}, &p11.Message{Session: 1, Op: p11.OpMessageSign, Start: true}},
		{"C_SignMessageNext", []any{1, nil, 0, bufA, n(bufA), nil, nil},
			&p11.Message{Session: 1, Op: p11.OpMessageSign, In: bufA}},
		{"C_SignMessageNext", []any{1, nil, 0, bufA, n(bufA), room, size()},
			&p11.Message{Session: 1, Op: p11.OpMessageSign, Last: true, In: bufA, Out: out}},
		{"C_VerifyMessage", []any{1, nil, 0, bufA, n(bufA), bufB, n(bufB)},
			&p11.Message{Session: 1, Op: p11.OpMessageVerify, Whole: true, In: bufA, Signature: bufB}},
		{"C_VerifyMessageBegin", []any{1, nil, 0}, &p11.Message{Session: 1, Op: p11.OpMessageVerify, Start: true}},
		{"C_VerifyMessageNext", []any{1, nil, 0, bufA, n(bufA), nil, 0},
			&p11.Message{Session: 1, Op: p11.OpMessageVerify, In: bufA}},
		{"C_VerifyMessageNext", []any{1, nil, 0, bufA, n(bufA), bufB, n(bufB)},
			&p11.Message{Session: 1, Op: p11.OpMessageVerify, Last: true, In: bufA, Signature: bufB}},
	}
	for _, kind := range []struct {
		name string
		op   p11.Operation
	}{
		{"Encrypt", p11.OpEncrypt}, {"Decrypt", p11.OpDecrypt}, {"Digest", p11.OpDigest}, {"Sign", p11.OpSign},
		{"Verify", p11.OpVerify}, {"SignRecover", p11.OpSignRecover}, {"VerifyRecover", p11.OpVerifyRecover},
	} {
		key := ck.ObjectHandle(9)
		if kind.op == p11.OpDigest {
			key = 0
		}
		rows = append(rows,
			row{"C_" + kind.name + "Init", []any{1, sha256Mechanism(), 9},
				&p11.Begin{Session: 1, Op: kind.op, Mechanism: mech, Key: key}},
			row{"C_" + kind.name + "Init", []any{1, nil, 9}, &p11.Begin{Session: 1, Op: kind.op, Key: key}})
		if !strings.Contains(kind.name, "Verify") {
			rows = append(rows, row{"C_" + kind.name, []any{1, bufA, n(bufA), room, size()},
				&p11.Finish{Session: 1, Op: kind.op, Single: true, In: bufA, Out: out}})
		}
		switch kind.op {
		case p11.OpEncrypt, p11.OpDecrypt:
			rows = append(rows, row{"C_" + kind.name + "Update", []any{1, bufA, n(bufA), room, size()},
				&p11.Update{Session: 1, Op: kind.op, In: bufA, Out: out}})
		case p11.OpDigest, p11.OpSign, p11.OpVerify:
			rows = append(rows, row{"C_" + kind.name + "Update", []any{1, bufA, n(bufA)},
				&p11.Update{Session: 1, Op: kind.op, In: bufA}})
		}
		switch kind.op {
		case p11.OpEncrypt, p11.OpDecrypt, p11.OpDigest, p11.OpSign:
			rows = append(rows, row{"C_" + kind.name + "Final", []any{1, room, size()},
				&p11.Finish{Session: 1, Op: kind.op, Out: out}})
		}
	}
	for name, op := range map[string]p11.Operation{"Encrypt": p11.OpMessageEncrypt, "Decrypt": p11.OpMessageDecrypt} {
		rows = append(rows,
			row{"C_" + name + "Message", []any{1, nil, 0, bufB, n(bufB), bufA, n(bufA), room, size()},
				&p11.Message{Session: 1, Op: op, Whole: true, AAD: bufB, In: bufA, Out: out}},
			row{"C_" + name + "MessageBegin", []any{1, nil, 0, bufB, n(bufB)},
				&p11.Message{Session: 1, Op: op, Start: true, AAD: bufB}},
			row{"C_" + name + "MessageNext", []any{1, nil, 0, bufA, n(bufA), room, size(), 0},
				&p11.Message{Session: 1, Op: op, In: bufA, Out: out}},
			row{"C_" + name + "MessageNext", []any{1, nil, 0, bufA, n(bufA), room, size(), uint64(ck.CKF_END_OF_MESSAGE)},
				&p11.Message{Session: 1, Op: op, Last: true, In: bufA, Out: out}})
	}
	for name, op := range map[string]p11.Operation{
		"Encrypt": p11.OpMessageEncrypt, "Decrypt": p11.OpMessageDecrypt,
		"Sign": p11.OpMessageSign, "Verify": p11.OpMessageVerify,
	} {
		rows = append(rows,
			row{"C_Message" + name + "Init", []any{1, sha256Mechanism(), 9},
				&p11.Begin{Session: 1, Op: op, Mechanism: mech, Key: 9}},
			row{"C_Message" + name + "Final", []any{1}, &p11.EndMessages{Session: 1, Op: op}})
	}

	var got []p11.Request
	use(t, func(req p11.Request, _ any) error {
		got = append(got, clone(req))
		return nil
	})
	seen := map[string]bool{"C_Initialize": true, "C_Finalize": true, "C_GetAttributeValue": true} // elsewhere
	for _, r := range rows {
		seen[r.function] = true
		got = nil
		if rv := callC(r.function, r.args...); rv != ck.CKR_OK {
			t.Errorf("%s: %v", r.function, rv)
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], r.request) {
			t.Errorf("%s: asks %+v, want %+v", r.function, got, r.request)
		}
	}
	for i, f := range functions[:len(ck.FunctionNames)] { // the vendor's: vendor_test.go
		if f.run != nil && !seen[name(i)] && callC(name(i)) != ck.CKR_FUNCTION_NOT_SUPPORTED && callC(name(i)) != ck.CKR_FUNCTION_NOT_PARALLEL {
			t.Errorf("%s: no test", name(i))
		}
	}
}

// clone copies a request whose memory is about to be used again.
func clone(req p11.Request) p11.Request {
	v := reflect.New(reflect.TypeOf(req).Elem())
	v.Elem().Set(reflect.ValueOf(req).Elem())
	for i := range v.Elem().NumField() {
		if list, ok := v.Elem().Field(i).Interface().([]ck.Attribute); ok {
			var copied []ck.Attribute
			for _, a := range list {
				copied = append(copied, ck.Attribute{Type: a.Type, Value: append([]byte(nil), a.Value...)})
			}
			v.Elem().Field(i).Set(reflect.ValueOf(copied))
		}
		if m, ok := v.Elem().Field(i).Interface().(*ck.Mechanism); ok && m != nil {
			copied := *m
			v.Elem().Field(i).Set(reflect.ValueOf(&copied))
		}
	}
	return v.Interface().(p11.Request)
}

// The functions with an output, as which argument.
var outputs = []struct {
	function string
	args     []any // before the output
	after    []any
}{
	{"C_Encrypt", []any{1, bufA, len(bufA)}, nil},
	{"C_EncryptUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_EncryptFinal", []any{1}, nil},
	{"C_Decrypt", []any{1, bufA, len(bufA)}, nil},
	{"C_DecryptUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_DecryptFinal", []any{1}, nil},
	{"C_Digest", []any{1, bufA, len(bufA)}, nil},
	{"C_DigestFinal", []any{1}, nil},
	{"C_Sign", []any{1, bufA, len(bufA)}, nil},
	{"C_SignFinal", []any{1}, nil},
	{"C_SignRecover", []any{1, bufA, len(bufA)}, nil},
	{"C_VerifyRecover", []any{1, bufA, len(bufA)}, nil},
	{"C_DigestEncryptUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_DecryptDigestUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_SignEncryptUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_DecryptVerifyUpdate", []any{1, bufA, len(bufA)}, nil},
	{"C_WrapKey", []any{1, sha256Mechanism(), 2, 3}, nil},
	{"C_GetOperationState", []any{1}, nil},
	{"C_EncryptMessage", []any{1, nil, 0, nil, 0, bufA, len(bufA)}, nil},
	{"C_EncryptMessageNext", []any{1, nil, 0, bufA, len(bufA)}, []any{0}},
	{"C_DecryptMessage", []any{1, nil, 0, nil, 0, bufA, len(bufA)}, nil},
	{"C_DecryptMessageNext", []any{1, nil, 0, bufA, len(bufA)}, []any{0}},
	{"C_SignMessage", []any{1, nil, 0, bufA, len(bufA)}, nil},
	{"C_SignMessageNext", []any{1, nil, 0, bufA, len(bufA)}, nil},
}

func outputOf(req p11.Request) p11.Output {
	return reflect.ValueOf(req).Elem().FieldByName("Out").Interface().(p11.Output)
}

// The convention of section 5.2, for every function that has an output.
func TestLengths(t *testing.T) {
	const answer = "the answer"
	computed := 0
	use(t, func(req p11.Request, reply any) error {
		out := outputOf(req)
		reply.(*p11.Length).N = len(answer)
		if out.Query {
			return nil
		}
		if len(out.Buf) < len(answer) {
			return ck.CKR_BUFFER_TOO_SMALL
		}
		computed++
		copy(out.Buf, answer)
		return nil
	})
	for _, o := range outputs {
		t.Run(o.function, func(t *testing.T) {
			call := func(rv ck.RV, buf any, length any) {
				t.Helper()
				want(t, rv, o.function, append(append(append([]any{}, o.args...), buf, length), o.after...)...)
			}
			computed = 0
			buf, length := bytes.Repeat([]byte{'.'}, 16), []uint64{999}
			call(ck.CKR_OK, nil, length)
			if length[0] != 10 || computed != 0 {
				t.Errorf("query: length %d, computed %d", length[0], computed)
			}
			length[0] = 9
			call(ck.CKR_BUFFER_TOO_SMALL, buf, length)
			if length[0] != 10 || computed != 0 || string(buf) != "................" {
				t.Errorf("too small: length %d, computed %d, buffer %q", length[0], computed, buf)
			}
			length[0] = 16
			call(ck.CKR_OK, buf, length)
			if length[0] != 10 || computed != 1 || string(buf) != "the answer......" {
				t.Errorf("length %d, computed %d, buffer %q", length[0], computed, buf)
			}
		})
	}
}

// A length is told only where there is one, and refusals touch nothing.
func TestLengthsAfterErrors(t *testing.T) {
	answering(t, p11.Length{N: 5}, ck.CKR_DATA_INVALID)
	for _, o := range outputs {
		length := []uint64{40}
		want(t, ck.CKR_DATA_INVALID, o.function, append(append(append([]any{}, o.args...), room, length), o.after...)...)
		if length[0] != 40 {
			t.Errorf("%s: length %d", o.function, length[0])
		}
	}
}

// Input that overlaps the output is what it was before the output was written.
func TestOverlap(t *testing.T) {
	use(t, func(req p11.Request, reply any) error {
		f := req.(*p11.Finish)
		for i := range f.Out.Buf {
			f.Out.Buf[i] = '#' // before the input is read
		}
		reply.(*p11.Length).N = copy(f.Out.Buf, f.In)
		return nil
	})
	for shift := range 30 {
		mem := []byte("0123456789abcdefghijklmnopqrstuvwxyz????")
		in, length := mem[10:20], []uint64{10}
		want(t, ck.CKR_OK, "C_Encrypt", 1, in, len(in), mem[shift:], length)
		got := string(mem[shift:][:length[0]])
		if shift != 10 && got != "abcdefghij" {
			t.Errorf("output %d bytes from the start of the input: %q", shift-10, got)
		}
		if shift == 10 && got != "##########" {
			t.Errorf("the same memory was copied: %q", got)
		}
	}
}

// Arguments that cannot be served are refused, and the operation ends.
func TestBadArguments(t *testing.T) {
	const absurd = ^uint64(0)
	var cancelled []p11.Operation
	use(t, func(req p11.Request, _ any) error {
		b, ok := req.(*p11.Begin)
		if !ok || b.Mechanism != nil {
			return fmt.Errorf("%w: %T reached the module", ck.CKR_DEVICE_ERROR, req)
		}
		cancelled = append(cancelled, b.Op)
		return nil
	})
	for _, c := range []struct {
		function string
		args     []any
		ends     []p11.Operation
	}{
		{"C_GetInfo", []any{nil}, nil},
		{"C_GetSlotList", []any{1, room, nil}, nil},
		{"C_GetSlotInfo", []any{1, nil}, nil},
		{"C_GetTokenInfo", []any{1, nil}, nil},
		{"C_GetMechanismList", []any{1, room, nil}, nil},
		{"C_GetMechanismInfo", []any{1, 1, nil}, nil},
		{"C_InitToken", []any{1, pin, 5, nil}, nil},
		{"C_InitToken", []any{1, nil, 5, room}, nil},
		{"C_InitPIN", []any{1, nil, 5}, nil},
		{"C_SetPIN", []any{1, nil, 5, pin, 5}, nil},
		{"C_SetPIN", []any{1, pin, 5, nil, 5}, nil},
		{"C_OpenSession", []any{1, 6, nil, nil, nil}, nil},
		{"C_GetSessionInfo", []any{1, nil}, nil},
		{"C_GetOperationState", []any{1, room, nil}, nil},
		{"C_SetOperationState", []any{1, nil, 5, 0, 0}, nil},
		{"C_Login", []any{1, 1, nil, 5}, nil},
		{"C_Login", []any{1, 1, pin, absurd}, nil},
		{"C_LoginUser", []any{1, 1, nil, 5, bufA, 5}, nil},
		{"C_LoginUser", []any{1, 1, pin, 5, nil, 5}, nil},
		{"C_CreateObject", []any{1, template(), 3, nil}, nil},
		{"C_CreateObject", []any{1, nil, 3, room}, nil},
		{"C_CreateObject", []any{1, template(), absurd, room}, nil},
		{"C_CreateObject", []any{1, template(), 1 << 20, room}, nil},
		{"C_CopyObject", []any{1, 9, template(), 3, nil}, nil},
		{"C_CopyObject", []any{1, 9, nil, 3, room}, nil},
		{"C_GetObjectSize", []any{1, 9, nil}, nil},
		{"C_GetAttributeValue", []any{1, 9, nil, 3}, nil},
		{"C_GetAttributeValue", []any{1, 9, template(), absurd}, nil},
		{"C_SetAttributeValue", []any{1, 9, nil, 3}, nil},
		{"C_FindObjectsInit", []any{1, nil, 3}, nil},
		{"C_FindObjects", []any{1, room, 3, nil}, nil},
		{"C_FindObjects", []any{1, nil, 3, size()}, nil},
		{"C_GenerateKey", []any{1, nil, template(), 3, room}, nil},
		{"C_GenerateKey", []any{1, sha256Mechanism(), nil, 3, room}, nil},
		{"C_GenerateKey", []any{1, sha256Mechanism(), template(), 3, nil}, nil},
		{"C_GenerateKeyPair", []any{1, sha256Mechanism(), template(), 3, template(), 3, nil, room}, nil},
		{"C_GenerateKeyPair", []any{1, sha256Mechanism(), template(), 3, template(), 3, room, nil}, nil},
		{"C_WrapKey", []any{1, nil, 8, 9, room, size()}, nil},
		{"C_WrapKey", []any{1, sha256Mechanism(), 8, 9, room, nil}, nil},
		{"C_UnwrapKey", []any{1, sha256Mechanism(), 8, nil, 3, template(), 3, room}, nil},
		{"C_UnwrapKey", []any{1, sha256Mechanism(), 8, bufA, 3, template(), 3, nil}, nil},
		{"C_DeriveKey", []any{1, nil, 8, template(), 3, room}, nil},
		{"C_WrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, 9, nil, 3, room, size()}, nil},
		{"C_WrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, 9, bufA, 3, room, nil}, nil},
		{"C_UnwrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, bufA, 3, template(), 3, bufB, 3, nil}, nil},
		{"C_UnwrapKeyAuthenticated", []any{1, sha256Mechanism(), 8, bufA, 3, template(), 3, nil, 3, room}, nil},
		{"C_EncapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, room, nil, room}, nil},
		{"C_EncapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, room, size(), nil}, nil},
		{"C_DecapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, nil, 3, room}, nil},
		{"C_DecapsulateKey", []any{1, sha256Mechanism(), 8, template(), 3, bufA, 3, nil}, nil},
		{"C_VerifySignatureInit", []any{1, sha256Mechanism(), 9, nil, 3}, nil},
		{"C_VerifySignature", []any{1, nil, 3}, []p11.Operation{p11.OpVerifySignature}},
		{"C_GetSessionValidationFlags", []any{1, 1, nil}, nil},
		{"C_SeedRandom", []any{1, nil, 3}, nil},
		{"C_GenerateRandom", []any{1, nil, 3}, nil},
		{"C_GenerateRandom", []any{1, room, absurd}, nil},

		{"C_Encrypt", []any{1, nil, 3, room, size()}, []p11.Operation{p11.OpEncrypt}},
		{"C_Encrypt", []any{1, bufA, 3, room, nil}, []p11.Operation{p11.OpEncrypt}},
		{"C_Encrypt", []any{1, bufA, absurd, room, size()}, []p11.Operation{p11.OpEncrypt}},
		{"C_DecryptUpdate", []any{1, nil, 3, room, size()}, []p11.Operation{p11.OpDecrypt}},
		{"C_DecryptFinal", []any{1, room, nil}, []p11.Operation{p11.OpDecrypt}},
		{"C_DigestUpdate", []any{1, nil, 3}, []p11.Operation{p11.OpDigest}},
		{"C_SignFinal", []any{1, nil, nil}, []p11.Operation{p11.OpSign}},
		{"C_Verify", []any{1, bufA, 3, nil, 3}, []p11.Operation{p11.OpVerify}},
		{"C_VerifyFinal", []any{1, nil, 3}, []p11.Operation{p11.OpVerify}},
		{"C_VerifyRecover", []any{1, nil, 3, room, size()}, []p11.Operation{p11.OpVerifyRecover}},
		{"C_DigestEncryptUpdate", []any{1, nil, 3, room, size()}, []p11.Operation{p11.OpDigest, p11.OpEncrypt}},
		{"C_DecryptVerifyUpdate", []any{1, bufA, 3, room, nil}, []p11.Operation{p11.OpVerify, p11.OpDecrypt}},

		{"C_EncryptMessage", []any{1, nil, 0, nil, 3, bufA, 3, room, size()}, nil},
		{"C_EncryptMessage", []any{1, nil, 0, nil, 0, nil, 3, room, size()}, nil},
		{"C_EncryptMessage", []any{1, nil, 0, nil, 0, bufA, 3, room, nil}, nil},
		{"C_DecryptMessageBegin", []any{1, nil, 0, nil, 3}, nil},
		{"C_DecryptMessageNext", []any{1, nil, 0, nil, 3, room, size(), 0}, nil},
		{"C_SignMessage", []any{1, nil, 0, bufA, 3, room, nil}, nil},
		{"C_SignMessageNext", []any{1, nil, 0, nil, 3, nil, nil}, nil},
		{"C_VerifyMessage", []any{1, nil, 0, bufA, 3, nil, 3}, nil},
		{"C_VerifyMessageNext", []any{1, nil, 0, nil, 3, nil, 0}, nil},
	} {
		cancelled = nil
		if rv := callC(c.function, c.args...); rv != ck.CKR_ARGUMENTS_BAD {
			t.Errorf("%s%v: %v", c.function, c.args, rv)
		}
		if !reflect.DeepEqual(cancelled, c.ends) {
			t.Errorf("%s: ended %v, want %v", c.function, cancelled, c.ends)
		}
	}
}

func TestLists(t *testing.T) {
	answering(t, p11.SlotList{Slots: []ck.SlotID{3, 5, 8}}, nil)
	slots, count := make([]uint64, 4), []uint64{77}
	want(t, ck.CKR_OK, "C_GetSlotList", 1, nil, count)
	if count[0] != 3 {
		t.Errorf("count %d", count[0])
	}
	count[0] = 2
	want(t, ck.CKR_BUFFER_TOO_SMALL, "C_GetSlotList", 1, slots, count)
	if count[0] != 3 || slots[0] != 0 {
		t.Errorf("count %d, slots %v", count[0], slots)
	}
	count[0] = 4
	want(t, ck.CKR_OK, "C_GetSlotList", 1, slots, count)
	if count[0] != 3 || !reflect.DeepEqual(slots, []uint64{3, 5, 8, 0}) {
		t.Errorf("count %d, slots %v", count[0], slots)
	}
}

// GnuTLS has room for 400 mechanisms and does not ask how many there are.
func TestMechanismsForGnuTLS(t *testing.T) {
	all := make([]ck.MechanismType, 500)
	for i := range all {
		all[i] = ck.MechanismType(i + 1)
	}
	answering(t, p11.MechanismList{Mechanisms: all}, nil)
	for _, c := range []struct {
		room, told uint64
		want       ck.RV
	}{
		{399, 500, ck.CKR_BUFFER_TOO_SMALL}, {400, 400, ck.CKR_OK},
		{401, 500, ck.CKR_BUFFER_TOO_SMALL}, {500, 500, ck.CKR_OK},
	} {
		list, count := make([]uint64, c.room), []uint64{c.room}
		want(t, c.want, "C_GetMechanismList", 1, list, count)
		if count[0] != c.told {
			t.Errorf("room for %d: told of %d", c.room, count[0])
		}
		if c.want == ck.CKR_OK && (list[0] != 1 || list[c.room-1] != c.room) {
			t.Errorf("room for %d: from %d to %d", c.room, list[0], list[c.room-1])
		}
	}
	// Whoever asks for the count first is told the truth.
	count := []uint64{400}
	want(t, ck.CKR_OK, "C_GetMechanismList", 1, nil, count)
	if count[0] != 500 {
		t.Errorf("told of %d", count[0])
	}
}

func TestFindObjects(t *testing.T) {
	answering(t, p11.Handles{Objects: []ck.ObjectHandle{11, 12}}, nil)
	found, count := make([]uint64, 4), []uint64{77}
	want(t, ck.CKR_OK, "C_FindObjects", 1, found, 4, count)
	if count[0] != 2 || !reflect.DeepEqual(found, []uint64{11, 12, 0, 0}) {
		t.Errorf("%d: %v", count[0], found)
	}
	want(t, ck.CKR_OK, "C_FindObjects", 1, nil, 0, count)
	if count[0] != 0 {
		t.Errorf("%d found in no room", count[0])
	}
}

func TestHandles(t *testing.T) {
	use(t, func(_ p11.Request, reply any) error {
		switch r := reply.(type) {
		case *p11.Handle:
			r.Object = 77
		case *p11.KeyPair:
			r.Public, r.Private = 77, 78
		case *p11.Session:
			r.Session = 77
		case *p11.Size:
			r.Bytes = 77
		}
		return nil
	})
	for function, args := range map[string][]any{
		"C_OpenSession":   {1, 6, nil, nil},
		"C_CreateObject":  {1, template(), 3},
		"C_CopyObject":    {1, 2, template(), 3},
		"C_GetObjectSize": {1, 2},
		"C_GenerateKey":   {1, sha256Mechanism(), nil, 0},
		"C_UnwrapKey":     {1, sha256Mechanism(), 2, bufA, 3, nil, 0},
		"C_DeriveKey":     {1, sha256Mechanism(), 2, nil, 0},
	} {
		result := make([]uint64, 1)
		want(t, ck.CKR_OK, function, append(args, result)...)
		if result[0] != 77 {
			t.Errorf("%s: %d", function, result[0])
		}
	}
	public, private := make([]uint64, 1), make([]uint64, 1)
	want(t, ck.CKR_OK, "C_GenerateKeyPair", 1, sha256Mechanism(), nil, 0, nil, 0, public, private)
	if public[0] != 77 || private[0] != 78 {
		t.Errorf("key pair %d, %d", public[0], private[0])
	}
}

func TestPad(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", "      "},
		{"abc", "abc   "},
		{"abcdef", "abcdef"},
		{"abcdefg", "abcdef"},
		{"abcdé", "abcdé"},
		{"abcdeé", "abcde "},
		{"abcd\u20acx", "abcd  "},
		{"\u20ac\u20ac\u20ac", "\u20ac\u20ac"},
	} {
		buf := []byte("??????")
		if pad(buf, c.in); string(buf) != c.out {
			t.Errorf("%q: %q, want %q", c.in, buf, c.out)
		}
	}
}

func TestInfo(t *testing.T) {
	answering(t, ck.TokenInfo{
		Label: "l", ManufacturerID: "m", Model: "o", SerialNumber: "s", UTCTime: "t",
		Flags:           1,
		MaxSessionCount: 2, SessionCount: 3, MaxRwSessionCount: 4, RwSessionCount: 5, MaxPinLen: 6, MinPinLen: 7,
		TotalPublicMemory: ck.UnavailableInformation, FreePublicMemory: 9, TotalPrivateMemory: 10, FreePrivateMemory: 11,
		HardwareVersion: ck.Version{Major: 12, Minor: 13}, FirmwareVersion: ck.Version{Major: 14, Minor: 15},
	}, nil)
	var out struct {
		label, manufacturer [32]byte
		model, serial       [16]byte
		numbers             [11]uint64
		versions            [4]byte
		time                [16]byte
	}
	want(t, ck.CKR_OK, "C_GetTokenInfo", 1, &out)
	texts := fmt.Sprintf("%s|%s|%s|%s|%s", out.label, out.manufacturer, out.model, out.serial, out.time)
	wantTexts := fmt.Sprintf("%-32s|%-32s|%-16s|%-16s|%-16s", "l", "m", "o", "s", "t")
	if texts != wantTexts {
		t.Errorf("%q, want %q", texts, wantTexts)
	}
	if out.numbers != [11]uint64{1, 2, 3, 4, 5, 6, 7, ^uint64(0), 9, 10, 11} || out.versions != [4]byte{12, 13, 14, 15} {
		t.Errorf("%v %v", out.numbers, out.versions)
	}
}

func TestGetAttributeValue(t *testing.T) {
	const unavailable = ^uint64(0)
	result := func(rv ck.RV, v string) p11.AttributeResult {
		return p11.AttributeResult{Attribute: ck.Attribute{Value: []byte(v)}, RV: rv}
	}
	ok := func(v string) p11.AttributeResult { return result(ck.CKR_OK, v) }
	buffer := func() []byte { return []byte("........") }
	types := []ck.AttributeType{ck.CKA_LABEL, ck.CKA_VALUE, ck.CKA_ID}
	for _, c := range []struct {
		name    string
		err     error
		results []p11.AttributeResult
		room    []int // of each, -1 for a null pointer
		rv      ck.RV
		lengths []uint64
		values  []string
	}{
		{"all", nil, []p11.AttributeResult{ok("abc"), ok("defg"), ok("")}, []int{8, 4, 0},
			ck.CKR_OK, []uint64{3, 4, 0}, []string{"abc.....", "defg....", "........"}},
		{"lengths", nil, []p11.AttributeResult{ok("abc"), ok("defg"), ok("")}, []int{-1, -1, -1},
			ck.CKR_OK, []uint64{3, 4, 0}, nil},
		{"one too small", nil, []p11.AttributeResult{ok("abc"), ok("defg"), ok("h")}, []int{8, 3, 8},
			ck.CKR_BUFFER_TOO_SMALL, []uint64{3, unavailable, 1}, []string{"abc.....", "........", "h......."}},
		{"one sensitive", ck.CKR_ATTRIBUTE_SENSITIVE, []p11.AttributeResult{ok("abc"), result(ck.CKR_ATTRIBUTE_SENSITIVE, ""), ok("h")}, []int{8, 8, 8},
			ck.CKR_ATTRIBUTE_SENSITIVE, []uint64{3, unavailable, 1}, []string{"abc.....", "........", "h......."}},
		{"one invalid", ck.CKR_ATTRIBUTE_TYPE_INVALID, []p11.AttributeResult{result(ck.CKR_ATTRIBUTE_TYPE_INVALID, ""), ok("defg"), ok("h")}, []int{-1, 8, 8},
			ck.CKR_ATTRIBUTE_TYPE_INVALID, []uint64{unavailable, 4, 1}, []string{"........", "defg....", "h......."}},
		{"everything at once", ck.CKR_ATTRIBUTE_SENSITIVE,
			[]p11.AttributeResult{result(ck.CKR_ATTRIBUTE_TYPE_INVALID, ""), result(ck.CKR_ATTRIBUTE_SENSITIVE, ""), ok("too long")}, []int{8, 8, 7},
			ck.CKR_ATTRIBUTE_SENSITIVE, []uint64{unavailable, unavailable, unavailable}, []string{"........", "........", "........"}},
		{"another error", ck.CKR_OBJECT_HANDLE_INVALID, nil, []int{8, 8, 8},
			ck.CKR_OBJECT_HANDLE_INVALID, []uint64{8, 8, 8}, []string{"........", "........", "........"}},
		{"a module that miscounts", nil, []p11.AttributeResult{ok("abc")}, []int{8, 8, 8},
			ck.CKR_GENERAL_ERROR, []uint64{8, 8, 8}, []string{"........", "........", "........"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			use(t, func(req p11.Request, reply any) error {
				r := req.(*p11.GetAttributeValue)
				if r.Session != 1 || r.Object != 2 || !reflect.DeepEqual(r.Types, types) {
					t.Errorf("asks %+v", r)
				}
				reply.(*p11.Attributes).Results = c.results
				return c.err
			})
			var template []cAttribute
			var buffers [][]byte
			for i, typ := range types {
				buffers = append(buffers, buffer())
				a := cAttribute{Type: uint64(typ), Value: ptr(buffers[i]), Len: uint64(max(c.room[i], 0))}
				if c.room[i] < 0 {
					a.Value = nil
				}
				template = append(template, a)
			}
			want(t, c.rv, "C_GetAttributeValue", 1, 2, template, len(template))
			for i := range template {
				if template[i].Len != c.lengths[i] {
					t.Errorf("attribute %d: length %d, want %d", i, int64(template[i].Len), int64(c.lengths[i]))
				}
				if c.values != nil && string(buffers[i]) != c.values[i] {
					t.Errorf("attribute %d: %q, want %q", i, buffers[i], c.values[i])
				}
			}
		})
	}
}

// A wrap template is read in three steps: how much room, which lengths, and
// the values.
func TestNestedTemplate(t *testing.T) {
	inner := []ck.Attribute{
		ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES),
		ck.NewBytes(ck.CKA_LABEL, []byte("wrapped")),
	}
	answering(t, p11.Attributes{Results: []p11.AttributeResult{{
		Attribute: ck.Attribute{Type: ck.CKA_WRAP_TEMPLATE, Template: inner},
	}}}, nil)
	outer := []cAttribute{{Type: uint64(ck.CKA_WRAP_TEMPLATE)}}
	want(t, ck.CKR_OK, "C_GetAttributeValue", 1, 2, outer, 1)
	if outer[0].Len != 48 {
		t.Fatalf("room for the template: %d", outer[0].Len)
	}
	elements := make([]cAttribute, 2)
	outer[0].Value = ptr(elements)
	want(t, ck.CKR_OK, "C_GetAttributeValue", 1, 2, outer, 1)
	if outer[0].Len != 48 || elements[0] != (cAttribute{uint64(ck.CKA_KEY_TYPE), nil, 8}) || elements[1] != (cAttribute{uint64(ck.CKA_LABEL), nil, 7}) {
		t.Fatalf("lengths: %d, %+v", outer[0].Len, elements)
	}
	keyType, label := make([]uint64, 1), []byte("..........")
	elements[0].Value, elements[1].Value = unsafe.Pointer(&keyType[0]), ptr(label)
	want(t, ck.CKR_OK, "C_GetAttributeValue", 1, 2, outer, 1)
	if keyType[0] != uint64(ck.CKK_AES) || string(label) != "wrapped..." {
		t.Errorf("values: %d, %q", keyType[0], label)
	}
	elements[1].Len = 6
	want(t, ck.CKR_BUFFER_TOO_SMALL, "C_GetAttributeValue", 1, 2, outer, 1)
	if elements[1].Len != ^uint64(0) || outer[0].Len != 48 {
		t.Errorf("too small: %+v", elements[1])
	}
	outer[0].Len = 47
	want(t, ck.CKR_BUFFER_TOO_SMALL, "C_GetAttributeValue", 1, 2, outer, 1)
	if outer[0].Len != ^uint64(0) {
		t.Errorf("no room for the template: %d", outer[0].Len)
	}
}

// Templates are wiped after use, for they carry keys.
func TestTemplatesAreWiped(t *testing.T) {
	var kept []byte
	use(t, func(req p11.Request, _ any) error {
		kept = req.(*p11.CreateObject).Template[0].Value
		return nil
	})
	value := []byte("a key")
	want(t, ck.CKR_OK, "C_CreateObject", 1, []cAttribute{attribute(ck.CKA_VALUE, value)}, 1, room)
	if !bytes.Equal(kept, make([]byte, 5)) || string(value) != "a key" {
		t.Errorf("kept %q, caller's %q", kept, value)
	}
}

func TestMechanismParameters(t *testing.T) {
	var got any
	use(t, func(req p11.Request, _ any) error {
		got = req.(*p11.Begin).Mechanism.Param
		return nil
	})
	iv, aad := []byte("twelve bytes"), []byte("more")
	gcm := []cGCM{{ptr(iv), 12, 96, ptr(aad), 4, 128}}
	gcmLen := uint64(unsafe.Sizeof(gcm[0]))
	for _, c := range []struct {
		name string
		mech cMechanism
		rv   ck.RV
		want any
	}{
		{"structure", cMechanism{uint64(ck.CKM_AES_GCM), ptr(gcm), gcmLen}, ck.CKR_OK, &gcmParams{IV: iv, IVBits: 96, AAD: aad, TagBits: 128}},
		{"structure missing", cMechanism{uint64(ck.CKM_AES_GCM), nil, 0}, ck.CKR_OK, nil},
		{"wrong length", cMechanism{uint64(ck.CKM_AES_GCM), ptr(gcm), gcmLen - 8}, ck.CKR_MECHANISM_PARAM_INVALID, nil},
		{"null with length", cMechanism{uint64(ck.CKM_AES_GCM), nil, gcmLen}, ck.CKR_MECHANISM_PARAM_INVALID, nil},
		{"bytes", cMechanism{uint64(ck.CKM_AES_CBC), ptr(iv), 12}, ck.CKR_OK, iv},
		{"bytes absurd", cMechanism{uint64(ck.CKM_AES_CBC), ptr(iv), 1 << 33}, ck.CKR_MECHANISM_PARAM_INVALID, nil},
		{"none wanted", cMechanism{uint64(ck.CKM_SHA256), nil, 0}, ck.CKR_OK, nil},
		{"none wanted, empty", cMechanism{uint64(ck.CKM_SHA256), ptr(iv), 0}, ck.CKR_OK, nil},
		{"none wanted, one given", cMechanism{uint64(ck.CKM_SHA256), ptr(iv), 12}, ck.CKR_MECHANISM_PARAM_INVALID, nil},
		{"unknown", cMechanism{0x7fffffff, ptr(iv), 12}, ck.CKR_OK, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got = nil
			want(t, c.rv, "C_EncryptInit", 1, []cMechanism{c.mech}, 2)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// A message's parameter is decoded as the mechanism of the session's operation
// says, and what the module fills in is written back.
func TestMessageParameters(t *testing.T) {
	alive := map[ck.SessionHandle]bool{1: true, 2: true}
	var got any
	use(t, func(req p11.Request, reply any) error {
		switch r := req.(type) {
		case *p11.Message:
			got = r.Param
			if p, ok := r.Param.(*gcmMessageParams); ok {
				copy(p.IV, "a fresh iv..")
				p.Tag[0]++
				p.IVFixedBits = 99 // not written back
			}
		case *p11.GetSessionInfo:
			if !alive[r.Session] {
				return ck.CKR_SESSION_HANDLE_INVALID
			}
		}
		return nil
	})
	iv, tag := []byte("............"), []byte{41, 0, 0}
	param := []cGCMMessage{{ptr(iv), 12, 32, 0, ptr(tag), 20}}
	length := uint64(unsafe.Sizeof(param[0]))
	message := func(rv ck.RV, session int, n uint64) any {
		t.Helper()
		got = "nothing"
		want(t, rv, "C_EncryptMessage", session, param, n, nil, 0, bufA, len(bufA), room, size())
		return got
	}
	gcm := []cMechanism{{Type: uint64(ck.CKM_AES_GCM)}}
	begin := func(session int, mechanism any) {
		t.Helper()
		want(t, ck.CKR_OK, "C_MessageEncryptInit", session, mechanism, 9)
	}

	if got := message(ck.CKR_OK, 1, length); got != nil {
		t.Errorf("without an operation: %+v", got)
	}
	begin(1, gcm)
	p, _ := message(ck.CKR_OK, 1, length).(*gcmMessageParams)
	if p == nil || p.TagBits != 20 || len(p.Tag) != 3 || len(p.IV) != 12 {
		t.Fatalf("parameter %+v", p)
	}
	if string(iv) != "a fresh iv.." || tag[0] != 42 || param[0].FixedBits != 32 {
		t.Errorf("written back: %q, %v, %d", iv, tag, param[0].FixedBits)
	}
	message(ck.CKR_MECHANISM_PARAM_INVALID, 1, length-1)
	if got := message(ck.CKR_OK, 2, length); got != nil {
		t.Errorf("in another session: %+v", got)
	}

	gone := func(how string) {
		t.Helper()
		if got := message(ck.CKR_OK, 1, length); got != nil {
			t.Errorf("after %s: %+v", how, got)
		}
	}
	want(t, ck.CKR_OK, "C_MessageEncryptFinal", 1)
	gone("C_MessageEncryptFinal")
	begin(1, gcm)
	begin(1, nil)
	gone("cancelling")
	begin(1, gcm)
	want(t, ck.CKR_OK, "C_CloseSession", 1)
	gone("C_CloseSession")
	begin(1, gcm)
	begin(2, gcm)
	alive[1] = false
	want(t, ck.CKR_OK, "C_CloseAllSessions", 7)
	gone("C_CloseAllSessions")
	if message(ck.CKR_OK, 2, length) == nil {
		t.Error("C_CloseAllSessions ended another slot's operation")
	}
}

// Nothing is written back after a query of the length.
func TestQueryWritesNothingBack(t *testing.T) {
	provide(t, &script{do: func(_ context.Context, req p11.Request, _ any) error {
		if m, ok := req.(*p11.Message); ok {
			m.Param.(*gcmMessageParams).IV[0] = '!'
		}
		return nil
	}})
	want(t, ck.CKR_OK, "C_Initialize", nil)
	iv, tag := []byte("............"), make([]byte, 16)
	param := []cGCMMessage{{ptr(iv), 12, 0, 0, ptr(tag), 128}}
	want(t, ck.CKR_OK, "C_MessageEncryptInit", 1, []cMechanism{{Type: uint64(ck.CKM_AES_GCM)}}, 9)
	want(t, ck.CKR_OK, "C_EncryptMessage", 1, param, 48, nil, 0, bufA, len(bufA), nil, size())
	if iv[0] != '.' {
		t.Errorf("iv %q", iv)
	}
}
