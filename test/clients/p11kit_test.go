package clients

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestP11KitModule registers the module with p11-kit by a .module file, as a
// package would, so that every program that uses p11-kit finds the token.
func TestP11KitModule(t *testing.T) {
	onEachHome(t, []string{"p11-kit", "p11tool"}, func(c *client) {
		// p11-kit leaves the configuration of root's home aside.
		if os.Geteuid() == 0 {
			c.become("www-data")
		}
		c.initToken()
		c.step("list modules", func(s *step) {
			must(os.MkdirAll(s.path(".config/pkcs11/modules"), 0o755))
			must(os.WriteFile(s.path(".config/pkcs11/modules/clients.module"), []byte("module: "+s.library+"\n"), 0o644))
			s.contains(s.run("p11-kit", "list-modules"), "clients: "+s.library, "token: "+s.label)
		})
		c.step("GnuTLS finds the token", func(s *step) {
			s.contains(s.run("p11tool", "--list-token-urls"), "token="+s.label)
		})
		c.step("GnuTLS uses the token", func(s *step) {
			s.env = []string{"GNUTLS_PIN=" + s.pin}
			s.run("p11tool", "--batch", "--login", "--generate-privkey", "ecdsa", "--curve", "secp256r1", "--label", "ec", "--outfile", "ec.pem", s.tokenURI())
			s.contains(s.run("p11tool", "--batch", "--login", "--test-sign", s.uri("ec", "private")), "Verifying against public key in the token... ok")
		})
	})
}

// TestP11KitRemote has the module in another process: p11-kit's server, which
// forks for each client, and p11-kit-client.so, which speaks to it.
func TestP11KitRemote(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/*/pkcs11/p11-kit-client.so")
	if len(found) == 0 {
		missing(t, "p11-kit-client.so")
	}
	onEachModule(t, []string{"p11-kit", "openssl"}, func(c *client) {
		started := c.step("start server", func(s *step) {
			// A file takes the output, for the server keeps it open.
			s.run("sh", "-c", `exec p11-kit server --provider "$0" --name p11-kit.sock "$1" >server.out 2>&1`, s.library, s.tokenURI())
			out := string(s.read("server.out"))
			pid := regexp.MustCompile(`P11_KIT_SERVER_PID=(\d+)`).FindStringSubmatch(out)
			if pid == nil {
				s.fail("no process id in %q", out)
			}
			c.t.Cleanup(func() { (&step{client: c}).try(nil, "kill", pid[1]) })
			// The server says that it runs a moment before it listens.
			for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				conn, err := net.Dial("unix", s.path("p11-kit.sock"))
				if err == nil {
					conn.Close()
					break
				}
				if time.Now().After(deadline) {
					must(err)
				}
			}
		})
		if !started {
			return
		}
		c.env = append(c.env, "P11_KIT_SERVER_ADDRESS=unix:path="+filepath.Join(c.dir, "p11-kit.sock"))
		c.library = found[0]
		c.step("list the token", func(s *step) {
			s.contains(s.run("pkcs11-tool", "--module", s.library, "-L"), s.label)
		})
		c.step("generate and sign", func(s *step) {
			s.write("message", []byte("a message to sign"))
			s.asUser("--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "ec")
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa")
			s.asUser("--sign", "-m", "SHA256-RSA-PKCS", "--id", "01", "-i", "message", "-o", "signature")
			s.pkcs11tool("--read-object", "--type", "pubkey", "--id", "01", "-o", "rsa.der")
			s.run("openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", "rsa.der", "-signature", "signature", "message")
		})
		c.step("many clients", func(s *step) {
			for range 5 {
				if out := s.asUser("-O"); !strings.Contains(out, "Private Key Object; EC") {
					s.fail("a key is missing:\n%s", out)
				}
			}
		})
	})
}
