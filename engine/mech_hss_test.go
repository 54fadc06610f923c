package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestStateful verifies damaged signatures of HSS, XMSS and XMSS^MT.
func TestStateful(t *testing.T) {
	for _, x := range []struct {
		m       ck.MechanismType
		t       ck.KeyType
		section string
		short   ck.RV
	}{
		{ck.CKM_HSS, ck.CKK_HSS, "hss", ck.CKR_SIGNATURE_INVALID},
		{ck.CKM_HSS, ck.CKK_HSS, "hss shake", ck.CKR_SIGNATURE_INVALID},
		{ck.CKM_XMSS, ck.CKK_XMSS, "CKM_XMSS", ck.CKR_SIGNATURE_LEN_RANGE},
		{ck.CKM_XMSSMT, ck.CKK_XMSSMT, "CKM_XMSSMT", ck.CKR_SIGNATURE_LEN_RANGE},
	} {
		a := pqcAnswers()[x.section]
		k := &Key{Class: ck.CKO_PUBLIC_KEY, Type: x.t, Attrs: []ck.Attribute{
			ck.NewBytes(ck.CKA_VALUE, a["public"]),
			ck.NewULong(ck.CKA_PARAMETER_SET, uint64(a["public"][3])),
		}}
		completed(t, k)
		sig := a["signature"]
		wantRV(t, x.section, verify(k, x.m, nil, a["message"], sig), ck.CKR_OK)
		for at := 0; at < len(sig); at += 1 + len(sig)/15 {
			wantRV(t, x.section, verify(k, x.m, nil, a["message"], flip(sig, at)), ck.CKR_SIGNATURE_INVALID)
		}
		for _, n := range []int{0, 3, 40, len(sig) - 1} {
			wantRV(t, x.section+", length", verify(k, x.m, nil, a["message"], sig[:n]), x.short)
		}
		wantRV(t, x.section+", length", verify(k, x.m, nil, a["message"], append(bytes.Clone(sig), 0)), x.short)

		v, err := Find(x.m).Verify(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRV(t, x.section+", parts", v.Update([]byte("a")), ck.CKR_FUNCTION_NOT_SUPPORTED)
		_, err = Find(x.m).Verify(k, []byte{1})
		wantRV(t, x.section+", parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
		wantRV(t, x.section+", no value", completeRV(with(k, ck.CKA_VALUE, nil)), ck.CKR_TEMPLATE_INCOMPLETE)
		wantRV(t, x.section+", value", completeRV(with(k, ck.CKA_VALUE, a["public"][1:])), ck.CKR_ATTRIBUTE_VALUE_INVALID)
		if x.t != ck.CKK_HSS {
			wantRV(t, x.section+", no set", completeRV(with(k, ck.CKA_PARAMETER_SET, nil)), ck.CKR_TEMPLATE_INCOMPLETE)
			wantRV(t, x.section+", set", completeRV(with(k, ck.CKA_PARAMETER_SET, ck.PutULong(uint64(2)))), ck.CKR_ATTRIBUTE_VALUE_INVALID)
		} else if got, _ := ck.ULong(k.Bytes(ck.CKA_HSS_LMS_TYPE)); got != uint64(a["public"][7]) {
			t.Errorf("%s: CKA_HSS_LMS_TYPE %d", x.section, got)
		}
		info, err := FindKeyType(x.t).PublicInfo(k)
		if err != nil || !bytes.HasSuffix(info, a["public"]) {
			t.Errorf("%s: CKA_PUBLIC_KEY_INFO: %v", x.section, err)
		}
	}
}
