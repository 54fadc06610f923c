package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// javaConfig writes the configuration of SunPKCS11 that docs/clients.md shows.
func (c *client) javaConfig() string {
	c.t.Helper()
	(&step{client: c}).write("java.cfg", fmt.Appendf(nil, `name = Clients
library = %s
slotListIndex = 0
attributes(*, CKO_SECRET_KEY, *) = {
  CKA_SENSITIVE = false
  CKA_EXTRACTABLE = true
}
attributes(*, CKO_SECRET_KEY, CKK_GENERIC_SECRET) = {
  CKA_DERIVE = true
}
attributes(*, CKO_PRIVATE_KEY, CKK_EC) = {
  CKA_DERIVE = true
}
attributes(*, CKO_PRIVATE_KEY, CKK_DH) = {
  CKA_DERIVE = true
}
`, c.library))
	return filepath.Join(c.dir, "java.cfg")
}

// source is the path of a file of this package.
func (c *client) source(name string) string {
	c.t.Helper()
	path, err := filepath.Abs(filepath.FromSlash(name))
	if err != nil {
		c.t.Fatal(err)
	}
	return path
}

func readDocs(t *testing.T) string {
	t.Helper()
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// quickJVM makes short runs of Java shorter.
var quickJVM = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"}

// TestJavaServices runs every service that SunPKCS11 offers on a module.
func TestJavaServices(t *testing.T) {
	var (
		mu       sync.Mutex
		services = make(map[string][]string) // of each module
	)
	onEachModule(t, []string{"java"}, func(c *client) {
		config := c.javaConfig()
		args := append(quickJVM, "--add-exports", "java.base/sun.security.internal.spec=ALL-UNNAMED",
			"--add-exports", "java.base/sun.security.internal.interfaces=ALL-UNNAMED", c.source("java/Services.java"), config)
		names := c.program(nil, "java", args...)
		mu.Lock()
		defer mu.Unlock()
		services[c.module] = names
	})
	t.Cleanup(func() {
		ours, theirs := services["perilune"], services["softhsm2"]
		t.Logf("SunPKCS11 offers %d services on perilune and %d on softhsm2", len(ours), len(theirs))
		if ours == nil || theirs == nil {
			return
		}
		if said := fmt.Sprintf("%d services on SoftHSM2 and %d on Perilune", len(theirs), len(ours)); !strings.Contains(readDocs(t), said) {
			t.Errorf("docs/clients.md does not say %q", said)
		}
		for _, name := range theirs {
			if !slices.Contains(ours, name) {
				t.Errorf("SunPKCS11 offers %q on softhsm2 and not on perilune", name)
			}
		}
	})
}

// TestJavaTools uses keytool and jarsigner, and serves TLS with what they made.
func TestJavaTools(t *testing.T) {
	onEachModule(t, []string{"keytool", "jarsigner", "jar", "java", "openssl"}, func(c *client) {
		config := c.javaConfig()
		keytool := func(s *step, args ...string) string {
			options := []string{"-J" + quickJVM[0], "-J" + quickJVM[1]}
			args = append(append(options, args...), "-addprovider", "SunPKCS11", "-providerarg", config, "-storetype", "PKCS11", "-keystore", "NONE", "-storepass", s.pin)
			return s.run("keytool", args...)
		}
		for alias, kind := range map[string][]string{
			"rsa": {"-keyalg", "RSA", "-keysize", "2048", "-sigalg", "SHA256withRSA"},
			"ec":  {"-keyalg", "EC", "-groupname", "secp256r1", "-sigalg", "SHA256withECDSA"},
		} {
			c.step("keytool -genkeypair "+alias, func(s *step) {
				keytool(s, append([]string{"-genkeypair", "-alias", alias, "-dname", "CN=localhost, OU=" + alias, "-validity", "30", "-ext", "bc=ca:true", "-ext", "san=dns:localhost"}, kind...)...)
			})
			c.step("keytool -exportcert "+alias, func(s *step) {
				keytool(s, "-exportcert", "-rfc", "-alias", alias, "-file", alias+".crt")
				s.run("openssl", "verify", "-CAfile", alias+".crt", alias+".crt")
			})
		}
		c.step("keytool -genseckey", func(s *step) {
			keytool(s, "-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "256")
		})
		c.step("keytool -list", func(s *step) {
			out := keytool(s, "-list")
			s.contains(out, "Your keystore contains 3 entries", "rsa, PrivateKeyEntry", "ec, PrivateKeyEntry", "aes, SecretKeyEntry")
		})
		c.step("other clients see the keys", func(s *step) {
			s.contains(s.asUser("-O"), "label:      rsa", "label:      ec", "label:      aes", "Certificate Object")
		})
		c.step("keytool -certreq", func(s *step) {
			keytool(s, "-certreq", "-alias", "ec", "-file", "ec.csr")
			s.contains(s.run("openssl", "req", "-in", "ec.csr", "-verify", "-noout"), "verify OK")
		})
		c.step("keytool -gencert", func(s *step) {
			keytool(s, "-gencert", "-rfc", "-alias", "rsa", "-infile", "ec.csr", "-outfile", "ec.issued.crt", "-validity", "30", "-ext", "san=dns:localhost")
			s.run("openssl", "verify", "-CAfile", "rsa.crt", "ec.issued.crt")
		})
		c.step("keytool -importcert of a reply", func(s *step) {
			keytool(s, "-importcert", "-noprompt", "-alias", "ec", "-file", "ec.issued.crt")
			s.contains(keytool(s, "-list", "-v", "-alias", "ec"), "Certificate chain length: 2", "Issuer: CN=localhost, OU=rsa")
		})
		c.step("keytool -importkeystore", func(s *step) {
			s.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "other.pem", "-out", "other.crt", "-days", "30")
			s.run("openssl", "pkcs12", "-export", "-inkey", "other.pem", "-in", "other.crt", "-name", "imported", "-passout", "pass:secret", "-out", "other.p12")
			s.run("keytool", "-importkeystore", "-noprompt", "-addprovider", "SunPKCS11", "-providerarg", config,
				"-srckeystore", "other.p12", "-srcstoretype", "PKCS12", "-srcstorepass", "secret", "-srcalias", "imported",
				"-destkeystore", "NONE", "-deststoretype", "PKCS11", "-deststorepass", s.pin)
			s.contains(keytool(s, "-list"), "imported, PrivateKeyEntry")
		})
		c.step("keytool -changealias", func(s *step) {
			keytool(s, "-changealias", "-alias", "imported", "-destalias", "renamed")
			s.contains(keytool(s, "-list"), "renamed, PrivateKeyEntry")
		})
		for _, alias := range []string{"rsa", "ec"} {
			c.step("jarsigner "+alias, func(s *step) {
				s.write("hello", []byte("hello"))
				s.run("jar", "--create", "--file", alias+".jar", "hello")
				s.contains(s.run("jarsigner", "-addprovider", "SunPKCS11", "-providerArg", config, "-keystore", "NONE", "-storetype", "PKCS11", "-storepass", s.pin, alias+".jar", alias), "jar signed.")
				s.contains(s.run("jarsigner", "-verify", "-verbose", alias+".jar"), "jar verified.")
				s.contains(s.run("unzip", "-l", alias+".jar"), "META-INF/"+strings.ToUpper(alias)+".SF")
			})
		}
		c.program(nil, "java", append(quickJVM, c.source("java/TLS.java"), config, "rsa", "ec")...)
		c.step("keytool -delete", func(s *step) {
			for _, alias := range []string{"rsa", "ec", "aes", "renamed"} {
				keytool(s, "-delete", "-alias", alias)
			}
			s.contains(keytool(s, "-list"), "Your keystore contains 0 entries")
		})
		c.step("wrong PIN", func(s *step) {
			s.refuse("load failed", "keytool", "-list", "-addprovider", "SunPKCS11", "-providerarg", config, "-storetype", "PKCS11", "-keystore", "NONE", "-storepass", "wrong-pin")
		})
	})
}
