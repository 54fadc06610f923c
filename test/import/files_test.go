package imports

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// certified makes a CA and a key with a certificate by it, with OpenSSL.
func (h *host) certified(name string, algorithm ...string) {
	h.Helper()
	if _, err := os.Stat(filepath.Join(h.dir, "ca.pem")); err != nil {
		h.tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "3650")
	}
	h.tool("openssl", append([]string{"genpkey", "-out", name + ".key"}, algorithm...)...)
	h.tool("openssl", "req", "-new", "-key", name+".key", "-subj", "/CN="+name, "-out", name+".csr")
	h.tool("openssl", "x509", "-req", "-in", name+".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650", "-out", name+".pem")
}

// certificate is what OpenSSL made.
func (h *host) certificate(name string) *x509.Certificate {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// signsFor checks that a key of the partition is that of a certificate.
func (c *client) signsFor(label string, cert *x509.Certificate) {
	c.Helper()
	text := []byte("what the key signs, the certificate must verify")
	signature := c.sign(pkcs11.CKM_SHA256_RSA_PKCS, c.key(pkcs11.CKO_PRIVATE_KEY, label), text)
	sum := sha256.Sum256(text)
	if err := rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature); err != nil {
		c.Errorf("%s: %v", label, err)
	}
}

// PKCS #12 files by every scheme that OpenSSL writes, with and without a MAC, and
// with keys of algorithms that few libraries read.
func TestPKCS12(t *testing.T) {
	h := newHost(t)
	h.certified("web", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
	export := func(name, key string, more ...string) {
		t.Helper()
		h.tool("openssl", append([]string{"pkcs12", "-export", "-inkey", key + ".key", "-in", key + ".pem", "-certfile", "ca.pem", "-name", name,
			"-passout", "env:SOURCE", "-out", name + ".p12"}, more...)...)
	}
	ways := map[string][]string{
		"modern": nil,
		"legacy": {"-legacy"},
		"pbes2":  {"-keypbe", "aes-256-cbc", "-certpbe", "aes-192-cbc", "-iter", "100000"},
		"des":    {"-legacy", "-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"},
		"rc":     {"-legacy", "-keypbe", "PBE-SHA1-RC4-128", "-certpbe", "PBE-SHA1-RC2-128", "-macalg", "sha512"},
		"nomac":  {"-nomac"},
		"clear":  {"-keypbe", "NONE", "-certpbe", "NONE", "-macalg", "sha384"},
	}
	for name, args := range ways {
		export(name, "web", args...)
		h.must("partition init --slot 0 --label app --so-pin env:SO --force")
		h.must("role init --role co --so-pin env:SO --new-pin env:CO")
		h.refused("import pkcs12 "+name+".p12 --source-pin env:WRONG --pin env:CO --dry-run", "wrong", "the password")
		r := h.imports("import pkcs12 " + name + ".p12 --source-pin env:SOURCE")
		h.expect(r, 4, 0, 0)
		h.expect(h.imports("import pkcs12 "+name+".p12 --source-pin env:SOURCE"), 0, 4, 0)
		if p := r.Objects[0]; p.Class != "private" || p.Label != name || !strings.Contains(p.Proof, "against the public key of the source") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for name, algorithm := range map[string][]string{
		"ec":      {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp521r1"},
		"k1":      {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
		"bp":      {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP384r1"},
		"ed25519": {"-algorithm", "ED25519"},
		"ed448":   {"-algorithm", "ED448"},
	} {
		h.certified(name, algorithm...)
		export(name, name)
		r := h.imports("import pkcs12 " + name + ".p12 --source-pin env:SOURCE")
		h.expect(r, 3, 1, 0) // the CA is there already
	}
	h.app().signsFor(h.lastOf(ways), h.certificate("web.pem"))
}

// lastOf is the label of the key that is in the partition now.
func (h *host) lastOf(names map[string][]string) string {
	list := h.must("key list --class private --pin env:CO")
	for name := range names {
		if strings.Contains(list, " "+name+" ") {
			return name
		}
	}
	h.Fatalf("none of them is there:\n%s", list)
	return ""
}

// Java's stores of each kind: several keys with their chains, trusted certificates
// and secret keys.
func TestJavaStores(t *testing.T) {
	h := newHost(t)
	h.certified("web", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
	h.tool("openssl", "pkcs12", "-export", "-inkey", "web.key", "-in", "web.pem", "-certfile", "ca.pem", "-name", "web", "-passout", "env:SOURCE", "-out", "web.p12")
	for _, c := range []struct {
		kind    string
		secrets []string // of which each has a size
		own     bool     // keys can have a password of their own
	}{
		{"jks", nil, true},
		{"jceks", []string{"AES 256", "DESede 168", "DES 56", "HmacSHA256 256", "Blowfish 128"}, true},
		{"pkcs12", []string{"AES 128", "DESede 168", "HmacSHA512 512"}, false},
	} {
		h.must("partition init --slot 0 --label app --so-pin env:SO --force")
		h.must("role init --role co --so-pin env:SO --new-pin env:CO")
		store := "store." + c.kind
		keytool := func(args ...string) {
			t.Helper()
			h.tool("keytool", append(args, "-keystore", store, "-storetype", c.kind, "-storepass:env", "SOURCE", "-noprompt")...)
		}
		h.tool("keytool", "-importkeystore", "-srckeystore", "web.p12", "-srcstoretype", "pkcs12", "-srcstorepass:env", "SOURCE", "-srcalias", "web",
			"-destkeystore", store, "-deststoretype", c.kind, "-deststorepass:env", "SOURCE", "-destkeypass:env", "SOURCE", "-noprompt")
		keytool("-genkeypair", "-alias", "code", "-keyalg", "EC", "-groupname", "secp384r1", "-dname", "CN=code", "-keypass:env", "SOURCE")
		keytool("-genkeypair", "-alias", "mail", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=mail", "-keypass:env", "SOURCE")
		keytool("-importcert", "-alias", "root", "-file", "ca.pem")
		for _, s := range c.secrets {
			algorithm, size, _ := strings.Cut(s, " ")
			keytool("-genseckey", "-alias", algorithm, "-keyalg", algorithm, "-keysize", size, "-keypass:env", "SOURCE")
		}
		h.refused("import jks "+store+" --source-pin env:WRONG --pin env:CO", "the password is wrong")
		// Three keys, their public halves and certificates, and root, which is also
		// in the chain of web.
		n := 10 + len(c.secrets)
		r := h.imports("import jks " + store + " --source-pin env:SOURCE")
		h.expect(r, n, 0, 0)
		h.expect(h.imports("import jks "+store+" --source-pin env:SOURCE"), 0, n, 0)
		lost := fmt.Sprint(r.Objects)
		if !strings.Contains(lost, "trust") {
			t.Errorf("%s: nothing is said of trust", c.kind)
		}
		if c.own {
			keytool("-keypasswd", "-alias", "mail", "-keypass:env", "SOURCE", "-new:env", "KEY")
			h.must("key delete --label mail --force --pin env:CO")
			h.refused("import jks "+store+" --source-pin env:SOURCE --pin env:CO", "--key-pin")
			h.expect(h.imports("import jks "+store+" --source-pin env:SOURCE --key-pin env:KEY --alias mail"), 2, 1, 0)
		}
		list := h.must("key list --pin env:CO")
		for _, label := range append([]string{"web", "code", "mail", "root"}, c.secrets...) {
			label, _, _ = strings.Cut(label, " ")
			if !strings.Contains(strings.ToLower(list), " "+strings.ToLower(label)+" ") {
				t.Errorf("%s: %s is not there:\n%s", c.kind, label, list)
			}
		}
	}
	h.app().signsFor("web", h.certificate("web.pem"))
}

// What Java encrypted, the HSM decrypts: the bytes of a secret key came over.
func TestJavaSecretKeyIsTheSame(t *testing.T) {
	h := newHost(t)
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	h.file("Put.java", `import java.io.*; import java.security.KeyStore; import java.util.HexFormat; import javax.crypto.spec.SecretKeySpec;
public class Put { public static void main(String[] a) throws Exception {
	char[] pw = System.getenv("SOURCE").toCharArray();
	KeyStore s = KeyStore.getInstance(a[0]); s.load(null, pw);
	s.setEntry("kek", new KeyStore.SecretKeyEntry(new SecretKeySpec(HexFormat.of().parseHex(a[1]), "AES")), new KeyStore.PasswordProtection(pw));
	try (OutputStream o = new FileOutputStream(a[2])) { s.store(o, pw); }
} }`)
	for _, kind := range []string{"JCEKS", "PKCS12"} {
		h.tool("java", "Put.java", kind, fmt.Sprintf("%x", key), "kek."+kind)
		h.expect(h.imports("import jks kek."+kind+" --source-pin env:SOURCE"), map[string]int{"JCEKS": 1}[kind], map[string]int{"PKCS12": 1}[kind], 0)
	}
	app := h.app()
	hsmText := func(m uint, k pkcs11.ObjectHandle) []byte {
		if err := app.m.EncryptInit(app.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}, k); err != nil {
			t.Fatal(err)
		}
		b, err := app.m.Encrypt(app.s, make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ours, err := app.m.CreateObject(app.s, []*pkcs11.Attribute{attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		attr(pkcs11.CKA_TOKEN, false), attr(pkcs11.CKA_VALUE, key)})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hsmText(pkcs11.CKM_AES_ECB, ours), hsmText(pkcs11.CKM_AES_ECB, app.key(pkcs11.CKO_SECRET_KEY, "kek"))) {
		t.Error("the key is another")
	}
}

// PEM: keys by themselves and their certificates, in files and directories, as
// OpenSSL writes them today and wrote them before.
func TestPEM(t *testing.T) {
	h := newHost(t)
	h.certified("web", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
	dir := filepath.Join(h.dir, "pem")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.tool("openssl", "rsa", "-in", "web.key", "-traditional", "-out", "pem/web.pem")
	h.tool("openssl", "x509", "-in", "web.pem", "-out", "pem/cert.pem")
	h.tool("openssl", "x509", "-in", "ca.pem", "-outform", "DER", "-out", "pem/ca.der")
	for i, args := range [][]string{{"-v2", "aes-256-cbc"}, {"-scrypt"}, {"-v1", "PBE-SHA1-3DES"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"}} {
		h.tool("openssl", append([]string{"pkcs8", "-topk8", "-in", "web.key", "-passout", "env:KEY", "-out", fmt.Sprintf("pem/enc%d.pem", i)}, args...)...)
	}
	r := h.imports("import pem pem --key-pin env:KEY")
	h.expect(r, 4, 8, 0) // the key, its public half and two certificates; the key again in four ways, with its public half
	if p := r.Objects[0]; p.Class != "private" || !strings.Contains(p.Proof, "against the public key of the source") {
		t.Errorf("%+v", p)
	}
	h.app().signsFor(r.Objects[0].Label, h.certificate("web.pem"))
}
