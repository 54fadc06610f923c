package main

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/migrate/pbe"
)

func TestGenerate(t *testing.T) {
	b := ready(t)
	for i, c := range []struct{ typ, printed, usage string }{
		{"rsa:2048", "rsa:2048", "verify encrypt / sign decrypt"},
		{"ec", "ec:P-256", "verify / sign"},
		{"ec:secp384r1", "ec:P-384", "verify / sign"},
		{"EC:p-521", "ec:P-521", "verify / sign"},
		{"ec:1.3.132.0.33", "ec:P-224", "verify / sign"},
		{"ed25519", "ed25519", "verify / sign"},
		{"x25519", "x25519", " / derive"},
		{"aes", "aes:256", "encrypt decrypt"},
		{"aes:128", "aes:128", "encrypt decrypt"},
		{"generic:20", "generic:20", "sign verify derive"},
		{"hkdf", "hkdf:32", "derive"},
		{"hmac-sha1", "hmac-sha1:20", "sign verify"},
		{"hmac-sha512-256:40", "hmac-sha512-256:40", "sign verify"},
		{"hmac-sha3-384", "hmac-sha3-384:48", "sign verify"},
		{"ec:secp256k1", "ec:secp256k1", "verify / sign"},
		{"ec:BRAINPOOLp384r1", "ec:brainpoolP384r1", "verify / sign"},
		{"ec:sect283k1", "ec:sect283k1", "verify / sign"},
		{"ec:prime192v1", "ec:P-192", "verify / sign"},
		{"ed448", "ed448", "verify / sign"},
		{"x448", "x448", " / derive"},
		{"ml-kem", "ml-kem:768", "encapsulate / decapsulate"},
		{"ml-kem:1024", "ml-kem:1024", "encapsulate / decapsulate"},
		{"ml-dsa", "ml-dsa:65", "verify / sign"},
		{"ml-dsa:44", "ml-dsa:44", "verify / sign"},
		{"slh-dsa:shake-128F", "slh-dsa:SHAKE-128f", "verify / sign"},
		{"aes-xts", "aes-xts:512", "encrypt decrypt"},
		{"aria:192", "aria:192", "encrypt decrypt"},
		{"camellia", "camellia:256", "encrypt decrypt"},
		{"twofish:128", "twofish:128", "encrypt decrypt"},
		{"seed", "seed", "encrypt decrypt"},
		{"sm4", "sm4", "encrypt decrypt"},
		{"chacha20", "chacha20", "encrypt decrypt"},
		{"salsa20", "salsa20", "encrypt decrypt"},
		{"des3", "des3", "encrypt decrypt"},
		{"des2", "des2", "encrypt decrypt"},
		{"poly1305", "poly1305", "sign verify"},
		{"hmac-blake2b-256", "hmac-blake2b-256:32", "sign verify"},
	} {
		list := decode[[]keyJSON](t, b.do(fmt.Sprintf("key generate --type %s --label k%d --pin env:CO --json", c.typ, i)))
		usages := strings.Split(c.usage, " / ")
		if len(list) != len(usages) {
			t.Fatalf("%s made %+v", c.typ, list)
		}
		for j, k := range list {
			want := strings.Fields(usages[j])
			slices.Sort(want)
			slices.Sort(k.Usage)
			if k.Type != c.printed || k.Label != fmt.Sprint("k", i) || k.ID == "" || k.ID != list[0].ID || !slices.Equal(k.Usage, want) {
				t.Errorf("%s made %+v, want %s for %s", c.typ, k, c.printed, want)
			}
			secret := k.Class != "public"
			if k.Private != secret || k.Sensitive != secret || k.Extractable {
				t.Errorf("%s made %+v", c.typ, k)
			}
		}
		details := decode[[]keyDetailsJSON](t, b.do(fmt.Sprintf("key show --label k%d --pin env:CO --json", i)))
		for _, d := range details {
			if !d.Local || d.Class != "public" && (!d.NeverExtractable || !d.AlwaysSensitive) || d.UniqueID == "" {
				t.Errorf("%s: %+v", c.typ, d)
			}
		}
	}
	list := decode[[]keyJSON](t, b.do("key generate --type aes --label w --id 0A:0b --usage wrap,derive --extractable --pin env:CO --json"))
	if k := list[0]; k.ID != "0a0b" || !k.Extractable || strings.Join(k.Usage, " ") != "wrap unwrap derive" {
		t.Errorf("wishes: %+v", k)
	}
	b.fails(exitFailed, "key generate --type rsa:248 --pin env:CO", "cannot generate a key of type rsa:248", "CKR_KEY_SIZE_RANGE")
	b.fails(exitFailed, "key generate --type ec:1.3.132.0.99 --pin env:CO", "CKR_CURVE_NOT_SUPPORTED")
	for typ, says := range map[string]string{
		"ml-dsa:66": "ml-dsa has no parameter set \"66\"; it has 44, 65, 87", "dsa": "generates no such keys", "rc4:128": "generates no such keys",
		"des3:168": "one size only", "ed448:448": "one size only", "ec:ed25519": "there is no curve", "aes --usage encapsulate": "secret keys cannot",
	} {
		b.fails(exitUsage, "key generate --pin env:CO --type "+typ, says)
	}
	r := b.fails(exitDone, "key generate --type ec --label p --pin env:CO --progress")
	if !strings.Contains(r.stderr, "generating ec") {
		t.Errorf("--progress showed %q", r.stderr)
	}
	if strings.Contains(b.run("key", "generate", "--type", "ec", "--pin", "env:CO").stderr, "generating") {
		t.Error("progress was shown to nobody")
	}
}

// Every key type that the HSM has is in the table, under one name.
func TestEveryKeyTypeHasAName(t *testing.T) {
	names := map[string]bool{}
	for _, k := range keyKinds {
		if names[k.name] {
			t.Errorf("two kinds of keys are called %s", k.name)
		}
		names[k.name] = true
		if k.byDefault != "" {
			if _, err := parseKeySpec(k.name + ":" + k.byDefault); err != nil {
				t.Error(err)
			}
		}
		if k.generate != elsewhere && engine.Find(k.generate) == nil {
			t.Errorf("%s: there is no %v", k.name, k.generate)
		}
		for _, s := range k.sets {
			if spec, err := parseKeySpec(k.name + ":" + s.name); err != nil || spec.set != s.set {
				t.Errorf("%s:%s: %v", k.name, s.name, err)
			}
		}
	}
	for _, kt := range engine.KeyTypes() {
		name := typeName(ck.CKO_SECRET_KEY, kt.Type, nil)
		if kt.Type == ck.CKK_EC_EDWARDS || kt.Type == ck.CKK_EC_MONTGOMERY {
			continue // by their curves
		}
		if strings.HasPrefix(name, "CKK_") || strings.HasPrefix(name, "0x") {
			t.Errorf("keys of type %v have no name", kt.Type)
		}
	}
}

// In FIPS mode, RSA keys come from the mechanism that it has for them.
func TestGenerateInFIPSMode(t *testing.T) {
	b := ready(t)
	b.do("partition policy set --id 43 --value off --so-pin env:PO")
	b.do("key generate --type rsa:2048 --label k --pin env:CO")
	b.fails(exitFailed, "key generate --type rsa:1024 --pin env:CO", "CKR_")
	b.fails(exitFailed, "key generate --type ed25519 --pin env:CO", "CKR_MECHANISM_INVALID")
}

func TestListAndSelect(t *testing.T) {
	b := ready(t)
	if out := b.do("key list --pin env:CO"); !strings.Contains(out, "No keys") {
		t.Errorf("an empty list: %q", out)
	}
	if out := b.do("key list --pin env:CO --json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("an empty list in JSON: %q", out)
	}
	b.do("key generate --type ec --label a --id 01 --pin env:CO")
	b.do("key generate --type ec --label b --id 02 --pin env:CO")
	b.do("key generate --type aes --label b --id 03 --pin env:CO")
	for line, want := range map[string]int{
		"": 5, "--label a": 2, "--label b": 3, "--id 02": 2, "--class secret": 1, "--class private --label b": 1, "--label c": 0,
	} {
		if n := len(decode[[]keyJSON](t, b.do("key list --pin env:CO --json "+line))); n != want {
			t.Errorf("key list %s: %d objects, want %d", line, n, want)
		}
	}
	if n := len(decode[[]keyJSON](t, b.do("key list --role cu --pin env:CU --json"))); n != 5 {
		t.Errorf("the Crypto User sees %d objects", n)
	}
	if n := len(decode[[]keyJSON](t, b.do("key list --public --json"))); n != 2 {
		t.Errorf("nobody sees %d objects, want 2", n)
	}
	list := decode[[]keyJSON](t, b.do("key list --pin env:CO --json --class secret"))
	if n := len(decode[[]keyDetailsJSON](t, b.do(fmt.Sprintf("key show --pin env:CO --json --handle %d", list[0].Handle)))); n != 1 {
		t.Errorf("by handle: %d", n)
	}
	b.fails(exitFailed, "key show --label none --pin env:CO", "cannot find the key", `label "none"`)

	b.fails(exitUsage, "key delete --label b --pin env:CO --force", "3 objects with 2 different identifiers", "--all")
	b.do("key delete --label b --class secret --pin env:CO --force")
	b.do("key delete --id 02 --pin env:CO --force")
	if n := len(decode[[]keyJSON](t, b.do("key list --pin env:CO --json"))); n != 2 {
		t.Errorf("%d objects are left, want 2", n)
	}
	b.do("key delete --all --pin env:CO --force")
	b.fails(exitFailed, "key delete --label a --pin env:CO --force", "cannot find the key")
}

func TestURI(t *testing.T) {
	k := &keys{target: target{info: p11.PartitionInfo{Label: "my app", Serial: "123"}}}
	got := k.uri(keyJSON{Class: "private", Label: "a;b/ä", ID: "01ff"})
	if want := "pkcs11:token=my%20app;serial=123;id=%01%FF;object=a%3Bb%2F%C3%A4;type=private"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// pkix is a public key as `key export-public` writes it.
func pkixPEM(t *testing.T, pub any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func pkcs8DER(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(1700000000, 0), NotAfter: time.Unix(1800000000, 0)}
	return must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
}

func TestImportFormats(t *testing.T) {
	b := ready(t)
	dir := t.TempDir()
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	n := 0
	newEC := func(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	check := func(what, text string, pub any, classes ...string) {
		t.Helper()
		n++
		path := write(t, filepath.Join(dir, fmt.Sprintf("key%d.pem", n)), text)
		list := decode[[]importJSON](t, b.do("key import --pin env:CO --json "+path))
		if len(list) != 1 || list[0].Status != "imported" {
			t.Fatalf("%s: %+v", what, list)
		}
		var got []string
		for _, o := range list[0].Objects {
			got = append(got, o.Class)
			if o.Label != fmt.Sprint("key", n) || o.ID != list[0].Objects[0].ID || len(o.ID) != 40 {
				t.Errorf("%s: %+v", what, o)
			}
			if o.Class == "private" && (!o.Sensitive || o.Extractable || !o.Private) {
				t.Errorf("%s: %+v", what, o)
			}
		}
		if !slices.Equal(got, classes) {
			t.Errorf("%s made %v, want %v", what, got, classes)
		}
		if slices.Contains(classes, "cert") && len(classes) == 1 {
			return
		}
		if out := b.do(fmt.Sprintf("key export-public --label key%d --pin env:CO", n)); out != pkixPEM(t, pub) {
			t.Errorf("%s: the public key is another one:\n%s", what, out)
		}
		if list := decode[[]importJSON](t, b.do("key import --pin env:CO --json "+path)); list[0].Status != "skipped" {
			t.Errorf("%s, once more: %+v", what, list)
		}
		b.do(fmt.Sprintf("key delete --label key%d --pin env:CO --force", n))
	}

	check("PKCS #1", pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey.Public(), "private", "public")
	check("PKCS #1 in DER", string(x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey.Public(), "private", "public")
	check("PKCS #8 RSA", pemText("PRIVATE KEY", pkcs8DER(t, rsaKey)), rsaKey.Public(), "private", "public")
	check("PKCS #8 RSA in DER", string(pkcs8DER(t, rsaKey)), rsaKey.Public(), "private", "public")
	for _, c := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k := newEC(c)
		sec1 := must(x509.MarshalECPrivateKey(k))
		check("SEC 1", "noise before\n"+pemText("EC PRIVATE KEY", sec1), k.Public(), "private", "public")
		check("SEC 1 in DER", string(sec1), k.Public(), "private", "public")
		check("PKCS #8 EC", pemText("PRIVATE KEY", pkcs8DER(t, k)), k.Public(), "private", "public")
	}
	pub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	check("Ed25519", pemText("PRIVATE KEY", pkcs8DER(t, ed)), pub, "private", "public")
	x := must(ecdh.X25519().GenerateKey(rand.Reader))
	check("X25519", string(pkcs8DER(t, x)), x.Public(), "private", "public")

	ec := newEC(elliptic.P256())
	cert := certificate(t, ec)
	check("certificate", pemText("CERTIFICATE", cert), ec.Public(), "cert")
	check("key and certificate", pemText("PRIVATE KEY", pkcs8DER(t, ec))+pemText("EC PARAMETERS", must(asn1.Marshal(asn1.ObjectIdentifier{1, 2})))+pemText("CERTIFICATE", certificate(t, ec)),
		ec.Public(), "private", "public", "cert")
	check("public key", pkixPEM(t, rsaKey.Public()), rsaKey.Public(), "public")
	p384 := newEC(elliptic.P384())
	check("public EC key", pkixPEM(t, p384.Public()), p384.Public(), "public")
	check("public Ed25519 key", pkixPEM(t, pub), pub, "public")
}

// Keys that Go's library does not write: as PKCS #8 and as public keys of the
// engine's.
func TestImportMoreTypes(t *testing.T) {
	b := ready(t)
	dir := t.TempDir()
	curve := func(name string) (ck.MechanismType, ck.Attribute) {
		params, kt, _ := engine.CurveParams(name)
		m := map[ck.KeyType]ck.MechanismType{
			ck.CKK_EC: ck.CKM_EC_KEY_PAIR_GEN, ck.CKK_EC_EDWARDS: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, ck.CKK_EC_MONTGOMERY: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
		}
		return m[kt], ck.NewBytes(ck.CKA_EC_PARAMS, params)
	}
	for typ, template := range map[string]struct {
		m ck.MechanismType
		a ck.Attribute
	}{
		"ml-kem:512":        {ck.CKM_ML_KEM_KEY_PAIR_GEN, ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_KEM_512))},
		"ml-dsa:87":         {ck.CKM_ML_DSA_KEY_PAIR_GEN, ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_DSA_87))},
		"slh-dsa:SHA2-128f": {ck.CKM_SLH_DSA_KEY_PAIR_GEN, ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_SLH_DSA_SHA2_128F))},
		"ec:secp256k1":      {}, "ec:brainpoolP512t1": {}, "ec:sect233r1": {}, "ed448": {}, "x448": {},
	} {
		if template.m == 0 {
			template.m, template.a = curve(strings.TrimPrefix(typ, "ec:"))
		}
		row := engine.Find(template.m)
		_, attrs, err := row.GeneratePair(nil, []ck.Attribute{template.a}, nil)
		if err != nil {
			t.Fatal(err)
		}
		kt := engine.FindKeyType(row.Makes)
		k := &engine.Key{Class: ck.CKO_PRIVATE_KEY, Type: row.Makes, Attrs: attrs}
		label := strings.ReplaceAll(typ, ":", "-")
		public := pemText("PUBLIC KEY", must(kt.PublicInfo(k)))
		imported := func(path string, classes ...string) {
			t.Helper()
			list := decode[[]importJSON](t, b.do("key import --pin env:CO --json "+path))
			if list[0].Status != "imported" || len(list[0].Objects) != len(classes) {
				t.Fatalf("%s: %+v", typ, list)
			}
			for i, o := range list[0].Objects {
				if o.Class != classes[i] || o.Type != typ || o.Label != label {
					t.Errorf("%s: %+v", typ, o)
				}
			}
			if out := b.do("key export-public --label " + label + " --pin env:CO"); out != public {
				t.Errorf("%s: the public key is another one:\n%s", typ, out)
			}
			b.do("key delete --label " + label + " --pin env:CO --force")
		}
		imported(write(t, filepath.Join(dir, label+".pem"), pemText("PRIVATE KEY", must(kt.MarshalPKCS8(k)))), "private", "public")
		imported(write(t, filepath.Join(dir, label+".pub"), public), "public")
	}
}

func TestImportSecrets(t *testing.T) {
	b := ready(t)
	dir := t.TempDir()
	raw := write(t, filepath.Join(dir, "raw"), strings.Repeat("k", 16))
	hex := write(t, filepath.Join(dir, "hex"), strings.Repeat("6b", 16)+"\n")
	base64 := write(t, filepath.Join(dir, "base64"), "a2tra2tra2tra2tra2tra2s=\n") // 17 bytes
	for _, line := range []string{
		"--type aes --label raw " + raw,
		"--type aes:128 --encoding hex --label hex " + hex,
		"--type hmac-sha256 --encoding base64 --label base64 " + base64,
		"--type generic --usage derive --extractable --label generic " + raw,
	} {
		b.do("key import --pin env:CO " + line)
	}
	// The check value of AES is the beginning of E(0), that of others of SHA-1.
	details := decode[[]keyDetailsJSON](t, b.do("key show --label raw --pin env:CO --json"))
	same := decode[[]keyDetailsJSON](t, b.do("key show --label hex --pin env:CO --json"))
	if d := details[0]; d.CheckValue == "" || d.CheckValue != same[0].CheckValue || d.Type != "aes:128" || d.Local {
		t.Errorf("%+v and %+v", d, same[0])
	}
	if d := decode[[]keyDetailsJSON](t, b.do("key show --label base64 --pin env:CO --json"))[0]; d.Type != "hmac-sha256:17" {
		t.Errorf("%+v", d)
	}
	for line, want := range map[string]string{
		"--type aes " + base64:                "CKR_ATTRIBUTE_VALUE_INVALID",
		"--type aes:256 " + raw:               "it has 16 bytes",
		"--type aes --encoding hex " + raw:    "not written in hex",
		"--type aes --encoding base64 " + raw: "CKR_ATTRIBUTE_VALUE_INVALID",
	} {
		b.fails(exitFailed, "key import --pin env:CO "+line, want, "1 of 1 files were not imported")
	}
}

func TestImportMany(t *testing.T) {
	b := ready(t)
	dir := t.TempDir()
	const keys = 12
	for i := range keys {
		k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		write(t, filepath.Join(dir, fmt.Sprintf("k%02d.pem", i)), pemText("PRIVATE KEY", pkcs8DER(t, k)))
	}
	write(t, filepath.Join(dir, "README"), "no key at all")
	write(t, filepath.Join(dir, ".hidden"), "not looked at")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := b.fails(exitDone, "key import --progress --no-public --pin env:CO "+dir)
	if !strings.Contains(r.stderr, "importing 12 of 13") || !strings.Contains(r.stderr, "README: skipped") || strings.Contains(r.stderr, "hidden") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
	list := decode[[]keyJSON](t, b.do("key list --pin env:CO --json"))
	if len(list) != keys || list[0].Class != "private" {
		t.Errorf("%d objects, the first is %+v", len(list), list[0])
	}

	// One bad file does not keep the others out.
	write(t, filepath.Join(dir, "bad.pem"), pemText("PRIVATE KEY", []byte("nonsense")))
	good := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	write(t, filepath.Join(dir, "zz.pem"), pemText("PRIVATE KEY", pkcs8DER(t, good)))
	b.fails(exitFailed, "key import --no-public --pin env:CO "+dir, "bad.pem: failed: it is damaged", "k00.pem: skipped: it is in the partition already", "1 of 15 files")
	if n := len(decode[[]keyJSON](t, b.do("key list --label zz --pin env:CO --json"))); n != 1 {
		t.Errorf("the last file made %d objects", n)
	}
	b.fails(exitFailed, "key import --pin env:CO "+dir) // the public halves that are missing come later
	if n := len(decode[[]keyJSON](t, b.do("key list --pin env:CO --json"))); n != 2*(keys+1) {
		t.Errorf("%d keys in the end", n)
	}
	b.fails(exitFailed, "key import --pin env:CO "+filepath.Join(dir, "README"), "no key or certificate")
	b.fails(exitFailed, "key import --pin env:CO "+filepath.Join(dir, "missing"), "no such file")
	b.fails(exitFailed, "key import --pin env:CO "+filepath.Join(dir, "sub"), "no files")
}

func TestImportFromStandardInput(t *testing.T) {
	b := ready(t)
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	text := pemText("PRIVATE KEY", pkcs8DER(t, k))
	b.stdin = text
	b.do("key import --label piped --pin env:CO -")
	if out := b.do("key export-public --label piped --public"); out != pkixPEM(t, k.Public()) {
		t.Errorf("another key: %s", out)
	}
	b.do("key delete --label piped --pin env:CO --force")
	b.stdin = b.env[co] + "\n" + text
	b.do("key import --label piped --pin stdin -")
	b.fails(exitFailed, "key import --label big --pin env:CO /dev/zero", "too large")
}

// A public key that cannot be made takes the private one with it.
func TestImportAllOrNothing(t *testing.T) {
	b := ready(t)
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	path := write(t, filepath.Join(t.TempDir(), "k.pem"), pemText("PRIVATE KEY", pkcs8DER(t, k)))
	open := b.open
	b.interpose(func(_ context.Context, req p11.Request) (bool, error) {
		q, ok := req.(*p11.CreateObject)
		if ok && number(q.Template, ck.CKA_CLASS) == uint64(ck.CKO_PUBLIC_KEY) {
			return true, ck.CKR_DEVICE_MEMORY
		}
		return false, nil
	})
	b.fails(exitFailed, "key import --pin env:CO "+path, "no room left (CKR_DEVICE_MEMORY)")
	b.open = open
	if out := b.do("key list --pin env:CO --json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("a half was left: %s", out)
	}
}

// Encrypted keys made by OpenSSL 3.0, all the same key.
const (
	vectorPassword = "vector-password"
	vectorPublic   = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETCKbi/g/Hc3TlSj/pa+EJDxTcEj+
0RADX0PU8/2GaRB23L2Ly14jbJoBdlpDMs0B1oZJ4c/FupYCSTnUYGH7Mw==
-----END PUBLIC KEY-----
`
	vectorSHA256AES256 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjTj4CnZS5cFgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEED+v8N+azpzkvFVQFoKridwEgZAU
lPHA9C2pV54Xq5T4nHKwlThtbAVw5VsgqwTp/vMVz4vSR4Vg/rVvjWbdJlA24Kal
7NaP2NO/oLhiJVwnEkUtNJAl0ipyL3l8k/jGWVbBWGriZeYy7gAZZ0n1+H1c52jS
hyBzIzKd6TCr4jY8oUrVB1sWM4WXvsUiLPcVN9XyX15lN8BgfqppSHnc+ElUO0M=
-----END ENCRYPTED PRIVATE KEY-----
`
	vectorSHA1DES3 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHVMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAjyzVc7+sB0lAICCAAw
FAYIKoZIhvcNAwcECHPCPcbm2770BIGQ4zoCAzS+NLhdNk8fTAYlHo3emfprYt7W
pu+Cv/TTzVpy7bRMftiifA+/fwmL0z3KotQwiI9YlSHS5iVOpUlkKlBCcIYgvZFJ
/+pZijSdp8qgPFHc9WGwwV92VHjvL1Wi14bvJwSe+6x1nuB37sjKMZNxrezhUuym
9q4WBQ2WyKlRw2Ru4PJD4UZb1IGubpZ6
-----END ENCRYPTED PRIVATE KEY-----
`
	vectorScryptAES128 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAiwv3DUgDn2LwICBAAC
AQgCAQEwHQYJYIZIAWUDBAECBBCj0EHHAbXOoaSsdI5P0drhBIGQydHaWQSJVvC2
Osomcwwk3XSLWfGDqaIrrcXfZGK9V0XhbZdQdtanEeKECY0QZ31OKn/SOqZzhYQL
GjhmuV9o0r4UndQAtU4z3DF44AC1X9+CNUkRygIAV3TfsH2HXhlfi8TJ0LgZlUcw
f/E6Loept8qYdin69cg8Ve+upKPTkGPHk7eIMWkAM/mDv670STNi
-----END ENCRYPTED PRIVATE KEY-----
`
	vectorPBES1 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGxMBwGCiqGSIb3DQEMAQMwDgQIjznY/CbTgngCAggABIGQE9XVrqkHlLfdoM10
EeQsDA2F18WL+7YpQE6fIvTphP/IfYK0z5KqFIsUazeKjhfYnl/1p/mQ43oJnJVW
p6iVRJPjWOhwmFt45xyx4QCi41Dg+6k9TOoieeg0ks9/WUo3uhqrZCV9jrOBbPjU
eXz6zLSZHAZfwsdzApFtGecIhzMX0X/DrIu4h9ubjZmSiLy3
-----END ENCRYPTED PRIVATE KEY-----
`
	vectorOldPEM = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,342F43310E0694EAF5E2B4DF7576DBB3

04cB8rAJrw5yZ3sCLrqcWRWYA6/P+bhh8p/HIf2n7sP1/eHNIAsGGlGmfmEIdInr
MVMiZ2behZb/Za+pDSr/CnqdI+FBCaDTIVnIKWcRAypLyc6GUgqUjdhfWcBmihnM
fFJdQRuP73bj9kH48mMhpJx5v7CHBjHh+S/Rvmr2lJQ=
-----END EC PRIVATE KEY-----
`
)

func TestImportEncrypted(t *testing.T) {
	b := ready(t)
	b.env["KEY_PIN"] = vectorPassword
	dir := t.TempDir()
	for name, text := range map[string]string{"aes256": vectorSHA256AES256, "des3": vectorSHA1DES3, "scrypt": vectorScryptAES128, "pbes1": vectorPBES1} {
		path := write(t, filepath.Join(dir, name), text)
		b.fails(exitFailed, "key import --pin env:CO --key-pin env:OTHER "+path, "password of the encrypted key is wrong")
		b.fails(exitFailed, "key import --pin env:CO "+path, "--key-pin")
		b.do("key import --pin env:CO --key-pin env:KEY_PIN " + path)
		if out := b.do("key export-public --public --label " + name); out != vectorPublic {
			t.Errorf("%s is another key: %s", name, out)
		}
		b.do("key delete --pin env:CO --force --label " + name)
		b.answers = []string{vectorPassword}
		b.do("key import --pin env:CO " + path)
		b.answers = nil
		b.do("key delete --pin env:CO --force --label " + name)
	}
	block, _ := pem.Decode([]byte(vectorScryptAES128))
	path := write(t, filepath.Join(dir, "key.der"), string(block.Bytes))
	b.do("key import --pin env:CO --key-pin env:KEY_PIN " + path)
	for text, want := range map[string]string{
		vectorOldPEM: "openssl pkcs8 -topk8",
		pemText("OPENSSH PRIVATE KEY", []byte("x")): "ssh-keygen -p -m PKCS8",
	} {
		path := write(t, filepath.Join(dir, "refused"), text)
		b.fails(exitFailed, "key import --pin env:CO "+path, want)
	}
}

// No damage to a file makes the program panic, or ask for ever.
func FuzzImport(f *testing.F) {
	for _, text := range []string{vectorSHA256AES256, vectorSHA1DES3, vectorScryptAES128, vectorPBES1, vectorOldPEM, vectorPublic} {
		f.Add([]byte(text))
		block, _ := pem.Decode([]byte(text))
		f.Add(block.Bytes)
	}
	pbe.MaxIterations, pbe.MaxScryptMemory = 4096, 4<<20
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	f.Add(must(x509.MarshalECPrivateKey(k)))
	f.Add(must(x509.MarshalPKCS8PrivateKey(k)))
	f.Add(x509.MarshalPKCS1PrivateKey(must(rsa.GenerateKey(rand.Reader, 2048))))
	f.Fuzz(func(t *testing.T, data []byte) {
		im := &importer{app: &app{}, keyPIN: new(pinFlag), password: []byte(vectorPassword)}
		items, err := im.parse(t.Context(), "file", data)
		if (err == nil) == (len(items) == 0) {
			t.Errorf("%d items and %v", len(items), err)
		}
		for _, it := range items {
			it.identifier()
		}
	})
}
