package wycheproof

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

type dsaPublic struct{ P, Q, G, Y hexBytes }

func dsaPublicKey(g *group) (uint64, ck.RV) {
	var p dsaPublic
	if err := json.Unmarshal(g.PublicKey, &p); err != nil {
		panic(err)
	}
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_DSA),
		ck.NewBytes(ck.CKA_PRIME, trim(p.P)), ck.NewBytes(ck.CKA_SUBPRIME, trim(p.Q)), ck.NewBytes(ck.CKA_BASE, trim(p.G)),
		ck.NewBytes(ck.CKA_VALUE, trim(p.Y)), ck.NewBool(ck.CKA_VERIFY, true))
}

// TestDSA takes the files whose signatures are r and s, as those of PKCS#11 are.
func TestDSA(t *testing.T) {
	mechanisms := map[string]ck.MechanismType{"SHA-224": ck.CKM_DSA_SHA224, "SHA-256": ck.CKM_DSA_SHA256}
	for _, name := range names(t, "dsa_") {
		if !strings.HasSuffix(name, "_p1363") {
			continue
		}
		var k keys
		run(t, name, func(a *c11.Arena, g *group, v *vector) error {
			key, err := k.of(g, func() (uint64, ck.RV) { return dsaPublicKey(g) })
			if err != nil {
				return err
			}
			digest, err := digestOf(g.Sha, v.Msg)
			if err != nil {
				return err
			}
			err = verifyBoth(a, c11.Mech{Type: mechanisms[g.Sha]}, key, v.Msg, v.Sig)
			if raw := verifySingle(a, c11.Mech{Type: ck.CKM_DSA}, key, digest, v.Sig); (raw == nil) != (err == nil) {
				return raw
			}
			return err
		})
	}
}
