package wycheproof

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// oids names the curves of the vectors, as their files do.
var oids = map[string]string{
	"secp160k1": "1.3.132.0.9", "secp160r1": "1.3.132.0.8", "secp160r2": "1.3.132.0.30",
	"secp192k1": "1.3.132.0.31", "secp192r1": "1.2.840.10045.3.1.1",
	"secp224k1": "1.3.132.0.32", "secp224r1": "1.3.132.0.33",
	"secp256k1": "1.3.132.0.10", "secp256r1": "1.2.840.10045.3.1.7",
	"secp384r1": "1.3.132.0.34", "secp521r1": "1.3.132.0.35",
	"brainpoolP224r1": "1.3.36.3.3.2.8.1.1.5", "brainpoolP256r1": "1.3.36.3.3.2.8.1.1.7", "brainpoolP320r1": "1.3.36.3.3.2.8.1.1.9",
	"brainpoolP384r1": "1.3.36.3.3.2.8.1.1.11", "brainpoolP512r1": "1.3.36.3.3.2.8.1.1.13",
	"sect283k1": "1.3.132.0.16", "sect283r1": "1.3.132.0.17", "sect409k1": "1.3.132.0.36", "sect409r1": "1.3.132.0.37",
	"sect571k1": "1.3.132.0.38", "sect571r1": "1.3.132.0.39",
	"edwards25519": "1.3.101.112", "edwards448": "1.3.101.113", "curve25519": "1.3.101.110", "curve448": "1.3.101.111",
}

// orders are the lengths of the orders in bytes, where the name does not tell.
var orders = map[string]int{"secp160k1": 21, "secp160r1": 21, "secp160r2": 21, "secp224k1": 29}

func orderLength(curve string) int {
	if n, ok := orders[curve]; ok {
		return n
	}
	bits, err := strconv.Atoi(strings.FieldsFunc(curve, func(r rune) bool { return r < '0' || r > '9' })[0])
	if err != nil {
		panic(err)
	}
	return (bits + 7) / 8
}

// namedCurve is CKA_EC_PARAMS with the OID of a curve.
func namedCurve(curve string) []byte {
	oid, ok := oids[curve]
	if !ok {
		panic("no OID for " + curve)
	}
	return oidDER(oid)
}

func oidDER(dotted string) []byte {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(dotted, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			panic(err)
		}
		oid = append(oid, n)
	}
	der, err := asn1.Marshal(oid)
	if err != nil {
		panic(err)
	}
	return der
}

func octets(b []byte) []byte {
	der, err := asn1.Marshal(b)
	if err != nil {
		panic(err)
	}
	return der
}

type ecPublic struct {
	Curve        string
	Uncompressed hexBytes
	Pk           hexBytes
}

func ecPublicKey(kind ck.KeyType, params, point []byte) (uint64, ck.RV) {
	return mod.Create(session, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind),
		ck.NewBytes(ck.CKA_EC_PARAMS, params), ck.NewBytes(ck.CKA_EC_POINT, octets(point)), ck.NewBool(ck.CKA_VERIFY, true))
}

// verifyDigested verifies with the hash in the module, and outside of it.
func verifyDigested(a *c11.Arena, plain, hashing ck.MechanismType, key uint64, sha string, msg, sig []byte) error {
	digest, err := digestOf(sha, msg)
	if err != nil {
		return err
	}
	raw := verifySingle(a, c11.Mech{Type: plain}, key, digest, sig)
	if hashing == 0 {
		return raw
	}
	err = verifyBoth(a, c11.Mech{Type: hashing}, key, msg, sig)
	if (raw == nil) != (err == nil) {
		return fmt.Errorf("hashing outside gives %v, inside %v", raw, err)
	}
	return err
}

// halfOrder is half the order of secp256k1 (SEC 2, section 2.4.1).
var halfOrder = new(big.Int).Rsh(new(big.Int).SetBytes(unhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")), 1)

func ecdsa() check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		p := object[ecPublic](g.PublicKey)
		sig := []byte(v.Sig)
		if g.Type != "EcdsaP1363Verify" {
			var err error
			if sig, err = rawSignature(orderLength(p.Curve), sig); err != nil {
				return err
			}
		}
		if n := len(sig) / 2; g.Type == "EcdsaBitcoinVerify" && new(big.Int).SetBytes(sig[n:]).Cmp(halfOrder) > 0 {
			return inexpressible("that s must be small is Bitcoin's rule and not ECDSA's")
		}
		key, err := k.of(g, func() (uint64, ck.RV) { return ecPublicKey(ck.CKK_EC, namedCurve(p.Curve), p.Uncompressed) })
		if err != nil {
			return err
		}
		return verifyDigested(a, ck.CKM_ECDSA, hashes[g.Sha].ecdsa, key, g.Sha, v.Msg, sig)
	}
}

func eddsa() check {
	var k keys
	return func(a *c11.Arena, g *group, v *vector) error {
		p := object[ecPublic](g.PublicKey)
		key, err := k.of(g, func() (uint64, ck.RV) { return ecPublicKey(ck.CKK_EC_EDWARDS, namedCurve(p.Curve), p.Pk) })
		if err != nil {
			return err
		}
		return verifyBoth(a, c11.Mech{Type: ck.CKM_EDDSA}, key, v.Msg, v.Sig)
	}
}

const notDER = inexpressible("the signature is not DER, and PKCS#11 signatures are not DER at all")

// rawSignature turns a DER signature into r and s of the order's length.
func rawSignature(n int, der []byte) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &rs)
	if err != nil || len(rest) > 0 || rs.R.Sign() < 0 || rs.S.Sign() < 0 {
		return nil, notDER
	}
	if again, err := asn1.Marshal(rs); err != nil || !bytes.Equal(again, der) {
		return nil, notDER
	}
	if len(rs.R.Bytes()) > n || len(rs.S.Bytes()) > n {
		return nil, inexpressible("r or s is longer than the order, for which a PKCS#11 signature has no room")
	}
	return append(rs.R.FillBytes(make([]byte, n)), rs.S.FillBytes(make([]byte, n))...), nil
}

// Agreement

// agreement is one case: the parameters and value of the private key, or the
// whole of it in PKCS#8, and the other's point.
type agreement struct {
	kind                 ck.KeyType
	params, value, pkcs8 []byte
	point                []byte
}

func ecdhPoint(a *c11.Arena, g *group, v *vector) error {
	return agreement{kind: ck.CKK_EC, params: namedCurve(g.Curve), value: trim(object[hexBytes](v.Private)), point: object[hexBytes](v.Public)}.run(a, v)
}

func xdhPoint(a *c11.Arena, g *group, v *vector) error {
	return agreement{kind: ck.CKK_EC_MONTGOMERY, params: namedCurve(g.Curve), value: object[hexBytes](v.Private), point: object[hexBytes](v.Public)}.run(a, v)
}

// ecdhSPKI takes a point out of a SubjectPublicKeyInfo. If that has explicit
// parameters, the private key is made with them.
func ecdhSPKI(a *c11.Arena, g *group, v *vector) error {
	return withSPKI(a, g, v, object[hexBytes](v.Public), agreement{kind: ck.CKK_EC, params: namedCurve(g.Curve), value: trim(object[hexBytes](v.Private))})
}

func ecdhPEM(a *c11.Arena, g *group, v *vector) error {
	public, private, err := pems(v)
	if err != nil {
		return err
	}
	return withSPKI(a, g, v, public, agreement{kind: ck.CKK_EC, params: namedCurve(g.Curve), pkcs8: private})
}

func xdhASN(a *c11.Arena, g *group, v *vector) error {
	if slices.Contains(v.Flags, "MissingOctetString") {
		return inexpressible("a private key without the inner OCTET STRING is understood on purpose")
	}
	return withSPKI(a, g, v, object[hexBytes](v.Public), agreement{kind: ck.CKK_EC_MONTGOMERY, params: namedCurve(g.Curve), pkcs8: object[hexBytes](v.Private)})
}

func xdhPEM(a *c11.Arena, g *group, v *vector) error {
	public, private, err := pems(v)
	if err != nil {
		return err
	}
	return withSPKI(a, g, v, public, agreement{kind: ck.CKK_EC_MONTGOMERY, params: namedCurve(g.Curve), pkcs8: private})
}

func pems(v *vector) (public, private []byte, err error) {
	p, _ := pem.Decode([]byte(object[string](v.Public)))
	q, _ := pem.Decode([]byte(object[string](v.Private)))
	if p == nil || q == nil {
		return nil, nil, inexpressible("PKCS#11 has no PEM, and what the vector holds is none")
	}
	return p.Bytes, q.Bytes, nil
}

func withSPKI(a *c11.Arena, g *group, v *vector, der []byte, x agreement) error {
	var info struct {
		Algorithm struct {
			ID     asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) > 0 || info.Key.BitLength%8 != 0 {
		return inexpressible("the other's key is not the DER of a SubjectPublicKeyInfo, and PKCS#11 passes the point alone")
	}
	x.point = info.Key.Bytes
	params := info.Algorithm.Params.FullBytes
	if x.kind == ck.CKK_EC_MONTGOMERY {
		params, err = asn1.Marshal(info.Algorithm.ID)
		if err != nil {
			panic(err)
		}
	}
	if bytes.Equal(params, x.params) {
		return x.run(a, v)
	}
	const anotherCurve = inexpressible("the other's key names another curve, and PKCS#11 passes the point alone")
	if info.Algorithm.Params.Tag != asn1.TagSequence || x.value == nil {
		return anotherCurve
	}
	x.params = params
	err = x.run(a, v)
	if err == nil && v.Result == "invalid" {
		return anotherCurve
	}
	if _, refused := err.(ck.RV); err != nil && !refused && v.Result == "invalid" {
		return anotherCurve // a usable curve, on which something else comes out
	}
	return err
}

type jwk struct{ Kty, Crv, X, Y, D string }

// ecdhJWK takes the numbers out of JSON Web Keys.
func ecdhJWK(a *c11.Arena, g *group, v *vector) error {
	public, private := object[jwk](v.Public), object[jwk](v.Private)
	const notOfCurve = inexpressible("the JSON Web Key is not one of this curve, and PKCS#11 passes the point alone")
	names := map[string]string{
		"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1", "P-256K": "secp256k1",
		"X25519": "curve25519", "X448": "curve448",
	}
	curve, ok := names[private.Crv]
	if !ok || public.Crv != private.Crv || public.Kty != private.Kty {
		return notOfCurve
	}
	d, err := base64.RawURLEncoding.DecodeString(private.D)
	x, err2 := base64.RawURLEncoding.DecodeString(public.X)
	y, err3 := base64.RawURLEncoding.DecodeString(public.Y)
	if err != nil || err2 != nil || err3 != nil {
		return notOfCurve
	}
	if private.Kty == "OKP" {
		return agreement{kind: ck.CKK_EC_MONTGOMERY, params: namedCurve(curve), value: d, point: x}.run(a, v)
	}
	if n := orderLength(curve); len(x) != n || len(y) != n || len(d) != n {
		return notOfCurve
	}
	return agreement{kind: ck.CKK_EC, params: namedCurve(curve), value: trim(d), point: join([]byte{4}, x, y)}.run(a, v)
}

// run derives the shared secret, with the other's point as it is and in DER.
func (x agreement) run(a *c11.Arena, v *vector) error {
	key, rv := x.privateKey(a)
	if rv != ck.CKR_OK {
		return rv
	}
	defer mod.Destroy(session, key)
	with := func(point []byte) error {
		param := c11.Words(uint64(ck.CKD_NULL), 0, 0, uint64(len(point)), a.Ptr(point))
		return derived(a, c11.Mech{Type: ck.CKM_ECDH1_DERIVE, Param: param}, key, uint64(len(v.Shared)), v.Shared)
	}
	raw := with(x.point)
	if wrapped := with(octets(x.point)); (wrapped == nil) != (raw == nil) {
		return fmt.Errorf("the raw point gives %v, the wrapped one %v", raw, wrapped)
	}
	return raw
}

func (x agreement) privateKey(a *c11.Arena) (uint64, ck.RV) {
	template := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, x.kind), ck.NewBool(ck.CKA_DERIVE, true)}
	if x.pkcs8 == nil {
		return mod.Create(session, append(template, ck.NewBytes(ck.CKA_EC_PARAMS, x.params), ck.NewBytes(ck.CKA_VALUE, x.value))...)
	}
	return importPKCS8(a, x.pkcs8, template...)
}

// importPKCS8 encrypts a private key on the token and unwraps it.
func importPKCS8(a *c11.Arena, der []byte, template ...ck.Attribute) (uint64, ck.RV) {
	key, rv := secret(ck.CKK_AES, make([]byte, 16))
	if rv != ck.CKR_OK {
		return 0, rv
	}
	defer mod.Destroy(session, key)
	mech := c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: make([]byte, 16)}
	wrapped, rv := mod.Single(a, mod.Encryption(), session, mech, key, der)
	if rv != ck.CKR_OK {
		return 0, rv
	}
	return mod.Unwrap(a, session, mech, key, wrapped, template...)
}

// curveCase makes keys on a curve by its OID and by its parameters, which must
// understand one another.
func curveCase(a *c11.Arena, _ *group, v *vector) error {
	size := len(trim(v.P))
	padded := func(b []byte) []byte { return new(big.Int).SetBytes(b).FillBytes(make([]byte, size)) }
	type field struct {
		Type  asn1.RawValue
		Prime *big.Int
	}
	type parameters struct {
		Version     int
		Field       field
		Coefficient struct{ A, B []byte }
		Base        []byte
		Order       *big.Int
		Cofactor    int
	}
	explicit, err := asn1.Marshal(parameters{
		Version: 1, Field: field{asn1.RawValue{FullBytes: oidDER("1.2.840.10045.1.1")}, new(big.Int).SetBytes(v.P)},
		Coefficient: struct{ A, B []byte }{padded(v.A), padded(v.B)},
		Base:        join([]byte{4}, padded(v.Gx), padded(v.Gy)), Order: new(big.Int).SetBytes(v.N), Cofactor: 1,
	})
	if err != nil {
		return err
	}
	// The number 1 as a private key has the base as its point: so both forms
	// must agree with that of the other.
	shared := padded(v.Gx)
	for _, params := range [][]byte{explicit, oidDER(v.OID)} {
		x := agreement{kind: ck.CKK_EC, params: params, value: []byte{1}, point: join([]byte{4}, padded(v.Gx), padded(v.Gy))}
		if err := x.run(a, &vector{Shared: shared}); err != nil {
			return err
		}
		o, rv := ecPublicKey(ck.CKK_EC, params, x.point)
		if rv != ck.CKR_OK {
			return rv
		}
		mod.Destroy(session, o)
	}
	return nil
}
