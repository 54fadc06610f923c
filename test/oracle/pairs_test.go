package oracle

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
)

// pair is a key pair that OpenSSL made: as encodings, and in the module.
type pair struct {
	kind      ck.KeyType
	pkcs8     []byte
	spki      []byte
	algorithm pkix.AlgorithmIdentifier
	point     []byte // the bit string of the public key
	private   uint64
	public    uint64
}

// made are the encodings that OpenSSL made so far, by the words of the request.
var made = map[string][]byte{}

// pairOf has OpenSSL make a key, and both in the module: the private key comes
// by C_UnwrapKey, wrapped by OpenSSL.
func (c *check) pairOf(words ...any) *pair {
	c.Helper()
	request := fmt.Sprint(words...)
	pkcs8 := made[request]
	if pkcs8 == nil {
		openssl.need(c.T)
		pkcs8 = c.askOf(openssl, append([]any{"gen"}, words...)...)
		made[request] = pkcs8
	}
	return c.pairFrom(pkcs8)
}

// another is one more pair like that of pairOf, the number times.
func (c *check) another(number int, words ...any) *pair {
	c.Helper()
	return c.pairOf(append(words, option("again", number))...)
}

func (c *check) pairFrom(pkcs8 []byte) *pair {
	c.Helper()
	p := &pair{pkcs8: pkcs8, spki: c.askOf(openssl, "pub", pkcs8)}
	p.parse(c)
	p.private = c.unwrapPair(p)
	p.public = c.create(p.publicTemplate(c)...)
	return p
}

var keyTypes = map[string]ck.KeyType{
	"1.2.840.113549.1.1.1": ck.CKK_RSA, "1.2.840.10045.2.1": ck.CKK_EC, "1.2.840.10040.4.1": ck.CKK_DSA,
	"1.2.840.113549.1.3.1": ck.CKK_DH, "1.2.840.10046.2.1": ck.CKK_X9_42_DH,
	"1.3.101.110": ck.CKK_EC_MONTGOMERY, "1.3.101.111": ck.CKK_EC_MONTGOMERY,
	"1.3.101.112": ck.CKK_EC_EDWARDS, "1.3.101.113": ck.CKK_EC_EDWARDS,
}

func (p *pair) parse(c *check) {
	c.Helper()
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	c.parse(p.spki, &info)
	p.algorithm, p.point = info.Algorithm, info.Key.Bytes
	kind, ok := keyTypes[info.Algorithm.Algorithm.String()]
	if !ok {
		c.Fatalf("a key of type %v", info.Algorithm.Algorithm)
	}
	p.kind = kind
}

func (c *check) parse(der []byte, to any) {
	c.Helper()
	if rest, err := asn1.Unmarshal(der, to); err != nil || len(rest) > 0 {
		c.Fatalf("parsing %x: %v", der, err)
	}
}

func marshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}

// unwrapPair brings the private key in, with all that it can be used for.
func (c *check) unwrapPair(p *pair) uint64 {
	c.Helper()
	wrapping := c.bytes(32)
	wrapped := c.askOf(openssl, "cipher", "AES-256-WRAP-PAD", "enc", wrapping, noIV, "raw", p.pkcs8)
	o, rv := mod.Unwrap(c.a, session, c.mechOf(ck.CKM_AES_KEY_WRAP_KWP, nil), c.secret(ck.CKK_AES, wrapping), wrapped, p.privateTemplate()...)
	c.good("C_UnwrapKey of a private key", rv)
	return c.keep(o)
}

func (p *pair) privateTemplate() []ck.Attribute {
	t := append(bools(true, ck.CKA_EXTRACTABLE), ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, p.kind), ck.NewBool(ck.CKA_SENSITIVE, false))
	return append(t, privateUses(p.kind)...)
}

func privateUses(kind ck.KeyType) []ck.Attribute {
	switch kind {
	case ck.CKK_RSA:
		return bools(true, ck.CKA_SIGN, ck.CKA_DECRYPT, ck.CKA_UNWRAP, ck.CKA_SIGN_RECOVER)
	case ck.CKK_EC:
		return bools(true, ck.CKA_SIGN, ck.CKA_DERIVE, ck.CKA_DECRYPT, ck.CKA_UNWRAP)
	case ck.CKK_DH, ck.CKK_X9_42_DH:
		return bools(true, ck.CKA_DERIVE)
	case ck.CKK_EC_MONTGOMERY:
		return bools(true, ck.CKA_DERIVE, ck.CKA_DECRYPT, ck.CKA_UNWRAP)
	}
	return bools(true, ck.CKA_SIGN)
}

func publicUses(kind ck.KeyType) []ck.Attribute {
	switch kind {
	case ck.CKK_RSA:
		return bools(true, ck.CKA_VERIFY, ck.CKA_ENCRYPT, ck.CKA_WRAP, ck.CKA_VERIFY_RECOVER)
	case ck.CKK_EC:
		return bools(true, ck.CKA_VERIFY, ck.CKA_ENCRYPT, ck.CKA_WRAP)
	case ck.CKK_EC_MONTGOMERY:
		return bools(true, ck.CKA_ENCRYPT, ck.CKA_WRAP)
	case ck.CKK_DH, ck.CKK_X9_42_DH:
		return nil
	}
	return bools(true, ck.CKA_VERIFY)
}

func (p *pair) publicTemplate(c *check) []ck.Attribute {
	t := append(publicUses(p.kind), ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, p.kind))
	return append(t, p.publicValues(c)...)
}

// groupOf are the domain parameters in an AlgorithmIdentifier.
func (p *pair) groupOf(c *check) (values []ck.Attribute) {
	params := p.algorithm.Parameters.FullBytes
	number := func(t ck.AttributeType, n *big.Int) { values = append(values, ck.NewBytes(t, n.Bytes())) }
	switch p.kind {
	case ck.CKK_EC:
		return []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, params)}
	case ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY:
		return []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, marshal(p.algorithm.Algorithm))}
	case ck.CKK_DSA:
		var g struct{ P, Q, G *big.Int }
		c.parse(params, &g)
		number(ck.CKA_PRIME, g.P)
		number(ck.CKA_SUBPRIME, g.Q)
		number(ck.CKA_BASE, g.G)
	case ck.CKK_DH:
		var g struct {
			P, G *big.Int
			L    int `asn1:"optional"`
		}
		c.parse(params, &g)
		number(ck.CKA_PRIME, g.P)
		number(ck.CKA_BASE, g.G)
	case ck.CKK_X9_42_DH:
		var g struct {
			P, G, Q    *big.Int
			J          *big.Int      `asn1:"optional"`
			Validation asn1.RawValue `asn1:"optional"`
		}
		c.parse(params, &g)
		number(ck.CKA_PRIME, g.P)
		number(ck.CKA_SUBPRIME, g.Q)
		number(ck.CKA_BASE, g.G)
	}
	return values
}

func (p *pair) publicValues(c *check) []ck.Attribute {
	values := p.groupOf(c)
	switch p.kind {
	case ck.CKK_RSA:
		var k struct{ N, E *big.Int }
		c.parse(p.point, &k)
		return []ck.Attribute{ck.NewBytes(ck.CKA_MODULUS, k.N.Bytes()), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, k.E.Bytes())}
	case ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY:
		return append(values, ck.NewBytes(ck.CKA_EC_POINT, marshal(p.point)))
	}
	var y *big.Int
	c.parse(p.point, &y)
	return append(values, ck.NewBytes(ck.CKA_VALUE, y.Bytes()))
}

// publicNumber is the public value of a key of Diffie and Hellman.
func (p *pair) publicNumber(c *check) []byte {
	var y *big.Int
	c.parse(p.point, &y)
	return y.Bytes()
}

// export has the module wrap a private key, and OpenSSL unwrap it.
func (c *check) export(private uint64) (pkcs8 []byte) {
	c.Helper()
	wrapping := c.bytes(32)
	wrapped, rv := mod.Wrap(c.a, session, c.mechOf(ck.CKM_AES_KEY_WRAP_KWP, nil), c.secret(ck.CKK_AES, wrapping), private)
	c.good("C_WrapKey of a private key", rv)
	return c.askOf(openssl, "cipher", "AES-256-WRAP-PAD", "dec", wrapping, noIV, "raw", wrapped)
}

// generates has the module make key pairs, which OpenSSL checks.
func (c *check) generates(kind ck.KeyType, public, private []ck.Attribute) *pair {
	c.Helper()
	t := &pair{kind: kind}
	pub, priv, rv := mod.GeneratePair(c.a, session, c.mech(nil), append(publicUses(kind), public...),
		append(append(bools(true, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false)), append(privateUses(kind), private...)...))
	c.good("C_GenerateKeyPair", rv)
	t.public, t.private = c.keep(pub), c.keep(priv)
	t.pkcs8 = c.export(priv)
	t.spki = c.askOf(openssl, "pub", t.pkcs8)
	t.parse(c)
	if got, want := fmt.Sprintf("%x", c.publicKeyOf(t)), fmt.Sprintf("%x", t.publicValues(c)); got != want {
		c.Errorf("the public key is %s, the private one belongs to %s", got, want)
	}
	c.compared++
	if _, err := openssl.ask("check", "private", t.pkcs8); err != nil {
		c.Errorf("OpenSSL refuses the pair: %v", err)
	}
	return t
}

// publicKeyOf reads the attributes that publicValues has.
func (c *check) publicKeyOf(p *pair) (values []ck.Attribute) {
	c.Helper()
	for _, at := range p.publicValues(c) {
		v := c.get(p.public, at.Type)
		if at.Type != ck.CKA_EC_POINT && at.Type != ck.CKA_EC_PARAMS {
			v = []byte(strings.TrimLeft(string(v), "\x00"))
		}
		values = append(values, ck.NewBytes(at.Type, v))
	}
	return values
}

// signature forms: how the module and the oracle write the same signature.

type form struct{ toOracle, toModule func(sig []byte) []byte }

var plainForm = form{func(s []byte) []byte { return s }, func(s []byte) []byte { return s }}

// dsaForm is two numbers of n bytes here, a SEQUENCE there.
func dsaForm(n int) form {
	type numbers struct{ R, S *big.Int }
	return form{
		func(s []byte) []byte {
			return marshal(numbers{new(big.Int).SetBytes(s[:len(s)/2]), new(big.Int).SetBytes(s[len(s)/2:])})
		},
		func(s []byte) []byte {
			var v numbers
			if _, err := asn1.Unmarshal(s, &v); err != nil {
				panic(err)
			}
			return cat(v.R.FillBytes(make([]byte, n)), v.S.FillBytes(make([]byte, n)))
		},
	}
}

// signs compares signatures in both directions. The options are OpenSSL's.
func (c *check) signs(k *pair, f form, param []byte, digest string, message []byte, options ...string) {
	c.Helper()
	got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(param), k.private, message)
	c.good("C_Sign", rv)
	var more []any
	for _, o := range options {
		more = append(more, o)
	}
	c.agrees("signature", 4, append([]any{"verify", k.spki, digest, message, f.toOracle(got)}, more...)...)
	theirs := c.ask(append([]any{"sign", k.pkcs8, digest, message}, more...)...)
	c.verifies(param, k.public, message, f.toModule(theirs))
}

// signsSame is signs for signatures that are the same each time.
func (c *check) signsSame(k *pair, param []byte, digest string, message []byte, options ...string) {
	c.Helper()
	c.signs(k, plainForm, param, digest, message, options...)
	got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(param), k.private, message)
	c.good("C_Sign", rv)
	var more []any
	for _, o := range options {
		more = append(more, o)
	}
	c.equal("signature", got, c.ask(append([]any{"sign", k.pkcs8, digest, message}, more...)...))
}
