package wycheproof

import (
	"bytes"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

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

func trim(b []byte) []byte { return bytes.TrimLeft(b, "\x00") }

func rsaPublicKey(g *group) (uint64, ck.RV) {
	var p rsaPublic
	if err := json.Unmarshal(g.PublicKey, &p); err != nil {
		panic(err)
	}
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA),
		ck.NewBytes(ck.CKA_MODULUS, trim(p.Modulus)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, trim(p.PublicExponent)), ck.NewBool(ck.CKA_VERIFY, true))
}

func rsaPrivateKey(g *group) (uint64, ck.RV) {
	p := g.PrivateKey
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

// names lists the files whose name begins and does not end so.
func names(t *testing.T, begin string, not ...string) (list []string) {
	t.Helper()
	for _, n := range allFiles(t) {
		use := strings.HasPrefix(n, begin)
		for _, x := range not {
			use = use && !strings.Contains(n, x)
		}
		if use {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		t.Fatalf("no file is named %s*", begin)
	}
	return list
}

func TestRSA(t *testing.T) {
	for _, name := range names(t, "rsa_signature_") {
		var k keys
		run(t, name, func(a *c11.Arena, g *group, v *vector) error {
			mech := hashes[g.Sha].pkcs1
			key, err := k.of(g, func() (uint64, ck.RV) { return rsaPublicKey(g) })
			if err != nil {
				return err
			}
			if mech == 0 {
				return digestInfoVerify(a, g, v, key)
			}
			return verifyBoth(a, c11.Mech{Type: mech}, key, v.Msg, v.Sig)
		})
	}
	for _, name := range names(t, "rsa_pkcs1_1024_sig_gen") {
		signatures(t, name)
	}
	for _, bits := range []string{"1536", "2048", "3072", "4096"} {
		signatures(t, "rsa_pkcs1_"+bits+"_sig_gen")
	}
	for _, bits := range []string{"2048", "3072", "4096"} {
		var k keys
		run(t, "rsa_pkcs1_"+bits, func(a *c11.Arena, g *group, v *vector) error {
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
		})
	}
}

// digestInfoVerify checks a PKCS#1 signature whose hash has no mechanism of its
// own, with CKM_RSA_PKCS over the DigestInfo.
func digestInfoVerify(a *c11.Arena, g *group, v *vector, key uint64) error {
	prefix, ok := map[string]string{
		"SHA-512/224": "302d300d06096086480165030402050500041c",
		"SHA-512/256": "3031300d060960864801650304020605000420",
	}[g.Sha]
	if !ok {
		return noHash
	}
	digest, err := digestOf(g.Sha, v.Msg)
	if err != nil {
		return err
	}
	return verifySingle(a, c11.Mech{Type: ck.CKM_RSA_PKCS}, key, join(unhex(prefix), digest), v.Sig)
}

// signatures compares deterministic signatures.
func signatures(t *testing.T, name string) {
	var k keys
	run(t, name, func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return rsaPrivateKey(g) })
		if err != nil {
			return err
		}
		mech := hashes[g.Sha].pkcs1
		if mech == 0 {
			return noHash
		}
		sig, rv := mod.Single(a, mod.Signing(), session, c11.Mech{Type: mech}, key, v.Msg)
		if rv != ck.CKR_OK {
			return rv
		}
		if !bytes.Equal(sig, v.Sig) {
			return different("signature", sig, v.Sig)
		}
		return nil
	})
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

func TestPSS(t *testing.T) {
	for _, name := range names(t, "rsa_pss_", "shake") {
		var k keys
		run(t, name, func(a *c11.Arena, g *group, v *vector) error {
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
		})
	}
}

func TestOAEP(t *testing.T) {
	for _, name := range append(names(t, "rsa_oaep_"), names(t, "rsa_three_primes_oaep_")...) {
		var k keys
		run(t, name, func(a *c11.Arena, g *group, v *vector) error {
			hash, ok := hashes[g.Sha]
			mgf := hashes[g.MgfSha].mgf
			if !ok || mgf == 0 {
				return inexpressible("PKCS#11 has no MGF with " + g.MgfSha)
			}
			key, err := k.of(g, func() (uint64, ck.RV) {
				if len(g.PrivateKey.OtherPrimeInfos) > 0 {
					// Only n, e and d of a key with three primes can be told.
					g.PrivateKey = rsaPrivate{Modulus: g.PrivateKey.Modulus, PublicExponent: g.PrivateKey.PublicExponent, PrivateExponent: g.PrivateKey.PrivateExponent}
				}
				return rsaPrivateKey(g)
			})
			if err != nil {
				if strings.Contains(name, "three_primes") {
					return inexpressible("keys with three primes are refused")
				}
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
		})
	}
}

var curveOIDs = map[string]string{
	"secp224r1": "06052b81040021", "secp256r1": "06082a8648ce3d030107", "secp384r1": "06052b81040022", "secp521r1": "06052b81040023",
	"edwards25519": "06032b6570", "curve25519": "06032b656e",
}

var curves = []string{"secp224r1", "secp256r1", "secp384r1", "secp521r1"}

func ecPublicKey(g *group) (uint64, ck.RV) {
	var p ecPublic
	if err := json.Unmarshal(g.PublicKey, &p); err != nil {
		panic(err)
	}
	kind, point := ck.KeyType(ck.CKK_EC), p.Uncompressed
	if p.Pk != nil {
		kind, point = ck.CKK_EC_EDWARDS, p.Pk
	}
	der, err := asn1.Marshal([]byte(point))
	if err != nil {
		panic(err)
	}
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_EC_PARAMS, unhex(curveOIDs[p.Curve])), ck.NewBytes(ck.CKA_EC_POINT, der), ck.NewBool(ck.CKA_VERIFY, true))
}

func TestECDSA(t *testing.T) {
	for _, curve := range curves {
		for _, name := range names(t, "ecdsa_"+curve, "shake") {
			var k keys
			run(t, name, func(a *c11.Arena, g *group, v *vector) error {
				sig := []byte(v.Sig)
				if g.Type == "EcdsaVerify" {
					var ok bool
					if sig, ok = rawSignature(curve, sig); !ok {
						return inexpressible("the signature is not DER, and PKCS#11 signatures are not DER at all")
					}
				}
				mech := hashes[g.Sha].ecdsa
				if mech == 0 {
					return noHash
				}
				key, err := k.of(g, func() (uint64, ck.RV) { return ecPublicKey(g) })
				if err != nil {
					return err
				}
				digest, err := digestOf(g.Sha, v.Msg)
				if err != nil {
					return err
				}
				raw := verifySingle(a, c11.Mech{Type: ck.CKM_ECDSA}, key, digest, sig)
				err = verifyBoth(a, c11.Mech{Type: mech}, key, v.Msg, sig)
				if (raw == nil) != (err == nil) {
					return fmt.Errorf("hashing outside gives %v, inside %v", raw, err)
				}
				return err
			})
		}
	}
	var k keys
	run(t, "ed25519", func(a *c11.Arena, g *group, v *vector) error {
		key, err := k.of(g, func() (uint64, ck.RV) { return ecPublicKey(g) })
		if err != nil {
			return err
		}
		return verifySingle(a, c11.Mech{Type: ck.CKM_EDDSA}, key, v.Msg, v.Sig)
	})
}

// rawSignature turns a DER signature into r and s of the order's length.
func rawSignature(curve string, der []byte) ([]byte, bool) {
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &rs)
	if err != nil || len(rest) > 0 || rs.R.Sign() < 0 || rs.S.Sign() < 0 {
		return nil, false
	}
	if again, err := asn1.Marshal(rs); err != nil || !bytes.Equal(again, der) {
		return nil, false
	}
	n := map[string]int{"secp224r1": 28, "secp256r1": 32, "secp384r1": 48, "secp521r1": 66}[curve]
	if len(rs.R.Bytes()) > n || len(rs.S.Bytes()) > n {
		return nil, false
	}
	return append(rs.R.FillBytes(make([]byte, n)), rs.S.FillBytes(make([]byte, n))...), true
}

func TestECDH(t *testing.T) {
	for _, curve := range curves {
		run(t, "ecdh_"+curve+"_ecpoint", func(a *c11.Arena, _ *group, v *vector) error {
			return agree(a, ck.CKK_EC, curve, v.Private, v.Public, v.Shared)
		})
		run(t, "ecdh_"+curve, func(a *c11.Arena, _ *group, v *vector) error {
			point, ok := spkiPoint(v.Public, curve)
			if !ok {
				return inexpressible("the other's key is not a SubjectPublicKeyInfo of this named curve, and PKCS#11 passes the point alone")
			}
			return agree(a, ck.CKK_EC, curve, v.Private, point, v.Shared)
		})
	}
	run(t, "x25519", func(a *c11.Arena, _ *group, v *vector) error {
		return agree(a, ck.CKK_EC_MONTGOMERY, "curve25519", v.Private, v.Public, v.Shared)
	})
}

// spkiPoint takes the point out of a SubjectPublicKeyInfo of a named curve.
func spkiPoint(der []byte, curve string) ([]byte, bool) {
	var info struct {
		Algorithm struct {
			ID     asn1.ObjectIdentifier
			Params asn1.RawValue
		}
		Key asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) > 0 || !bytes.Equal(info.Algorithm.Params.FullBytes, unhex(curveOIDs[curve])) ||
		!info.Algorithm.ID.Equal(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}) || info.Key.BitLength%8 != 0 {
		return nil, false
	}
	return info.Key.Bytes, true
}

// agree derives a shared secret, with the other's point raw and DER wrapped.
func agree(a *c11.Arena, kind ck.KeyType, curve string, private, public, shared []byte) error {
	if kind == ck.CKK_EC {
		private = trim(private)
	}
	key, rv := mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_EC_PARAMS, unhex(curveOIDs[curve])), ck.NewBytes(ck.CKA_VALUE, private), ck.NewBool(ck.CKA_DERIVE, true))
	if rv != ck.CKR_OK {
		return fmt.Errorf("the private key is refused: %v", rv)
	}
	defer mod.Destroy(session, key)
	with := func(point []byte) error {
		param := c11.Words(uint64(ck.CKD_NULL), 0, 0, uint64(len(point)), a.Ptr(point))
		return derived(a, c11.Mech{Type: ck.CKM_ECDH1_DERIVE, Param: param}, key, uint64(len(shared)), shared)
	}
	raw := with(public)
	der, err := asn1.Marshal(public)
	if err != nil {
		return err
	}
	if wrapped := with(der); (wrapped == nil) != (raw == nil) {
		return fmt.Errorf("the raw point gives %v, the wrapped one %v", raw, wrapped)
	}
	return raw
}
