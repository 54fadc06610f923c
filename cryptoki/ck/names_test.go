package ck

import (
	"fmt"
	"slices"
	"testing"
)

func TestString(t *testing.T) {
	for _, c := range []struct {
		value fmt.Stringer
		want  string
	}{
		{CKR_OK, "CKR_OK"},
		{CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"},
		{CKR_USER_NOT_AUTHORIZED, "CKR_USER_NOT_AUTHORIZED"},
		{RV(0xDEAD), "0xdead"},
		{CKM_RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
		{CKM_AES_GCM, "CKM_AES_GCM"},
		{CKM_VENDOR_DEFINED, "CKM_VENDOR_DEFINED"},
		{MechanismType(0x80001234), "0x80001234"},
		{CKA_CLASS, "CKA_CLASS"},
		{CKA_WRAP_TEMPLATE, "CKA_WRAP_TEMPLATE"},
		{CKA_OUID, "CKA_OUID"},
		{CKO_SECRET_KEY, "CKO_SECRET_KEY"},
		{CKK_ML_DSA, "CKK_ML_DSA"},
		{CKU_LIMITED_CRYPTO_OFFICER, "CKU_LIMITED_CRYPTO_OFFICER"},

		// A number with several names prints the current one.
		{CKM_ECDSA_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN"},
		{CKM_CAST5_CBC, "CKM_CAST128_CBC"},
		{CKK_ECDSA, "CKK_EC"},
		{CKA_ECDSA_PARAMS, "CKA_EC_PARAMS"},
		{CKA_SUB_PRIME_BITS, "CKA_SUBPRIME_BITS"},
		{CKU_CRYPTO_OFFICER, "CKU_USER"},
		{CKU_LIMITED_USER, "CKU_CRYPTO_USER"},

		// The tables hold 32 bits: a wider number must not find a name there.
		{RV(1 << 32), "0x100000000"},
		{MechanismType(1<<32 | uint64(CKM_AES_GCM)), "0x100001087"},
	} {
		if got := c.value.String(); got != c.want {
			t.Errorf("%T prints %q, want %q", c.value, got, c.want)
		}
	}
	if got := RV(0xDEAD).Name(); got != "" {
		t.Errorf("a number without a name has the name %q", got)
	}
}

func TestNameTables(t *testing.T) {
	for prefix, table := range map[string]nameTable{
		"CKR_": namesRV,
		"CKM_": namesMechanismType,
		"CKA_": namesAttributeType,
		"CKO_": namesObjectClass,
		"CKK_": namesKeyType,
		"CKU_": namesUserType,
	} {
		if len(table.values) != len(table.ends) {
			t.Fatalf("%s: %d values and %d names", prefix, len(table.values), len(table.ends))
		}
		if !slices.IsSorted(table.values) {
			t.Errorf("%s: values are not sorted", prefix)
		}
		if last := table.ends[len(table.ends)-1]; int(last) != len(table.names) {
			t.Errorf("%s: names end at %d of %d", prefix, last, len(table.names))
		}
		for _, v := range table.values {
			if name := table.find(uint64(v)); len(name) <= len(prefix) || name[:len(prefix)] != prefix {
				t.Errorf("%s: %#x has the name %q", prefix, v, name)
			}
		}
	}
}

func TestStringDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = CKM_AES_GCM.String() }); n != 0 {
		t.Errorf("String allocates %v times", n)
	}
}

func TestFunctionNames(t *testing.T) {
	count := make(map[Version]int)
	for i, f := range FunctionNames {
		count[f.Since]++
		if i > 0 && order(f.Since) < order(FunctionNames[i-1].Since) {
			t.Errorf("%s is out of order", f.Name)
		}
	}
	for v, want := range map[Version]int{{2, 40}: 68, {3, 0}: 24, {3, 2}: 12} {
		if count[v] != want {
			t.Errorf("%d.%d has %d functions, want %d", v.Major, v.Minor, count[v], want)
		}
	}
}

func order(v Version) int { return int(v.Major)<<8 | int(v.Minor) }
