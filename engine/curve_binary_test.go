package engine

import (
	"bytes"
	"errors"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ec2m"
)

// ecPublicHalf is the public key of a private one.
func ecPublicHalf(t *testing.T, private *Key) *Key {
	t.Helper()
	c, err := ecCurve(private)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecPublicPoint(private, c)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{Class: ck.CKO_PUBLIC_KEY, Type: private.Type, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, private.Bytes(ck.CKA_EC_PARAMS)),
		ck.NewBytes(ck.CKA_EC_POINT, storedPoint(point)),
	}}
}

// Keys of binary curves sign and agree: one of each run of curves over the same
// field.
func TestBinaryCurves(t *testing.T) {
	degree := 0
	for _, d := range ec2m.Curves {
		if d.M == degree {
			continue
		}
		degree = d.M
		c := testCurve(d.Names[0])
		var keys [2]*Key
		for i := range keys {
			value, _, err := c.generate()
			if err != nil {
				t.Fatal(d.Names, err)
			}
			keys[i] = c.testKey(answer{"value": value})
			if attrs, err := FindKeyType(ck.CKK_EC).Complete(keys[i]); err != nil || len(attrs) == 0 {
				t.Fatal(d.Names, err)
			}
		}
		op, err := ecdsaSign(keys[0], nil)
		if err != nil {
			t.Fatal(d.Names, err)
		}
		v, err := ecdsaVerify(ecPublicHalf(t, keys[0]), nil)
		if err != nil {
			t.Fatal(d.Names, err)
		}
		if err := signThenVerify(op, v, bytes.Repeat([]byte{1}, 32)); err != nil {
			t.Error(d.Names, err)
		}
		var secrets [2][]byte
		for i := range keys {
			p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: ecPublicHalf(t, keys[1-i]).Bytes(ck.CKA_EC_POINT)}
			if secrets[i], err = Find(ck.CKM_ECDH1_COFACTOR_DERIVE).Derive(keys[i], p, &Derivation{}); err != nil {
				t.Fatal(d.Names, err)
			}
		}
		if !bytes.Equal(secrets[0], secrets[1]) || len(secrets[0]) != c.size {
			t.Errorf("%v: %x, %x", d.Names, secrets[0], secrets[1])
		}
	}
}

// FIPS 186-4 vectors of NIST's CAVP, SigVer.rsp: the first valid one of three
// sections.
func TestBinaryECDSA(t *testing.T) {
	for _, x := range []struct {
		curve               string
		mechanism           ck.MechanismType
		message, x, y, r, s string
	}{
		{"B-233", ck.CKM_ECDSA_SHA224,
			"7243e6a8e966e138fac8f4a757aba92b96baaaebc05e665ac3b2b391da505e80f1e957a1e17f8a1a39756eb5b666eeb6344457e90c60921f863795a791708b009562b72334520b533be64af343c344fd73ee8f59de16146ca3b417e6430980ddf2e47f04f1b169c1de5a5932ed576ab67c4e11202a3639fdac63b5046b976675",
			"1b57c565a6954dfa86a0b14787b156951fbf9e57d38decb6023b91b6609",
			"10e7f602ea0af12fee22cb3b49577c32ea9aa1607e95b0c33f17d2855f1",
			"00bd52ecfa95f6b4e3a338193aca06b6e26f5933e483f35d16954a42385",
			"0ca6ec1f6969358a6847d99bc417817ea4dcb6f769889959d155de6662e"},
		{"K-283", ck.CKM_ECDSA_SHA256,
			"ea2bf1062045fe799a33ecd899d0e63598325d00400004117baa99a90ee63f5eeeab19e5293fb2e5ab9c23f4a585430b2cbdd91c26cc4cba0ba4547dd27b6a730a5c0549cd5f1b5fac8aa0022b7a2b28454d143411dfae999a137b11ecd68d303abbe625c679acaa1d54488a336eb0cc9d1758884549fe10c37cde81c5b69fd7",
			"5176d69c610481c8d49b06e517475da3940c9e4270e2ed9821ea21f4d96297fb05f39ee",
			"79087740a5925602ae7773d1bca9cbb5f824fb1f5791f66ca37e7046ad39ee50787ecff",
			"03bf4c5c61f95b0b5e298a91a3b2e2dca3ad66340696c608d6cf5cc22f67e1938bea8fe",
			"049776b29390c2eb64357a920088001b47b74a514121f693971f657516acd5d884a1851"},
		{"B-571", ck.CKM_ECDSA_SHA512,
			"75818da1e359eefe60e5d8c065d6735527b3dc07264b134d19a905d003ad438544bc24e5d662b6176b1ac50b8f0520459e091312fce69ef9b622948142faed67aa6d5b345e8da6712e223fdcefdec22b784e2858282cbf6e30997971d121f9e5363f7620a518e490a0e916d9da70e61836b0c8c5b0d86c0a80ab6b4fad30a8f7",
			"35b8b217a4615a03ad0cc6e4ea1c05be493c2775084ee0bccd494e32d6c353b47c1557e027f14b2ca83580d0afdfc352c4b7b614264063e7655587c0e26d3b7bead526647d682ef",
			"35cf96abc4b3eadf43a3cce37da07b23769139bff7f6ab71afcbe326b51f474bb6fcfa616be3f588111864aba8626e80e6ade7011ada38b1ad78548773ccca1a58f435354ca4222",
			"1db0c7749d8ed8aef22b58329ecab603e279654596d8b448a120f4077a125cc029cdfcb986a60af73b166e9c8bcabceefbfaf23540d877e2890bc4a1df067784d0228988348e012",
			"16a283b2ea23532ae5b08b2fbff44fd0cfeb4f34624d089832ac9c9f02fd1a440f5323d3ec01ac37b61a8a1b3ceb9bc299eab4d7076a7ac5540a1dacc0c5405043ab45319fb5483"},
	} {
		c := testCurve(x.curve)
		point := append(append([]byte{4}, padded(unhexOdd(x.x), c.size)...), padded(unhexOdd(x.y), c.size)...)
		size := c.scalarSize()
		sig := append(padded(unhexOdd(x.r), size), padded(unhexOdd(x.s), size)...)
		if err := expectSignature(Find(x.mechanism).Verify, c.testVerifyKey(answer{"point": point}), nil, unhexOdd(x.message), sig); err != nil {
			t.Errorf("%s: %v", x.curve, err)
		}
	}
}

func unhexOdd(s string) []byte {
	if len(s)%2 == 1 {
		s = "0" + s
	}
	return unhex(s)
}

// Explicit parameters as OpenSSL 3.0 writes them (openssl ecparam -param_enc
// explicit). The last curve, of WAP WTLS, has no name here.
func TestExplicitBinaryCurves(t *testing.T) {
	for name, der := range map[string]string{
		"sect163k1": "3081a1020101302506072a8648ce3d0102301a020200a306092a8648ce3d010203033009020103020106020107302e0415000000000000000000000000000000000000000001041500000000000000000000" +
			"0000000000000000000001042b0402fe13c0537bbc11acaa07d793de4e6d5e5c94eee80289070fb05d38ff58321f2e800536d538ccdaa3d9021504000000000000000000020108a2e0cc0d99f8a5ef020102",
		"c2tnb191v1": "3081bf020101301d06072a8648ce3d01023012020200bf06092a8648ce3d01020302020109304b04182866537b676752636a68f56554e12640276b649ef752626704182e45ef571f00786f67b0081b9495a3d95462f5de0aa185ec" +
			"0315004e13ca542744d696e67687561517552f279a8c8404310436b3daf8a23206f9c4f299d7b21a9c369137f2c84ae1aa0d765be73433b3f95e332932e70ea245ca2418ea0ef98018fb021840000000000000000000000004a20e90c39067c893bbb9a5020102",
		"user-defined curve": "307a020101301c06072a8648ce3d0102301102017106092a8648ce3d010203020201093022040f000000000000000000000000000001040f000000000000000000000000000001" +
			"041f0401667979a40ba497e5d5c27078061700f44b4af1ecc2630e08785cebcc15020f00fffffffffffffffdbf91af6dea73020102",
	} {
		c, err := parseECParams(unhex(der), ck.CKK_EC)
		if err != nil || c.names[0] != name {
			t.Errorf("%s: %v %v", name, c, err)
			continue
		}
		again, err := parseECParams(unhex(der), ck.CKK_EC)
		if err != nil || again != c {
			t.Errorf("%s: two curves of one: %v", name, err)
		}
		written, err := parseECParams(c.params(), ck.CKK_EC)
		if err != nil || !bytes.Equal(written.params(), c.params()) {
			t.Errorf("%s: own parameters: %v", name, err)
		}
		value, point, err := c.generate()
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := c.parsePoint(storedPoint(point)); err != nil || !bytes.Equal(decoded, point) {
			t.Errorf("%s: %x %v", name, value, err)
		}
	}
}

func TestRefusedBinaryCurves(t *testing.T) {
	for _, x := range []struct {
		name, der string
		want      ck.RV
	}{
		{"base of its own on sect163k1", "3081a1020101302506072a8648ce3d0102301a020200a306092a8648ce3d010203033009020103020106020107302e0415000000000000000000000000000000000000000001041500000000000000000000" +
			"0000000000000000000001042b0402fe13c0537bbc11acaa07d793de4e6d5e5c94eee80289070fb05d38ff58321f2e800536d538ccdaa3d8021504000000000000000000020108a2e0cc0d99f8a5ef020102", ck.CKR_DOMAIN_PARAMS_INVALID},
		{"wrong order of WTLS's", "307a020101301c06072a8648ce3d0102301102017106092a8648ce3d010203020201093022040f000000000000000000000000000001040f000000000000000000000000000001" +
			"041f0401667979a40ba497e5d5c27078061700f44b4af1ecc2630e08785cebcc15020f00fffffffffffffffdbf91af6dea75020102", ck.CKR_DOMAIN_PARAMS_INVALID},
		{"normal basis", "3020020101301b06072a8648ce3d0102301002017106092a8648ce3d010203010500", ck.CKR_CURVE_NOT_SUPPORTED},
	} {
		if _, err := parseECParams(unhex(x.der), ck.CKK_EC); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	for _, p := range []ec2m.Params{{M: 1 << 40, Middle: []int{1}}, {M: -5, Middle: []int{1}}, {M: 100, Middle: []int{1}}, {M: 571, Middle: []int{570}}} {
		p.A, p.B, p.G, p.N = []byte{1}, []byte{1}, []byte{4, 1, 1}, []byte{7}
		if p.M > ecMaxBits { // writing such a thing takes as much memory
			p.M = 1 << 20
		}
		if _, err := parseECParams(binaryParameters(&p), ck.CKK_EC); err == nil {
			t.Errorf("m = %d: accepted", p.M)
		}
	}
}
