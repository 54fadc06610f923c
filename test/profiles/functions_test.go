package profiles

import (
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// lacking are the functions that the library of devices does not have: those of
// version 2.20 that its documentation excepts, and those that came later.
var lacking = strings.Fields(`C_WaitForSlotEvent
	C_SignRecoverInit C_SignRecover C_VerifyRecoverInit C_VerifyRecover
	C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
	C_LoginUser
	C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
	C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal
	C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
	C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
	C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal
	C_EncapsulateKey C_DecapsulateKey C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
	C_GetSessionValidationFlags`)

func TestLackingFunctions(t *testing.T) {
	h := officer(t, luna)
	key := h.generate(yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP)...)
	for _, name := range lacking {
		if rv := h.Call(name, h.plausible(name, key)...); rv != ck.CKR_FUNCTION_NOT_SUPPORTED {
			t.Errorf("%s: %v", name, rv)
		}
	}
	for _, name := range []string{"C_GetFunctionStatus", "C_CancelFunction"} {
		if rv := h.Call(name, h.s); rv != ck.CKR_FUNCTION_NOT_PARALLEL {
			t.Errorf("%s: %v", name, rv)
		}
	}
}

// TestStandardLacksNothing calls the same functions where they are: whatever they
// answer, they exist.
func TestStandardLacksNothing(t *testing.T) {
	h := officer(t, standard)
	key := h.generate(yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP)...)
	for _, name := range lacking {
		if rv := h.Call(name, h.plausible(name, key)...); rv == ck.CKR_FUNCTION_NOT_SUPPORTED {
			t.Errorf("%s: %v", name, rv)
		}
	}
}

// plausible are arguments that could be right, from the types of the parameters.
func (h *host) plausible(name string, key uint64) (args []any) {
	for _, f := range c11.Functions {
		if f.Name != name {
			continue
		}
		for _, p := range f.Params {
			switch p.Type {
			case "CK_SESSION_HANDLE":
				args = append(args, h.s)
			case "CK_OBJECT_HANDLE":
				args = append(args, key)
			case "CK_USER_TYPE":
				args = append(args, uint64(ck.CKU_USER))
			case "CK_FLAGS":
				args = append(args, uint64(ck.CKF_DONT_BLOCK))
			case "CK_MECHANISM_PTR":
				args = append(args, h.Mechanism(ck.CKM_AES_CMAC, nil))
			case "CK_ULONG_PTR", "CK_OBJECT_HANDLE_PTR", "CK_SLOT_ID_PTR", "CK_FLAGS_PTR":
				args = append(args, h.ULong(64))
			case "CK_ATTRIBUTE_PTR":
				args = append(args, nil)
			case "CK_ULONG":
				args = append(args, h.lengthOf(p.Name))
			case "CK_VOID_PTR":
				args = append(args, nil)
			default: // bytes
				args = append(args, h.Exact(make([]byte, 64)))
			}
		}
	}
	return args
}

// lengthOf is the length of the argument that a parameter counts.
func (h *host) lengthOf(name string) int {
	if strings.Contains(name, "Attribute") || strings.Contains(name, "Parameter") {
		return 0
	}
	return 16
}
