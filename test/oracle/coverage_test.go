package oracle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// withoutOracle lists the mechanisms that nothing here is compared with, and
// why: they rest on the vectors that docs/mechanisms.md names. A new mechanism
// is compared, or comes here.
var withoutOracle = []struct {
	why        string
	mechanisms []ck.MechanismType
	// nothing says that there are no vectors either.
	nothing bool
}{
	{why: "no library here has SLH-DSA as FIPS 205 does: SPHINCS+ of Bouncy Castle 1.72 chooses other leaves", mechanisms: types{
		ck.CKM_SLH_DSA, ck.CKM_HASH_SLH_DSA, ck.CKM_HASH_SLH_DSA_SHA224, ck.CKM_HASH_SLH_DSA_SHA256, ck.CKM_HASH_SLH_DSA_SHA384,
		ck.CKM_HASH_SLH_DSA_SHA512, ck.CKM_HASH_SLH_DSA_SHA3_224, ck.CKM_HASH_SLH_DSA_SHA3_256, ck.CKM_HASH_SLH_DSA_SHA3_384,
		ck.CKM_HASH_SLH_DSA_SHA3_512, ck.CKM_HASH_SLH_DSA_SHAKE128, ck.CKM_HASH_SLH_DSA_SHAKE256,
	}},
	{why: "no library here has MQV over a prime field", mechanisms: types{ck.CKM_X9_42_MQV_DERIVE}},
	{why: "no library here has HAS-160", mechanisms: types{
		ck.CKM_HAS160, ck.CKM_HAS160_HMAC, ck.CKM_HAS160_HMAC_GENERAL, ck.CKM_HAS160_KEY_DERIVATION,
	}},
	{why: "no library here has KCDSA or EC-KCDSA", mechanisms: types{
		ck.CKM_KCDSA_KEY_PAIR_GEN, ck.CKM_KCDSA_HAS160, ck.CKM_KCDSA_SHA1, ck.CKM_KCDSA_SHA224, ck.CKM_KCDSA_SHA256, ck.CKM_KCDSA_SHA384,
		ck.CKM_KCDSA_SHA512, ck.CKM_KCDSA_HAS160_NO_PAD, ck.CKM_KCDSA_SHA1_NO_PAD, ck.CKM_KCDSA_SHA224_NO_PAD, ck.CKM_KCDSA_SHA256_NO_PAD,
		ck.CKM_KCDSA_SHA384_NO_PAD, ck.CKM_KCDSA_SHA512_NO_PAD,
		ck.CKM_EC_KCDSA_SHA224, ck.CKM_EC_KCDSA_SHA256, ck.CKM_EC_KCDSA_SHA384, ck.CKM_EC_KCDSA_SHA512,
	}},
	{why: "no library here has DUKPT", mechanisms: types{
		ck.CKM_DES2_DUKPT_PIN, ck.CKM_DES2_DUKPT_MAC, ck.CKM_DES2_DUKPT_MAC_RESP, ck.CKM_DES2_DUKPT_DATA, ck.CKM_DES2_DUKPT_DATA_RESP,
	}},
	{why: "no library here has BIP 32", mechanisms: types{ck.CKM_BIP32_MASTER_DERIVE, ck.CKM_BIP32_CHILD_DERIVE}},
	{why: "no library here has the blocks of SET", mechanisms: types{ck.CKM_KEY_WRAP_SET_OAEP}, nothing: true},
}

// vectorsOf reads the last column of docs/mechanisms.md by the numbers.
func vectorsOf(t *testing.T) map[ck.MechanismType]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mechanisms.md")
	if err != nil {
		t.Fatal(err)
	}
	m := map[ck.MechanismType]string{}
	for line := range strings.Lines(string(text)) {
		columns := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		var number uint64
		if _, err := fmt.Sscanf(strings.TrimSpace(columns[0]), "0x%x", &number); err != nil || len(columns) != 7 {
			continue
		}
		m[ck.MechanismType(number)] = strings.TrimSpace(columns[6])
	}
	if len(m) < 400 {
		t.Fatalf("read %d rows of docs/mechanisms.md", len(m))
	}
	return m
}

// TestEveryMechanism holds the table against what the module has.
func TestEveryMechanism(t *testing.T) {
	var a c11.Arena
	defer a.Free()
	all, rv := mod.Mechanisms(&a, 0)
	if rv != ck.CKR_OK {
		t.Fatalf("C_GetMechanismList: %v", rv)
	}
	oracles := map[ck.MechanismType][]string{}
	for _, r := range table {
		for _, m := range r.mechanisms {
			if !slices.Contains(all, m) {
				t.Errorf("%v is compared with %s, but the module does not have it", m, r.oracle.name)
			}
			if !slices.Contains(oracles[m], r.oracle.name) {
				oracles[m] = append(oracles[m], r.oracle.name)
			}
		}
	}
	vectors, excused := vectorsOf(t), map[ck.MechanismType]bool{}
	for _, e := range withoutOracle {
		for _, m := range e.mechanisms {
			switch v := vectors[m]; {
			case !slices.Contains(all, m):
				t.Errorf("%v has no oracle (%s), but the module does not have it at all", m, e.why)
			case oracles[m] != nil:
				t.Errorf("%v is said to have no oracle (%s), but is compared with %v", m, e.why, oracles[m])
			case excused[m]:
				t.Errorf("%v is excused twice", m)
			case (v == "" || strings.HasPrefix(v, "none")) != e.nothing:
				t.Errorf("%v has no oracle (%s), and its vectors are %q", m, e.why, v)
			}
			excused[m] = true
		}
	}
	counts := map[string]int{}
	for _, m := range all {
		if oracles[m] == nil && !excused[m] {
			t.Errorf("%v is compared with nothing, and no reason is given", m)
		}
		for _, o := range oracles[m] {
			counts[o]++
		}
	}
	t.Logf("of %d mechanisms, %d are compared with an oracle, %d rest on vectors; %v", len(all), len(oracles), len(excused), counts)
}
