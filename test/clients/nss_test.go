package clients

import (
	"strconv"
	"testing"
)

// TestNSS uses the token from NSS, the library of Firefox and Thunderbird.
func TestNSS(t *testing.T) {
	onEachModule(t, []string{"modutil", "certutil", "cmsutil", "openssl"}, func(c *client) {
		certutil := func(s *step, args ...string) string {
			return s.run("certutil", append(args, "-d", "sql:.", "-h", s.label, "-f", "pin")...)
		}
		c.step("new database", func(s *step) {
			s.write("pin", []byte(s.pin+"\n"))
			s.write("noise", randomBytes(64))
			s.write("message", []byte("a message to sign\n"))
			s.run("certutil", "-N", "-d", "sql:.", "--empty-password")
		})
		c.step("add module", func(s *step) {
			s.contains(s.run("modutil", "-dbdir", "sql:.", "-force", "-add", "hsm", "-libfile", s.library), `Module "hsm" added to database`)
		})
		c.step("list module", func(s *step) {
			s.contains(s.run("modutil", "-dbdir", "sql:.", "-list", "hsm"), "Token Name: "+s.label, "Login Type: Login required", "User Pin: Initialized")
		})
		for name, kind := range map[string][]string{"rsa": {"-k", "rsa", "-g", "2048"}, "ec": {"-k", "ec", "-q", "nistp256"}} {
			c.step("generate key and certificate "+name, func(s *step) {
				// The serial number has to differ, and the lengths of the names do.
				certutil(s, append([]string{"-S", "-n", name, "-s", "CN=" + name, "-x", "-m", strconv.Itoa(len(name)), "-t", "C,C,C", "-z", "noise"}, kind...)...)
			})
			c.step("list key "+name, func(s *step) {
				s.contains(certutil(s, "-K"), s.label+":"+name)
				s.contains(certutil(s, "-L"), s.label+":"+name)
			})
			c.step("export certificate "+name, func(s *step) {
				s.write(name+".crt", []byte(certutil(s, "-L", "-n", s.label+":"+name, "-a")))
				s.run("openssl", "verify", "-CAfile", name+".crt", name+".crt")
			})
			c.step("certificate request "+name, func(s *step) {
				certutil(s, append([]string{"-R", "-s", "CN=request", "-z", "noise", "-a", "-o", "request.csr"}, kind...)...)
				s.contains(s.run("openssl", "req", "-in", "request.csr", "-verify", "-noout"), "verify OK")
			})
			c.step("sign a message with "+name, func(s *step) {
				s.run("cmsutil", "-S", "-d", "sql:.", "-N", s.label+":"+name, "-f", "pin", "-i", "message", "-o", "signed")
				s.contains(s.run("openssl", "cms", "-verify", "-inform", "DER", "-in", "signed", "-CAfile", name+".crt", "-purpose", "any"), "successful")
			})
		}
		c.step("decrypt a message", func(s *step) {
			s.run("openssl", "cms", "-encrypt", "-aes-256-cbc", "-in", "message", "-outform", "DER", "-out", "sealed", "rsa.crt")
			s.run("cmsutil", "-D", "-d", "sql:.", "-f", "pin", "-i", "sealed", "-o", "opened")
			s.contains(string(s.read("opened")), "a message to sign")
		})
		c.step("remove module", func(s *step) {
			s.run("modutil", "-dbdir", "sql:.", "-force", "-delete", "hsm")
		})
	})
}
