package wycheproof

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// parameterSets by the beginning of the file's name.
var parameterSets = map[string]uint64{
	"mldsa_44": ck.CKP_ML_DSA_44, "mldsa_65": ck.CKP_ML_DSA_65, "mldsa_87": ck.CKP_ML_DSA_87,
	"mlkem_512": ck.CKP_ML_KEM_512, "mlkem_768": ck.CKP_ML_KEM_768, "mlkem_1024": ck.CKP_ML_KEM_1024,
}

func parameterSet(name string) ck.Attribute {
	p := strings.Split(name, "_")
	set, ok := parameterSets[p[0]+"_"+p[1]]
	if !ok {
		panic("no parameter set for " + name)
	}
	return ck.NewULong(ck.CKA_PARAMETER_SET, set)
}

func latticeKey(class ck.ObjectClass, kind ck.KeyType, more ...ck.Attribute) (uint64, ck.RV) {
	return mod.Create(session, append(more, ck.NewULong(ck.CKA_CLASS, class), ck.NewULong(ck.CKA_KEY_TYPE, kind))...)
}

// context is CK_SIGN_ADDITIONAL_CONTEXT.
func context(a *c11.Arena, hedge uint64, ctx []byte) c11.Mech {
	return c11.Mech{Type: ck.CKM_ML_DSA, Param: c11.Words(uint64(hedge), a.Ptr(ctx), uint64(len(ctx)))}
}

func mldsaPublic(name string, g *group) (uint64, ck.RV) {
	return latticeKey(ck.CKO_PUBLIC_KEY, ck.CKK_ML_DSA, parameterSet(name), ck.NewBytes(ck.CKA_VALUE, object[hexBytes](g.PublicKey)), ck.NewBool(ck.CKA_VERIFY, true))
}

func mldsaVerify(name string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return mldsaPublic(name, g) })
		if err != nil {
			return err
		}
		return verifyBoth(a, context(a, ck.CKH_HEDGE_PREFERRED, v.Ctx), key, v.Msg, v.Sig)
	}
}

func mldsaSign(name string) check {
	var private, public keys
	return func(a *c11.Arena, g *group, v *vector) error {
		key, err := private.of(g, func() (uint64, ck.RV) {
			if g.PrivateKey != nil {
				return latticeKey(ck.CKO_PRIVATE_KEY, ck.CKK_ML_DSA, parameterSet(name), ck.NewBytes(ck.CKA_VALUE, object[hexBytes](g.PrivateKey)), ck.NewBool(ck.CKA_SIGN, true))
			}
			return latticeKey(ck.CKO_PRIVATE_KEY, ck.CKK_ML_DSA, parameterSet(name), ck.NewBytes(ck.CKA_SEED, g.PrivateSeed), ck.NewBool(ck.CKA_SIGN, true))
		})
		if err != nil {
			return err
		}
		switch {
		case v.Msg == nil:
			return inexpressible("CKM_ML_DSA takes the message, and not mu")
		case v.Rnd != nil:
			// The token chooses what is random. It must verify the signature at least.
			pub, err := public.of(g, func() (uint64, ck.RV) { return mldsaPublic(name, g) })
			if err != nil {
				return err
			}
			return verifySingle(a, context(a, ck.CKH_HEDGE_PREFERRED, v.Ctx), pub, v.Msg, v.Sig)
		}
		if err := mldsaSignOnce(a, key, v); err != nil || g.PrivateKeyPkcs8 == nil {
			return err
		}
		key, rv := importPKCS8(a, g.PrivateKeyPkcs8, ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_ML_DSA), ck.NewBool(ck.CKA_SIGN, true))
		if rv != ck.CKR_OK {
			return fmt.Errorf("the same key in PKCS#8 is refused: %v", rv)
		}
		defer mod.Destroy(session, key)
		return mldsaSignOnce(a, key, v)
	}
}

func mldsaSignOnce(a *c11.Arena, key uint64, v *vector) error {
	sig, rv := mod.Single(a, mod.Signing(), session, context(a, ck.CKH_DETERMINISTIC_REQUIRED, v.Ctx), key, v.Msg)
	if rv != ck.CKR_OK {
		return rv
	}
	if !bytes.Equal(sig, v.Sig) {
		return fmt.Errorf("another signature comes out")
	}
	return nil
}

func mlkemPrivate(name string, v *vector) (uint64, ck.RV) {
	value := ck.NewBytes(ck.CKA_VALUE, v.Dk)
	if v.Dk == nil || v.Seed != nil {
		value = ck.NewBytes(ck.CKA_SEED, v.Seed)
	}
	return latticeKey(ck.CKO_PRIVATE_KEY, ck.CKK_ML_KEM, parameterSet(name), value, ck.NewBool(ck.CKA_DECAPSULATE, true),
		ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))
}

// mlkem decapsulates.
func mlkem(name string) check {
	return func(a *c11.Arena, _ *group, v *vector) error {
		key, rv := mlkemPrivate(name, v)
		if rv != ck.CKR_OK {
			return rv
		}
		defer mod.Destroy(session, key)
		if v.Result == "invalid" && len(v.Ek) > 0 && v.Dk == nil {
			if err := sameEncapsulationKey(key, v.Ek); err != nil {
				return inexpressible("the key that is announced is not that of the seed")
			}
		}
		o, rv := mod.Decapsulate(a, session, c11.Mech{Type: ck.CKM_ML_KEM}, key, v.C, readable(32)...)
		return compare(o, rv, v.K)
	}
}

// sameEncapsulationKey compares with the end of SubjectPublicKeyInfo.
func sameEncapsulationKey(key uint64, ek []byte) error {
	info, rv := mod.Get(session, key, ck.CKA_PUBLIC_KEY_INFO)
	if rv != ck.CKR_OK {
		return fmt.Errorf("reading CKA_PUBLIC_KEY_INFO: %v", rv)
	}
	if !bytes.HasSuffix(info, ek) {
		return fmt.Errorf("the public key is another")
	}
	return nil
}

// mlkemEncaps can compare nothing, for the token chooses what is random; but
// wrong keys must be refused.
func mlkemEncaps(name string) check {
	return func(a *c11.Arena, _ *group, v *vector) error {
		key, rv := latticeKey(ck.CKO_PUBLIC_KEY, ck.CKK_ML_KEM, parameterSet(name), ck.NewBytes(ck.CKA_VALUE, v.Ek), ck.NewBool(ck.CKA_ENCAPSULATE, true))
		if rv != ck.CKR_OK {
			return rv
		}
		defer mod.Destroy(session, key)
		ciphertext, o, rv := mod.Encapsulate(a, session, c11.Mech{Type: ck.CKM_ML_KEM}, key, readable(32)...)
		if rv != ck.CKR_OK {
			return rv
		}
		mod.Destroy(session, o)
		if len(ciphertext) != len(v.C) {
			return fmt.Errorf("a ciphertext of %d bytes, not %d", len(ciphertext), len(v.C))
		}
		return nil
	}
}

// mlkemKeygen expands seeds.
func mlkemKeygen(name string) check {
	return func(_ *c11.Arena, _ *group, v *vector) error {
		key, rv := mlkemPrivate(name, v)
		if rv != ck.CKR_OK {
			return rv
		}
		defer mod.Destroy(session, key)
		if got, rv := mod.Get(session, key, ck.CKA_VALUE); rv != ck.CKR_OK || !bytes.Equal(got, v.Dk) {
			return fmt.Errorf("another decapsulation key comes out (%v)", rv)
		}
		return sameEncapsulationKey(key, v.Ek)
	}
}
