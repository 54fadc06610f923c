package wycheproof

import (
	"bytes"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// keys caches the public or private key of a group.
type keys struct {
	group  *group
	handle uint64
	rv     ck.RV
}

func (k *keys) of(g *group, make func() (uint64, ck.RV)) (uint64, error) {
	if k.group != g {
		if k.handle != 0 {
			mod.Destroy(session, k.handle)
		}
		k.group = g
		k.handle, k.rv = make()
	}
	if k.rv != ck.CKR_OK {
		return 0, k.rv
	}
	return k.handle, nil
}

type rsaPublic struct{ Modulus, PublicExponent hexBytes }

type rsaPrivate struct {
	Modulus, PublicExponent, PrivateExponent          hexBytes
	Prime1, Prime2, Exponent1, Exponent2, Coefficient hexBytes
	OtherPrimeInfos                                   []any
}

func trim(b []byte) []byte { return bytes.TrimLeft(b, "\x00") }

func rsaPublicKey(g *group) (uint64, ck.RV) {
	p := object[rsaPublic](g.PublicKey)
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA),
		ck.NewBytes(ck.CKA_MODULUS, trim(p.Modulus)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, trim(p.PublicExponent)), ck.NewBool(ck.CKA_VERIFY, true))
}

func rsaPrivateKey(g *group) (uint64, ck.RV) {
	return rsaPrivateKeyOf(object[rsaPrivate](g.PrivateKey))
}

func rsaPrivateKeyOf(p rsaPrivate) (uint64, ck.RV) {
	t := []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA),
		ck.NewBool(ck.CKA_DECRYPT, true), ck.NewBool(ck.CKA_SIGN, true), ck.NewBool(ck.CKA_UNWRAP, true),
		ck.NewBytes(ck.CKA_MODULUS, trim(p.Modulus)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, trim(p.PublicExponent)),
		ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, trim(p.PrivateExponent)),
	}
	for _, a := range []ck.Attribute{
		{Type: ck.CKA_PRIME_1, Value: p.Prime1}, {Type: ck.CKA_PRIME_2, Value: p.Prime2},
		{Type: ck.CKA_EXPONENT_1, Value: p.Exponent1}, {Type: ck.CKA_EXPONENT_2, Value: p.Exponent2}, {Type: ck.CKA_COEFFICIENT, Value: p.Coefficient},
	} {
		if len(a.Value) > 0 {
			t = append(t, ck.NewBytes(a.Type, trim(a.Value)))
		}
	}
	return mod.Create(session, t...)
}

func rsaVerify(string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return rsaPublicKey(g) })
		if err != nil {
			return err
		}
		mech := hashes[g.Sha].pkcs1
		if mech == 0 {
			data, err := digestInfo(g.Sha, v.Msg)
			if err != nil {
				return err
			}
			return verifySingle(a, c11.Mech{Type: ck.CKM_RSA_PKCS}, key, data, v.Sig)
		}
		return verifyBoth(a, c11.Mech{Type: mech}, key, v.Msg, v.Sig)
	}
}

func rsaDecrypt(string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return rsaPrivateKey(g) })
		if err != nil {
			return err
		}
		got, rv := mod.Single(a, mod.Decryption(), session, c11.Mech{Type: ck.CKM_RSA_PKCS}, key, v.Ct)
		if rv != ck.CKR_OK {
			return rv
		}
		if v.Result == "invalid" {
			// Implicit rejection answers with bytes that mean nothing; the
			// message of the vector is what must not come out.
			if len(v.Msg) > 0 && bytes.Equal(got, v.Msg) {
				return fmt.Errorf("an invalid padding gave the message")
			}
			return ck.CKR_ENCRYPTED_DATA_INVALID
		}
		if !bytes.Equal(got, v.Msg) {
			return different("plaintext", got, v.Msg)
		}
		return nil
	}
}

// digestInfo is what a PKCS#1 signature signs: CKM_RSA_PKCS takes it where the
// hash has no mechanism of its own.
func digestInfo(sha string, msg []byte) ([]byte, error) {
	prefix, ok := map[string]string{
		"SHA-512/224": "302d300d06096086480165030402050500041c",
		"SHA-512/256": "3031300d060960864801650304020605000420",
	}[sha]
	if !ok {
		return nil, noHash
	}
	digest, err := digestOf(sha, msg)
	return join(unhex(prefix), digest), err
}

// rsaSign compares deterministic signatures.
func rsaSign(string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return rsaPrivateKey(g) })
		if err != nil {
			return err
		}
		mech, data := c11.Mech{Type: hashes[g.Sha].pkcs1}, []byte(v.Msg)
		if mech.Type == 0 {
			if data, err = digestInfo(g.Sha, v.Msg); err != nil {
				return err
			}
			mech.Type = ck.CKM_RSA_PKCS
		}
		sig, rv := mod.Single(a, mod.Signing(), session, mech, key, data)
		if rv != ck.CKR_OK {
			return rv
		}
		if !bytes.Equal(sig, v.Sig) {
			return different("signature", sig, v.Sig)
		}
		return nil
	}
}

func verifySingle(a *c11.Arena, mech c11.Mech, key uint64, msg, sig []byte) error {
	if rv := mod.Verify(a, session, mech, key, msg, sig); rv != ck.CKR_OK {
		return rv
	}
	return nil
}

// verifyBoth verifies in one part and in several.
func verifyBoth(a *c11.Arena, mech c11.Mech, key uint64, msg, sig []byte) error {
	err := verifySingle(a, mech, key, msg, sig)
	if rv := mod.VerifyParts(a, session, mech, key, msg, sig, 3); (rv == ck.CKR_OK) != (err == nil) {
		return fmt.Errorf("in parts the answer is %v, in one %v", rv, err)
	}
	return err
}

func pss(string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		hash, ok := hashes[g.Sha]
		mgf := hashes[g.MgfSha].mgf
		if g.Mgf != "MGF1" {
			return inexpressible("PKCS#11 has MGF1 only")
		}
		if !ok || mgf == 0 {
			return inexpressible("PKCS#11 has no MGF with " + g.MgfSha)
		}
		key, err := k.of(g, func() (uint64, ck.RV) { return rsaPublicKey(g) })
		if err != nil {
			return err
		}
		param := c11.Words(uint64(hash.digest), uint64(mgf), g.SLen)
		digest, err := digestOf(g.Sha, v.Msg)
		if err != nil {
			return err
		}
		raw := verifySingle(a, c11.Mech{Type: ck.CKM_RSA_PKCS_PSS, Param: param}, key, digest, v.Sig)
		if hash.pss == 0 {
			return raw
		}
		err = verifyBoth(a, c11.Mech{Type: hash.pss, Param: param}, key, v.Msg, v.Sig)
		if (raw == nil) != (err == nil) {
			return fmt.Errorf("hashing outside gives %v, inside %v", raw, err)
		}
		return err
	}
}

func oaep(string) check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		hash, ok := hashes[g.Sha]
		mgf := hashes[g.MgfSha].mgf
		if !ok || mgf == 0 {
			return inexpressible("PKCS#11 has no MGF with " + g.MgfSha)
		}
		key, err := k.of(g, func() (uint64, ck.RV) {
			p := object[rsaPrivate](g.PrivateKey)
			if len(p.OtherPrimeInfos) > 0 {
				// Only n, e and d of a key with three primes can be told.
				p = rsaPrivate{Modulus: p.Modulus, PublicExponent: p.PublicExponent, PrivateExponent: p.PrivateExponent}
			}
			return rsaPrivateKeyOf(p)
		})
		if err != nil {
			return err
		}
		param := c11.Words(uint64(hash.digest), uint64(mgf), uint64(ck.CKZ_DATA_SPECIFIED), a.Ptr(v.Label), uint64(len(v.Label)))
		got, rv := mod.Single(a, mod.Decryption(), session, c11.Mech{Type: ck.CKM_RSA_PKCS_OAEP, Param: param}, key, v.Ct)
		if rv != ck.CKR_OK {
			return rv
		}
		if !bytes.Equal(got, v.Msg) {
			return different("plaintext", got, v.Msg)
		}
		return nil
	}
}
