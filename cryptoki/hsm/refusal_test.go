package hsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// explain is what session s learns about its last refusal.
func explain(t *testing.T, h *HSM, s ck.SessionHandle) p11.Explanation {
	t.Helper()
	return must(t, h, &p11.ExplainRefusal{Session: s})
}

func TestRefusalTable(t *testing.T) {
	names := map[string]bool{}
	for r := refusal(1); r < numRefusals; r++ {
		row := refusalTable[r]
		switch {
		case row.name == "" || names[row.name]:
			t.Errorf("rule %d, after %q: no name, or one twice: %q", r, refusalTable[r-1].name, row.name)
		case row.code == ck.CKR_OK:
			t.Errorf("%s: no code", row.name)
		case row.remedy == "" || strings.HasSuffix(row.remedy, "."):
			t.Errorf("%s: the remedy %q is no sentence without its full stop", row.name, row.remedy)
		case row.policy.table != nil && row.policy.String() == "":
			t.Errorf("%s: no such policy", row.name)
		}
		names[row.name] = true
	}
}

// A refusal says what decided: the rule, the attribute or the policy, and what
// can be done. It stays until the next one, is the session's own, and survives
// that functions rename its code.
func TestExplainRefusal(t *testing.T) {
	h := newTestHSM(t)
	s, other := open(t, h, 0, true), open(t, h, 0, true)
	if e := explain(t, h, s); e.Request != "" || e.Rule != "" {
		t.Errorf("a new session: %+v", e)
	}

	generate := &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)), ck.NewBool(ck.CKA_WRAP, false), ck.NewBool(ck.CKA_PRIVATE, true)}}
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, generate)
	if e := explain(t, h, s); e.Request != "GenerateKey" || e.Rule != "not-logged-in" || e.Attribute != "CKA_PRIVATE" || e.Remedy == "" {
		t.Errorf("nobody logged in: %+v", e)
	}

	must(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	key := must(t, h, generate).Object
	if e := explain(t, h, s); e.Request != "GenerateKey" {
		t.Errorf("a call that worked forgot the last refusal: %+v", e)
	}
	wrap := &p11.WrapKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_WRAP}, WrappingKey: key, Key: key, Out: p11.Output{Query: true}}
	want(t, h, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, wrap)
	if e := explain(t, h, s); e.Rule != "key-usage" || e.Attribute != "CKA_WRAP" || e.Code != ck.CKR_KEY_FUNCTION_NOT_PERMITTED {
		t.Errorf("a key without the usage: %+v", e)
	}
	wrap.Mechanism = &ck.Mechanism{Type: ck.CKM_DES3_ECB}
	want(t, h, ck.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, wrap)
	if e := explain(t, h, s); e.Rule != "key-type" || e.Code != ck.CKR_WRAPPING_KEY_TYPE_INCONSISTENT {
		t.Errorf("a renamed code: %+v", e)
	}
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.DestroyObject{Session: s, Object: 4711})
	if e := explain(t, h, s); e.Request != "DestroyObject" || e.Rule != "" || e.Code != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Errorf("a failure that no rule decided: %+v", e)
	}
	if e := explain(t, h, other); e.Request != "" {
		t.Errorf("the other session: %+v", e)
	}
}

// What explains a refused PIN does not hold it.
func TestExplanationsHoldNoPIN(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	const wrong = "secret that is wrong"
	want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(wrong)})
	if e := explain(t, h, s); e.Rule != "pin-wrong" || strings.Contains(fmt.Sprintf("%+v", e), wrong) {
		t.Errorf("a wrong PIN: %+v", e)
	}
	want(t, h, ck.CKR_PIN_LEN_RANGE, &p11.SetPIN{Session: s, Old: []byte(userPIN), New: []byte("x7")})
	if e := explain(t, h, s); e.Rule != "pin-length" || strings.Contains(fmt.Sprintf("%+v", e), "x7") || strings.Contains(fmt.Sprintf("%+v", e), userPIN) {
		t.Errorf("a PIN that is too short: %+v", e)
	}
}
