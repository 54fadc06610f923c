package clients

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// p11tool runs GnuTLS's p11tool on the module.
func (s *step) p11tool(args ...string) string {
	return s.run("p11tool", append([]string{"--provider", s.library, "--batch"}, args...)...)
}

// uri is the PKCS#11 URI of an object of the token.
func (s *step) uri(object, kind string) string {
	return fmt.Sprintf("pkcs11:token=%s;object=%s;type=%s", s.label, object, kind)
}

func (s *step) tokenURI() string { return "pkcs11:token=" + s.label }

func TestP11Tool(t *testing.T) {
	onEachHome(t, []string{"p11tool", "certtool", "openssl"}, func(c *client) {
		c.env = append(c.env, "GNUTLS_PIN="+c.pin, "GNUTLS_SO_PIN="+c.soPIN)
		c.step("initialize", func(s *step) {
			s.p11tool("--initialize", "pkcs11:slot-id=0", "--label", s.label, "--set-so-pin", s.soPIN)
		})
		c.step("initialize PIN", func(s *step) {
			s.p11tool("--initialize-pin", s.tokenURI(), "--set-pin", s.pin, "--set-so-pin", s.soPIN)
		})
		c.step("list tokens", func(s *step) {
			s.contains(s.p11tool("--list-tokens"), "Label: "+s.label, "RNG, Requires login", "Serial: ")
			s.contains(s.p11tool("--list-token-urls"), "token="+s.label)
		})
		c.step("list mechanisms", func(s *step) {
			s.contains(s.p11tool("--list-mechanisms", s.tokenURI()), "CKM_RSA_PKCS_PSS", "CKM_AES_GCM keysize range (16, 32)")
		})
		c.step("random", func(s *step) {
			if out := s.p11tool("--generate-random", "33", "--outfile", "random", s.tokenURI()); len(s.read("random")) != 33 {
				s.fail("not 33 bytes: %s", out)
			}
		})
		keys := []struct{ name, generate, openssl string }{
			{"rsa", "rsa --bits 2048", "RSA"},
			{"ecdsa", "ecdsa --curve secp256r1", "EC"},
			{"p384", "ecdsa --curve secp384r1", "EC"},
			{"p521", "ecdsa --curve secp521r1", "EC"},
			{"p224", "ecdsa --curve secp224r1", "EC"},
			{"p192", "ecdsa --curve secp192r1", "EC"},
			{"dsa", "dsa --bits 2048", "DSA"},
			{"ed25519", "ed25519", "ED25519"},
		}
		for i, key := range keys {
			generated := c.step("generate "+key.name, func(s *step) {
				args := append([]string{"--login", "--generate-privkey"}, strings.Fields(key.generate)...)
				s.p11tool(append(args, "--label", key.name, "--id", fmt.Sprintf("%02x", i+1), "--outfile", key.name+".pem", s.tokenURI())...)
			})
			if !generated {
				continue
			}
			c.step("public key of "+key.name, func(s *step) {
				s.contains(s.run("openssl", "pkey", "-pubin", "-in", key.name+".pem", "-noout", "-text"), "Public")
				s.p11tool("--login", "--export-pubkey", "--outfile", "exported.pem", s.uri(key.name, "private"))
				s.equal("exported public key", s.read("exported.pem"), s.read(key.name+".pem"))
			})
			c.step("test sign with "+key.name, func(s *step) {
				s.contains(s.p11tool("--login", "--test-sign", s.uri(key.name, "private")),
					"Verifying against private key parameters... ok", "Verifying against public key in the token... ok")
			})
		}
		c.step("test sign with RSA-PSS", func(s *step) {
			s.contains(s.p11tool("--login", "--test-sign", "--sign-params", "RSA-PSS", s.uri("rsa", "private")),
				"Signing using RSA-PSS-SHA256... ok", "Verifying against public key in the token... ok")
		})
		c.step("list all", func(s *step) {
			out := s.p11tool("--login", "--list-all", s.tokenURI())
			s.contains(out, "Type: Private key (RSA-2048)", "Type: Public key (RSA-2048)", "Type: Private key (EC/ECDSA-SECP256R1)",
				"CKA_PRIVATE; CKA_NEVER_EXTRACTABLE; CKA_SENSITIVE;")
			s.contains(s.p11tool("--login", "--list-privkeys", "--only-urls", s.tokenURI()), "object=rsa", "object=ecdsa")
		})
		c.step("certtool self-signed certificate", func(s *step) {
			s.write("template", []byte("cn = \"gnutls\"\nca\ncert_signing_key\nexpiration_days = 30\n"))
			for _, key := range []string{"rsa", "ecdsa"} {
				s.run("certtool", "--provider", s.library, "--generate-self-signed", "--template", "template",
					"--load-privkey", s.uri(key, "private"), "--load-pubkey", s.uri(key, "public"), "--outfile", key+".crt")
				s.run("openssl", "verify", "-CAfile", key+".crt", key+".crt")
			}
		})
		c.step("certtool signs a request", func(s *step) {
			s.run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=leaf", "-keyout", "leaf.pem", "-out", "leaf.csr")
			s.write("leaf.template", []byte("cn = \"leaf\"\nexpiration_days = 30\n"))
			s.run("certtool", "--provider", s.library, "--generate-certificate", "--load-request", "leaf.csr", "--load-ca-certificate", "rsa.crt",
				"--load-ca-privkey", s.uri("rsa", "private"), "--template", "leaf.template", "--outfile", "leaf.crt")
			s.run("openssl", "verify", "-CAfile", "rsa.crt", "leaf.crt")
		})
		c.step("write and export a certificate", func(s *step) {
			s.p11tool("--login", "--write", "--load-certificate", "rsa.crt", "--label", "cert", "--id", "01", s.tokenURI())
			s.p11tool("--export", "--outfile", "exported.crt", s.uri("cert", "cert"))
			s.run("openssl", "verify", "-CAfile", "rsa.crt", "exported.crt")
			s.contains(s.p11tool("--login", "--list-certs", s.tokenURI()), "object=cert")
		})
		c.step("a user cannot mark a certificate trusted", func(s *step) {
			before := s.countObjects()
			s.refuse("PKCS #11 error in attribute", "p11tool", "--provider", s.library, "--batch", "--login", "--write",
				"--load-certificate", "ecdsa.crt", "--label", "trusted", "--mark-trusted", s.tokenURI())
			if after := s.countObjects(); after != before {
				s.fail("the refused object is on the token: %d objects, and %d before", after, before)
			}
		})
		c.step("the SO can mark a certificate trusted", func(s *step) {
			s.p11tool("--so-login", "--write", "--load-certificate", "ecdsa.crt", "--label", "trusted", "--mark-trusted", s.tokenURI())
			s.contains(s.p11tool("--list-all-trusted", s.tokenURI()), "Label: trusted", "CKA_TRUSTED")
		})
		c.step("import a private key", func(s *step) {
			s.p11tool("--login", "--write", "--load-privkey", "leaf.pem", "--label", "imported", "--id", "05", s.tokenURI())
			s.contains(s.p11tool("--login", "--test-sign", s.uri("imported", "private")), "Verifying against private key parameters... ok")
		})
		c.step("import a secret key", func(s *step) {
			s.p11tool("--login", "--write", "--secret-key", "00112233445566778899aabbccddeeff", "--label", "secret", s.tokenURI())
			s.contains(s.p11tool("--login", "--list-all", s.tokenURI()), "Label: secret")
		})
		c.step("set id and label", func(s *step) {
			s.p11tool("--login", "--set-id", "0a", s.uri("imported", "private"))
			s.p11tool("--login", "--set-label", "relabelled", s.uri("imported", "private"))
			s.contains(s.p11tool("--login", "--list-privkeys", s.tokenURI()), "id=%0A;object=relabelled")
		})
		c.step("delete", func(s *step) {
			s.contains(s.p11tool("--login", "--delete", s.uri("relabelled", "private")), "1 objects deleted")
		})
		c.step("wrong PIN", func(s *step) {
			s.env = []string{"GNUTLS_PIN=wrong-pin"}
			s.refuse("PIN", "p11tool", "--provider", s.library, "--batch", "--login", "--list-all", s.tokenURI())
		})
	})
}

func (s *step) countObjects() int {
	out := s.p11tool("--login", "--list-all", s.tokenURI())
	return len(regexp.MustCompile(`(?m)^Object \d+:`).FindAllString(out, -1))
}
