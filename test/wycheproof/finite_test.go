package wycheproof

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

type dsaPublic struct{ P, Q, G, Y hexBytes }

func dsaPublicKey(g *group) (uint64, ck.RV) {
	p := object[dsaPublic](g.PublicKey)
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_DSA),
		ck.NewBytes(ck.CKA_PRIME, trim(p.P)), ck.NewBytes(ck.CKA_SUBPRIME, trim(p.Q)), ck.NewBytes(ck.CKA_BASE, trim(p.G)),
		ck.NewBytes(ck.CKA_VALUE, trim(p.Y)), ck.NewBool(ck.CKA_VERIFY, true))
}

func dsa() check {
	var k keys
	mechanisms := map[string]ck.MechanismType{"SHA-224": ck.CKM_DSA_SHA224, "SHA-256": ck.CKM_DSA_SHA256}
	return func(a *c11.Arena, g *group, v *vector) error {
		sig := []byte(v.Sig)
		if g.Type == "DsaVerify" {
			var err error
			if sig, err = rawSignature(len(trim(object[dsaPublic](g.PublicKey).Q)), sig); err != nil {
				return err
			}
		}
		key, err := k.of(g, func() (uint64, ck.RV) { return dsaPublicKey(g) })
		if err != nil {
			return err
		}
		return verifyDigested(a, ck.CKM_DSA, mechanisms[g.Sha], key, g.Sha, v.Msg, sig)
	}
}

// primality asks by the prime of a Diffie-Hellman key, which must be one.
func primality(_ *c11.Arena, _ *group, v *vector) error {
	if len(v.Value) > 0 && v.Value[0]&0x80 != 0 {
		return inexpressible("CKA_PRIME has no sign")
	}
	if p := trim(v.Value); len(p) < 64 || len(p) > 1024 {
		return inexpressible("a Diffie-Hellman key has a prime of 512 to 8192 bits")
	}
	o, rv := mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_DH),
		ck.NewBytes(ck.CKA_PRIME, trim(v.Value)), ck.NewBytes(ck.CKA_BASE, []byte{2}), ck.NewBytes(ck.CKA_VALUE, []byte{4}))
	if rv != ck.CKR_OK {
		return rv
	}
	mod.Destroy(session, o)
	return nil
}
