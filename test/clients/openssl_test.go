package clients

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// engineFile finds OpenSSL's pkcs11 engine, which is libp11 behind it.
func engineFile() (string, error) {
	out, err := exec.Command("openssl", "version", "-e").Output()
	if err != nil {
		return "", fmt.Errorf("openssl version -e: %w", err)
	}
	_, dir, _ := strings.Cut(strings.TrimSpace(string(out)), ": ")
	file := filepath.Join(strings.Trim(dir, `"`), "pkcs11.so")
	if err := exists(file); err != nil {
		return "", fmt.Errorf("OpenSSL's pkcs11 engine is not installed: %w", err)
	}
	return file, nil
}

// useEngine writes the OpenSSL configuration that docs/clients.md shows, and
// leads the client's commands to it.
func (c *client) useEngine() {
	c.t.Helper()
	engine, err := engineFile()
	if err != nil {
		missing(c.t, err.Error())
	}
	(&step{client: c}).write("openssl.cnf", fmt.Appendf(nil, `openssl_conf = openssl_init

[openssl_init]
engines = engines

[engines]
pkcs11 = pkcs11

[pkcs11]
engine_id = pkcs11
dynamic_path = %s
MODULE_PATH = %s
init = 0

[req]
distinguished_name = dn
x509_extensions = ca

[dn]

[ca]
basicConstraints = critical,CA:true
subjectKeyIdentifier = hash

[server]
subjectAltName = DNS:localhost
`, engine, c.library))
	c.env = append(c.env, "OPENSSL_CONF="+filepath.Join(c.dir, "openssl.cnf"))
}

// engineKey names a private key of the token for OpenSSL, with its PIN.
func (s *step) engineKey(object string) string {
	return s.uri(object, "private") + ";pin-value=" + s.pin
}

func (s *step) engine(command string, args ...string) string {
	return s.run("openssl", append([]string{command, "-engine", "pkcs11"}, args...)...)
}

func TestOpenSSLEngine(t *testing.T) {
	onEachModule(t, []string{"openssl", "curl"}, func(c *client) {
		c.useEngine()
		c.step("generate", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa")
			s.asUser("--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "ec")
			s.asUser("--keypairgen", "--key-type", "EC:secp256k1", "--id", "03", "--label", "k256")
			s.asUser("--keypairgen", "--key-type", "EC:brainpoolP256r1", "--id", "04", "--label", "bp256")
			s.asUser("--keypairgen", "--key-type", "EC:brainpoolP512r1", "--id", "05", "--label", "bp512")
			s.write("message", []byte("a message to sign"))
		})
		for _, key := range []string{"rsa", "ec", "k256", "bp256", "bp512"} {
			c.step("public key "+key, func(s *step) {
				s.engine("pkey", "-inform", "engine", "-in", s.engineKey(key), "-pubout", "-out", key+".pem")
				s.contains(s.run("openssl", "pkey", "-pubin", "-in", key+".pem", "-noout", "-text"), "Public-Key")
			})
			c.step("self-signed certificate "+key, func(s *step) {
				s.engine("req", "-new", "-x509", "-keyform", "engine", "-key", s.engineKey(key), "-subj", "/CN=ca "+key, "-days", "30", "-out", key+".crt")
				s.run("openssl", "verify", "-CAfile", key+".crt", key+".crt")
			})
			c.step("certificate request "+key, func(s *step) {
				s.engine("req", "-new", "-keyform", "engine", "-key", s.engineKey(key), "-subj", "/CN=localhost", "-out", key+".csr")
				s.contains(s.run("openssl", "req", "-in", key+".csr", "-verify", "-noout"), "verify OK")
			})
			c.step("sign a certificate with "+key, func(s *step) {
				s.engine("x509", "-req", "-in", key+".csr", "-CA", key+".crt", "-CAkeyform", "engine", "-CAkey", s.engineKey(key),
					"-CAcreateserial", "-extfile", "openssl.cnf", "-extensions", "server", "-days", "30", "-out", key+".leaf.crt")
				s.run("openssl", "verify", "-CAfile", key+".crt", key+".leaf.crt")
			})
			for _, hash := range []string{"sha1", "sha256", "sha512"} {
				c.step("dgst "+hash+" "+key, func(s *step) {
					s.engine("dgst", "-"+hash, "-keyform", "engine", "-sign", s.engineKey(key), "-out", "signature", "message")
					s.contains(s.run("openssl", "dgst", "-"+hash, "-verify", key+".pem", "-signature", "signature", "message"), "Verified OK")
				})
			}
			c.step("cms "+key, func(s *step) {
				s.engine("cms", "-sign", "-keyform", "engine", "-inkey", s.engineKey(key), "-signer", key+".crt", "-in", "message", "-out", "signed")
				s.contains(s.run("openssl", "cms", "-verify", "-CAfile", key+".crt", "-purpose", "any", "-in", "signed"), "successful")
			})
		}
		c.step("pkeyutl PSS", func(s *step) {
			options := []string{"-rawin", "-digest", "sha256", "-in", "message", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"}
			s.engine("pkeyutl", append(options, "-sign", "-keyform", "engine", "-inkey", s.engineKey("rsa"), "-out", "signature")...)
			s.run("openssl", append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", "rsa.pem", "-sigfile", "signature"}, options...)...)
		})
		paddings := map[string][]string{
			"pkcs1":       {"-pkeyopt", "rsa_padding_mode:pkcs1"},
			"oaep sha1":   {"-pkeyopt", "rsa_padding_mode:oaep"},
			"oaep sha256": {"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"},
		}
		for name, options := range paddings {
			c.step("pkeyutl decrypt "+name, func(s *step) {
				s.run("openssl", append([]string{"pkeyutl", "-encrypt", "-pubin", "-inkey", "rsa.pem", "-in", "message", "-out", "sealed"}, options...)...)
				s.engine("pkeyutl", append([]string{"-decrypt", "-keyform", "engine", "-inkey", s.engineKey("rsa"), "-in", "sealed", "-out", "opened"}, options...)...)
				s.equal("decrypted", s.read("opened"), s.read("message"))
			})
		}
		c.step("derive", func(s *step) {
			s.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "peer.pem")
			s.run("openssl", "pkey", "-in", "peer.pem", "-pubout", "-out", "peer.pub")
			s.engine("pkeyutl", "-derive", "-keyform", "engine", "-inkey", s.engineKey("ec"), "-peerkey", "peer.pub", "-out", "secret")
			s.run("openssl", "pkeyutl", "-derive", "-inkey", "peer.pem", "-peerkey", "ec.pem", "-out", "expected")
			s.equal("shared secret", s.read("secret"), s.read("expected"))
		})
		for _, key := range []string{"rsa", "ec"} {
			for _, version := range []string{"tls1_2", "tls1_3"} {
				c.step("TLS server "+version+" "+key, func(s *step) {
					s.serveTLS(key, version)
				})
			}
		}
		c.step("server that asks for a certificate", func(s *step) {
			s.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-extensions", "server", "-keyout", "server.pem", "-out", "server.crt", "-days", "30")
		})
		for _, key := range []string{"rsa", "ec"} {
			asking := []string{"-key", "server.pem", "-cert", "server.crt", "-Verify", "1", "-verify_return_error", "-CAfile", key + ".crt", "-naccept", "1"}
			c.step("s_client with a client certificate "+key, func(s *step) {
				stop := s.startServer(asking...)
				out := s.get("-engine", "pkcs11", "-CAfile", "server.crt", "-cert", key+".crt", "-keyform", "engine", "-key", s.engineKey(key))
				s.contains(out, "Verification: OK", "Subject: CN=ca "+key)
				stop()
			})
			c.step("curl with a client certificate "+key, func(s *step) {
				stop := s.startServer(asking...)
				out := s.run("curl", "--silent", "--show-error", "--unix-socket", "server.sock", "--cacert", "server.crt",
					"--engine", "pkcs11", "--cert", key+".crt", "--key-type", "ENG", "--key", s.engineKey(key), "https://localhost/")
				s.contains(out, "Subject: CN=ca "+key)
				stop()
			})
		}
		c.step("PIN from a file", func(s *step) {
			s.write("pin", []byte(s.pin))
			s.engine("dgst", "-sha256", "-keyform", "engine", "-sign", s.uri("rsa", "private")+";pin-source=file:"+s.path("pin"), "-out", "signature", "message")
			s.contains(s.run("openssl", "dgst", "-sha256", "-verify", "rsa.pem", "-signature", "signature", "message"), "Verified OK")
		})
		c.step("wrong PIN", func(s *step) {
			s.refuse("", "openssl", "dgst", "-engine", "pkcs11", "-sha256", "-keyform", "engine", "-sign", s.uri("rsa", "private")+";pin-value=wrong-pin", "message")
			s.engine("dgst", "-sha256", "-keyform", "engine", "-sign", s.engineKey("rsa"), "-out", "signature", "message")
		})
	})
}

// serveTLS runs s_server with a key of the token and talks to it with s_client.
func (s *step) serveTLS(key, version string) {
	stop := s.startServer("-engine", "pkcs11", "-keyform", "engine", "-key", s.engineKey(key), "-cert", key+".leaf.crt", "-naccept", "20")
	for range 20 {
		out := s.get("-"+version, "-CAfile", key+".crt", "-servername", "localhost", "-verify_hostname", "localhost")
		s.contains(out, "Verification: OK", "200 ok")
	}
	stop()
}

// get asks the server for its status page.
func (s *step) get(args ...string) string {
	args = append([]string{"s_client", "-unix", "server.sock", "-verify_return_error", "-brief", "-ign_eof"}, args...)
	return s.runWith([]byte("GET / HTTP/1.0\r\n\r\n"), "openssl", args...)
}

// startServer starts s_server on server.sock and waits until it listens. The
// returned function waits for its end.
func (s *step) startServer(args ...string) (wait func()) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	args = append([]string{"s_server", "-unix", "server.sock", "-unlink", "-www"}, args...)
	cmd := s.command(ctx, "openssl", args...)
	out, err := cmd.StdoutPipe()
	must(err)
	cmd.Stderr = cmd.Stdout
	must(cmd.Start())
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "ACCEPT") {
		fmt.Fprintln(&printed, lines.Text())
	}
	return func() {
		for lines.Scan() {
			fmt.Fprintln(&printed, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			s.fail("openssl %s: %v\n%s", strings.Join(args, " "), err, printed.String())
		}
	}
}
