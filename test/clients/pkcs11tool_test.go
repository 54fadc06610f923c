package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// pkcs11tool runs pkcs11-tool on the token, without a login.
func (s *step) pkcs11tool(args ...string) string {
	return s.run("pkcs11-tool", s.toolArgs(args)...)
}

// asUser runs pkcs11-tool logged in with the user PIN.
func (s *step) asUser(args ...string) string {
	return s.run("pkcs11-tool", s.userArgs(args)...)
}

func (s *step) refuseUser(want string, args ...string) {
	s.refuse(want, "pkcs11-tool", s.userArgs(args)...)
}

func (s *step) toolArgs(args []string) []string {
	return append([]string{"--module", s.library, "--token-label", s.label}, args...)
}

func (s *step) userArgs(args []string) []string {
	return s.toolArgs(append([]string{"--login", "--pin", s.pin}, args...))
}

// TestPkcs11ToolToken is the life of a token from nothing.
func TestPkcs11ToolToken(t *testing.T) {
	onEachHome(t, []string{"pkcs11-tool"}, func(c *client) {
		c.step("list the slots of an empty HSM", func(s *step) {
			out := s.run("pkcs11-tool", "--module", s.library, "-L")
			s.contains(out, "Slot 0 ", "uninitialized")
		})
		c.step("init token", func(s *step) {
			out := s.run("pkcs11-tool", "--module", s.library, "--slot-index", "0", "--init-token", "--label", s.label, "--so-pin", s.soPIN)
			s.contains(out, "Token successfully initialized")
		})
		c.step("no login before the PIN is there", func(s *step) {
			s.refuseUser("CKR_USER_PIN_NOT_INITIALIZED", "-O")
		})
		c.step("init pin", func(s *step) {
			out := s.pkcs11tool("--login", "--login-type", "so", "--so-pin", s.soPIN, "--init-pin", "--new-pin", s.pin)
			s.contains(out, "User PIN successfully initialized")
		})
		c.step("show info", func(s *step) {
			s.contains(s.pkcs11tool("-I"), "Cryptoki version", "Manufacturer", "Library")
		})
		c.step("list token slots", func(s *step) {
			for _, flag := range []string{"-L", "-T"} {
				s.contains(s.pkcs11tool(flag), "token label        : "+s.label,
					"login required", "rng", "token initialized", "PIN initialized", "serial num", "pin min/max        : 4/255")
			}
		})
		c.step("a free slot for the next token", func(s *step) {
			s.contains(s.run("pkcs11-tool", "--module", s.library, "-L"), "Slot 1 ", "uninitialized")
		})
		c.step("list mechanisms", func(s *step) {
			s.contains(s.pkcs11tool("-M"), "RSA-PKCS-KEY-PAIR-GEN", "SHA256-RSA-PKCS", "ECDSA", "AES-GCM", "SHA256-HMAC", "EDDSA")
			if c.module == "perilune" {
				s.contains(s.pkcs11tool("-M"), "DES3-CBC", "MD5", "DSA-KEY-PAIR-GEN", "DH-PKCS-DERIVE", "RC4", "CAST5-CBC", "RIPEMD160", "PBE-SHA1-DES3-EDE-CBC", "TLS-KEY-AND-MAC-DERIVE", "ECMQV-DERIVE")
			}
		})
		c.step("list interfaces", func(s *step) {
			s.contains(s.pkcs11tool("--list-interfaces"), "PKCS 11")
		})
		c.step("wrong PIN", func(s *step) {
			s.refuse("CKR_PIN_INCORRECT", "pkcs11-tool", s.toolArgs([]string{"--login", "--pin", "wrong-pin", "-O"})...)
			s.asUser("-O")
			if flags := s.pkcs11tool("-L"); strings.Contains(flags, "PIN count low") {
				s.fail("a right PIN has to clear the count of wrong ones:\n%s", flags)
			}
		})
		c.step("wrong SO PIN", func(s *step) {
			s.refuse("CKR_PIN_INCORRECT", "pkcs11-tool", s.toolArgs([]string{"--login", "--login-type", "so", "--so-pin", "wrong-pin", "--init-pin", "--new-pin", "1234"})...)
		})
		c.step("change pin", func(s *step) {
			s.pkcs11tool("--login", "--pin", s.pin, "--change-pin", "--new-pin", "changed-pin")
			s.refuseUser("CKR_PIN_INCORRECT", "-O")
			s.pkcs11tool("--login", "--pin", "changed-pin", "-O")
		})
		c.step("a PIN too short", func(s *step) {
			s.refuse("CKR_PIN_LEN_RANGE", "pkcs11-tool", s.toolArgs([]string{"--login", "--pin", "changed-pin", "--change-pin", "--new-pin", "123"})...)
		})
		c.step("change SO pin", func(s *step) {
			s.pkcs11tool("--login", "--login-type", "so", "--so-pin", s.soPIN, "--change-pin", "--new-pin", "changed-so-pin")
		})
		c.step("SO resets a forgotten PIN and the objects stay", func(s *step) {
			s.write("kept", []byte("kept data"))
			s.pkcs11tool("--login", "--pin", "changed-pin", "--private", "--write-object", "kept", "--type", "data", "--label", "kept")
			s.pkcs11tool("--login", "--login-type", "so", "--so-pin", "changed-so-pin", "--init-pin", "--new-pin", s.pin)
			s.refuse("CKR_PIN_INCORRECT", "pkcs11-tool", s.toolArgs([]string{"--login", "--pin", "changed-pin", "-O"})...)
			s.asUser("--read-object", "--type", "data", "--label", "kept", "-o", "kept.out")
			s.equal("the object", s.read("kept.out"), []byte("kept data"))
		})
		c.step("init token again erases it", func(s *step) {
			s.refuse("CKR_PIN_INCORRECT", "pkcs11-tool", s.toolArgs([]string{"--init-token", "--label", s.label, "--so-pin", "wrong-pin"})...)
			s.contains(s.pkcs11tool("--init-token", "--label", s.label, "--so-pin", "changed-so-pin"), "Token successfully initialized")
			s.refuseUser("CKR_USER_PIN_NOT_INITIALIZED", "-O")
		})
	})
}

var digests = []struct{ mechanism, openssl string }{
	{"MD5", "md5"}, {"SHA-1", "sha1"}, {"SHA224", "sha224"}, {"SHA256", "sha256"}, {"SHA384", "sha384"}, {"SHA512", "sha512"},
}

func TestPkcs11ToolRandomAndHash(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		c.step("random", func(s *step) {
			s.pkcs11tool("--generate-random", "64", "-o", "one")
			s.pkcs11tool("--generate-random", "64", "-o", "two")
			if one, two := s.read("one"), s.read("two"); len(one) != 64 || string(one) == string(two) {
				s.fail("not two different strings of 64 bytes: %x and %x", one, two)
			}
		})
		message := randomBytes(100_000)
		for _, d := range digests {
			c.step("hash "+d.mechanism, func(s *step) {
				s.write("message", message)
				s.pkcs11tool("--hash", "-m", d.mechanism, "-i", "message", "-o", "digest")
				s.run("openssl", "dgst", "-"+d.openssl, "-binary", "-out", "expected", "message")
				s.equal("digest", s.read("digest"), s.read("expected"))
			})
		}
	})
}

func TestPkcs11ToolRSA(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		message := []byte("a message to sign")
		digest := sha256.Sum256(message)
		c.step("generate", func(s *step) {
			out := s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa", "--usage-sign", "--usage-decrypt", "--usage-wrap")
			s.contains(out, "Private Key Object; RSA", "Public Key Object; RSA 2048 bits", "sensitive, always sensitive, never extractable, local")
		})
		c.step("list", func(s *step) {
			s.contains(s.asUser("-O"), "Private Key Object; RSA", "Public Key Object; RSA 2048 bits", "label:      rsa", "ID:         01")
			if out := s.pkcs11tool("-O"); strings.Contains(out, "Private Key Object") {
				s.fail("a private key shows without a login:\n%s", out)
			}
		})
		c.step("export public key", func(s *step) {
			s.pkcs11tool("--read-object", "--type", "pubkey", "--id", "01", "-o", "rsa.der")
			s.run("openssl", "rsa", "-pubin", "-inform", "DER", "-in", "rsa.der", "-out", "rsa.pem")
			s.write("message", message)
			s.write("digest", digest[:])
			s.write("digestinfo", append(must2(hex.DecodeString("3031300d060960864801650304020105000420")), digest[:]...))
		})
		signatures := []struct {
			mechanism string
			args      []string // of pkcs11-tool
			input     string
			openssl   []string // pkeyutl options that verify it
		}{
			{"RSA-PKCS", nil, "digestinfo", []string{"-in", "digest", "-pkeyopt", "digest:sha256"}},
			{"SHA1-RSA-PKCS", nil, "message", []string{"-rawin", "-digest", "sha1", "-in", "message"}},
			{"SHA256-RSA-PKCS", nil, "message", []string{"-rawin", "-digest", "sha256", "-in", "message"}},
			{"SHA384-RSA-PKCS", nil, "message", []string{"-rawin", "-digest", "sha384", "-in", "message"}},
			{"SHA512-RSA-PKCS", nil, "message", []string{"-rawin", "-digest", "sha512", "-in", "message"}},
			{"RSA-PKCS-PSS", []string{"--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256", "--salt-len", "32"}, "digest",
				[]string{"-in", "digest", "-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"}},
			{"SHA256-RSA-PKCS-PSS", nil, "message",
				[]string{"-rawin", "-digest", "sha256", "-in", "message", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"}},
			{"SHA512-RSA-PKCS-PSS", []string{"--salt-len", "20"}, "message",
				[]string{"-rawin", "-digest", "sha512", "-in", "message", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:20"}},
		}
		for _, sig := range signatures {
			c.step("sign "+sig.mechanism, func(s *step) {
				args := append([]string{"-m", sig.mechanism, "--id", "01", "-i", sig.input}, sig.args...)
				s.asUser(append([]string{"--sign", "-o", "signature"}, args...)...)
				s.run("openssl", append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", "rsa.pem", "-sigfile", "signature"}, sig.openssl...)...)
				s.contains(s.asUser(append([]string{"--verify", "--signature-file", "signature"}, args...)...), "Signature is valid")
				s.write("forged", flipBit(s.read("signature")))
				out, _ := s.try(nil, "pkcs11-tool", s.userArgs(append([]string{"--verify", "--signature-file", "forged"}, args...))...)
				s.contains(out, "Invalid signature")
			})
		}
		c.step("raw RSA", func(s *step) {
			block := randomBytes(256)
			block[0] = 0
			s.write("block", block)
			s.asUser("--sign", "-m", "RSA-X-509", "--id", "01", "-i", "block", "-o", "signature")
			s.run("openssl", "pkeyutl", "-verifyrecover", "-pubin", "-inkey", "rsa.pem", "-in", "signature", "-pkeyopt", "rsa_padding_mode:none", "-out", "recovered")
			s.equal("recovered block", s.read("recovered"), block)
		})
		c.step("decrypt RSA-PKCS", func(s *step) {
			s.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "rsa.pem", "-in", "message", "-out", "sealed")
			s.asUser("--decrypt", "-m", "RSA-PKCS", "--id", "01", "-i", "sealed", "-o", "opened")
			s.equal("decrypted", s.read("opened"), message)
		})
		for _, hash := range []string{"SHA-1", "SHA256", "SHA512"} {
			c.step("decrypt OAEP "+hash, func(s *step) {
				name := strings.ToLower(strings.ReplaceAll(hash, "-", ""))
				s.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "rsa.pem", "-in", "message", "-out", "sealed",
					"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:"+name, "-pkeyopt", "rsa_mgf1_md:"+name)
				s.asUser("--decrypt", "-m", "RSA-PKCS-OAEP", "--hash-algorithm", hash, "--mgf", "MGF1-"+strings.ToUpper(name), "--id", "01", "-i", "sealed", "-o", "opened")
				s.equal("decrypted", s.read("opened"), message)
			})
		}
		c.step("set id", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:1024", "--id", "20", "--label", "renamed")
			s.asUser("--set-id", "21", "--type", "privkey", "--id", "20")
			s.asUser("--set-id", "21", "--type", "pubkey", "--id", "20")
			out := s.asUser("-O")
			s.contains(out, "ID:         21")
			if strings.Contains(out, "ID:         20") {
				s.fail("the old id is still there:\n%s", out)
			}
		})
		c.step("delete key pair", func(s *step) {
			s.asUser("--delete-object", "--type", "privkey", "--id", "21")
			s.asUser("--delete-object", "--type", "pubkey", "--id", "21")
			if out := s.asUser("-O"); strings.Contains(out, "renamed") {
				s.fail("the deleted keys are still there:\n%s", out)
			}
		})
		c.step("allowed mechanisms", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:1024", "--id", "22", "--label", "narrow", "--allowed-mechanisms", "SHA256-RSA-PKCS")
			s.asUser("--sign", "-m", "SHA256-RSA-PKCS", "--id", "22", "-i", "message", "-o", "signature")
			s.refuseUser("CKR_MECHANISM_INVALID", "--sign", "-m", "SHA512-RSA-PKCS", "--id", "22", "-i", "message", "-o", "signature")
		})
		c.step("always authenticate", func(s *step) {
			out := s.asUser("--keypairgen", "--key-type", "rsa:1024", "--id", "23", "--label", "careful", "--always-auth", "--usage-sign")
			s.contains(out, "always authenticate")
			s.asUser("--sign", "-m", "SHA256-RSA-PKCS", "--id", "23", "-i", "message", "-o", "signature")
		})
		c.step("a mechanism that the key cannot do", func(s *step) {
			s.refuseUser("CKR_KEY_TYPE_INCONSISTENT", "--sign", "-m", "ECDSA", "--id", "01", "-i", "digest", "-o", "signature")
		})
	})
}

func TestPkcs11ToolEC(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		message := []byte("a message to sign")
		digest := sha256.Sum256(message)
		for i, curve := range []string{"prime256v1", "secp384r1", "secp521r1", "secp256k1", "prime192v1", "secp224r1", "brainpoolP256r1", "brainpoolP512r1"} {
			id := fmt.Sprintf("%02x", 0x10+i)
			generated := c.step("generate "+curve, func(s *step) {
				s.write("message", message)
				s.write("digest", digest[:])
				s.contains(s.asUser("--keypairgen", "--key-type", "EC:"+curve, "--id", id, "--label", curve, "--usage-sign", "--usage-derive"), "Private Key Object; EC")
			})
			if !generated {
				continue
			}
			c.step("list "+curve, func(s *step) {
				s.write(curve+".der", s.ecPublicKey(curve))
				s.run("openssl", "ec", "-pubin", "-inform", "DER", "-in", curve+".der", "-out", curve+".pem")
			})
			// pkcs11-tool of OpenSC 0.23 cannot put a P-192 or P-384 key together.
			if curve != "prime192v1" && curve != "secp384r1" {
				c.step("export "+curve, func(s *step) {
					s.pkcs11tool("--read-object", "--type", "pubkey", "--id", id, "-o", "exported.der")
					s.equal("exported key", s.read("exported.der"), s.read(curve+".der"))
				})
			}
			c.step("sign ECDSA "+curve, func(s *step) {
				s.asUser("--sign", "-m", "ECDSA", "--id", id, "-i", "digest", "-o", "signature", "-f", "openssl")
				s.run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", curve+".pem", "-in", "digest", "-sigfile", "signature")
				s.contains(s.asUser("--verify", "-m", "ECDSA", "--id", id, "-i", "digest", "--signature-file", "signature", "-f", "openssl"), "Signature is valid")
			})
			for _, hash := range []string{"SHA1", "SHA256", "SHA384", "SHA512"} {
				c.step("sign ECDSA-"+hash+" "+curve, func(s *step) {
					s.asUser("--sign", "-m", "ECDSA-"+hash, "--id", id, "-i", "message", "-o", "signature", "-f", "openssl")
					s.run("openssl", "dgst", "-"+hash, "-verify", curve+".pem", "-signature", "signature", "message")
					s.contains(s.asUser("--verify", "-m", "ECDSA-"+hash, "--id", id, "-i", "message", "--signature-file", "signature", "-f", "openssl"), "Signature is valid")
				})
			}
			c.step("derive ECDH "+curve, func(s *step) {
				s.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-out", "peer.pem")
				s.run("openssl", "pkey", "-in", "peer.pem", "-pubout", "-outform", "DER", "-out", "peer.der")
				s.asUser("--derive", "-m", "ECDH1-DERIVE", "--id", id, "-i", "peer.der", "-o", "secret")
				s.run("openssl", "pkeyutl", "-derive", "-inkey", "peer.pem", "-peerkey", curve+".pem", "-out", "expected")
				s.equal("shared secret", s.read("secret"), s.read("expected"))
			})
		}
	})
}

func TestPkcs11ToolEdwards(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		c.step("generate Ed25519", func(s *step) {
			s.write("message", []byte("a message to sign"))
			s.contains(s.asUser("--keypairgen", "--key-type", "EC:edwards25519", "--id", "05", "--label", "ed"), "Private Key Object; EC_EDWARDS")
		})
		c.step("export Ed25519", func(s *step) {
			s.pkcs11tool("--read-object", "--type", "pubkey", "--id", "05", "-o", "ed.pem")
			s.contains(s.run("openssl", "pkey", "-pubin", "-in", "ed.pem", "-noout", "-text"), "ED25519 Public-Key")
		})
		c.step("sign EDDSA", func(s *step) {
			s.asUser("--sign", "-m", "EDDSA", "--id", "05", "-i", "message", "-o", "signature")
			s.run("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "ed.pem", "-in", "message", "-sigfile", "signature")
		})
		c.step("verify EDDSA", func(s *step) {
			s.contains(s.asUser("--verify", "-m", "EDDSA", "--id", "05", "-i", "message", "--signature-file", "signature"), "Signature is valid")
		})
		c.step("generate X25519", func(s *step) {
			s.contains(s.asUser("--keypairgen", "--key-type", "EC:curve25519", "--id", "06", "--label", "x", "--usage-derive"), "Private Key Object; EC_MONTGOMERY")
		})
	})
}

func TestPkcs11ToolSecretKeys(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		key, iv := randomBytes(32), hex.EncodeToString(randomBytes(16))
		message := randomBytes(1000)
		for _, kind := range []string{"AES:16", "AES:24", "AES:32", "GENERIC:32", "DES:8", "DES3:24"} {
			c.step("generate "+kind, func(s *step) {
				name, _, _ := strings.Cut(kind, ":")
				out := s.asUser("--keygen", "--key-type", kind, "--label", kind, "--sensitive")
				s.contains(strings.ToUpper(out), "SECRET KEY OBJECT; "+name)
				s.contains(out, "sensitive", "never extractable")
			})
		}
		c.step("write secret key", func(s *step) {
			s.write("message", message)
			s.write("blocks", message[:960])
			s.write("key", key)
			s.asUser("--write-object", "key", "--type", "secrkey", "--key-type", "AES:32", "--id", "30", "--label", "known", "--usage-decrypt", "--usage-wrap", "--extractable")
		})
		c.step("read secret key", func(s *step) {
			s.asUser("--read-object", "--type", "secrkey", "--id", "30", "-o", "key.out")
			s.equal("key", s.read("key.out"), key)
		})
		c.step("read a sensitive key", func(s *step) {
			s.refuseUser("CKR_ATTRIBUTE_SENSITIVE", "--read-object", "--type", "secrkey", "--label", "AES:32", "-o", "key.out")
		})
		ciphers := []struct{ mechanism, input, openssl string }{
			{"AES-ECB", "blocks", "-aes-256-ecb -nopad"},
			{"AES-CBC", "blocks", "-aes-256-cbc -nopad"},
			{"AES-CBC-PAD", "message", "-aes-256-cbc"},
		}
		for _, cipher := range ciphers {
			c.step("encrypt "+cipher.mechanism, func(s *step) {
				args := []string{"-m", cipher.mechanism, "--id", "30"}
				options := append([]string{"enc", "-K", hex.EncodeToString(key), "-in", cipher.input, "-out", "expected"}, strings.Fields(cipher.openssl)...)
				if cipher.mechanism != "AES-ECB" {
					args = append(args, "--iv", iv)
					options = append(options, "-iv", iv)
				}
				s.run("openssl", options...)
				s.asUser(append([]string{"--encrypt", "-i", cipher.input, "-o", "sealed"}, args...)...)
				s.equal("ciphertext", s.read("sealed"), s.read("expected"))
				s.asUser(append([]string{"--decrypt", "-i", "sealed", "-o", "opened"}, args...)...)
				s.equal("plaintext", s.read("opened"), s.read(cipher.input))
			})
		}
		c.step("decrypt with bad padding", func(s *step) {
			s.write("sealed", randomBytes(64))
			s.refuseUser("C_Decrypt", "--decrypt", "-m", "AES-CBC-PAD", "--iv", iv, "--id", "30", "-i", "sealed", "-o", "opened")
		})
		for i, hash := range []string{"SHA-1", "SHA256", "SHA512"} {
			c.step("sign "+hash+"-HMAC", func(s *step) {
				id := fmt.Sprintf("4%d", i)
				s.asUser("--keygen", "--key-type", "GENERIC:64", "--id", id, "--label", "hmac", "--extractable")
				s.asUser("--read-object", "--type", "secrkey", "--id", id, "-o", "long")
				s.asUser("--sign", "-m", hash+"-HMAC", "--id", id, "-i", "message", "-o", "mac")
				s.run("openssl", "mac", "-digest", strings.ReplaceAll(hash, "-", ""), "-macopt", "hexkey:"+hex.EncodeToString(s.read("long")), "-in", "message", "-binary", "-out", "expected", "HMAC")
				s.equal("HMAC", s.read("mac"), s.read("expected"))
			})
		}
		c.step("wrap AES with RSA-PKCS", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa", "--usage-wrap", "--usage-decrypt")
			s.asUser("--wrap", "-m", "RSA-PKCS", "--id", "01", "--application-id", "30", "-o", "wrapped")
			s.asUser("--decrypt", "-m", "RSA-PKCS", "--id", "01", "-i", "wrapped", "-o", "opened")
			s.equal("wrapped key", s.read("opened"), key)
		})
		c.step("unwrap AES with RSA-PKCS", func(s *step) {
			s.pkcs11tool("--read-object", "--type", "pubkey", "--id", "01", "-o", "rsa.der")
			s.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "rsa.der", "-in", "key", "-out", "wrapped")
			s.asUser("--unwrap", "-m", "RSA-PKCS", "--id", "01", "-i", "wrapped", "--key-type", "AES:", "--application-id", "64", "--application-label", "unwrapped", "--extractable")
			s.asUser("--read-object", "--type", "secrkey", "--id", "64", "-o", "key.out")
			s.equal("unwrapped key", s.read("key.out"), key)
		})
		wrappings := []struct{ name, mechanism string }{
			{"AES-CBC", "AES-CBC"}, {"AES-CBC-PAD", "AES-CBC-PAD"}, {"AES-KEY-WRAP", "AES-KEY-WRAP"}, {"AES-KEY-WRAP-PAD", "0x210A"},
		}
		for i, w := range wrappings {
			c.step("wrap and unwrap AES with "+w.name, func(s *step) {
				args := []string{"-m", w.mechanism, "--id", "30"}
				if strings.HasPrefix(w.name, "AES-CBC") {
					args = append(args, "--iv", iv)
				}
				before, after := fmt.Sprintf("5%d", i), fmt.Sprintf("6%d", i)
				other := randomBytes(32)
				s.write("other", other)
				s.asUser("--write-object", "other", "--type", "secrkey", "--key-type", "AES:32", "--id", before, "--label", "to wrap", "--extractable")
				s.asUser(append([]string{"--wrap", "--application-id", before, "-o", "wrapped"}, args...)...)
				s.asUser(append([]string{"--unwrap", "-i", "wrapped", "--key-type", "AES:", "--application-id", after, "--application-label", "unwrapped", "--extractable"}, args...)...)
				s.asUser("--read-object", "--type", "secrkey", "--id", after, "-o", "key.out")
				s.equal("unwrapped key", s.read("key.out"), other)
			})
		}
		c.step("wrap a key that must stay", func(s *step) {
			s.asUser("--keygen", "--key-type", "AES:32", "--id", "70", "--label", "stays", "--sensitive")
			s.refuseUser("CKR_KEY_UNEXTRACTABLE", "--wrap", "-m", "RSA-PKCS", "--id", "01", "--application-id", "70", "-o", "wrapped")
		})
		c.step("delete secret key", func(s *step) {
			s.asUser("--delete-object", "--type", "secrkey", "--id", "30")
			if out := s.asUser("-O"); strings.Contains(out, "known") {
				s.fail("the deleted key is still there:\n%s", out)
			}
		})
	})
}

func TestPkcs11ToolObjects(t *testing.T) {
	onEachModule(t, []string{"openssl"}, func(c *client) {
		c.step("prepare", func(s *step) {
			s.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Clients/CN=object", "-days", "30",
				"-keyout", "rsa.pem", "-outform", "DER", "-out", "cert.der")
			s.run("openssl", "rsa", "-in", "rsa.pem", "-traditional", "-outform", "DER", "-out", "rsa.der")
			s.run("openssl", "rsa", "-in", "rsa.pem", "-pubout", "-outform", "DER", "-out", "rsa.pub")
			s.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-outform", "DER", "-out", "ec.der")
			s.run("openssl", "ec", "-inform", "DER", "-in", "ec.der", "-pubout", "-outform", "DER", "-out", "ec.pub")
			s.run("openssl", "ec", "-inform", "DER", "-in", "ec.der", "-pubout", "-out", "ec.pem")
			s.write("message", []byte("a message to sign"))
			s.write("data", []byte("some data"))
		})
		c.step("write and read certificate", func(s *step) {
			s.contains(s.asUser("--write-object", "cert.der", "--type", "cert", "--id", "01", "--label", "cert"), "Certificate Object; type = X.509 cert")
			s.pkcs11tool("--read-object", "--type", "cert", "--id", "01", "-o", "cert.out")
			s.equal("certificate", s.read("cert.out"), s.read("cert.der"))
			s.contains(s.pkcs11tool("-O", "--type", "cert"), "subject:    DN: O=Clients, CN=object")
		})
		for _, kind := range []string{"rsa", "ec"} {
			c.step("write and read public key "+kind, func(s *step) {
				s.asUser("--write-object", kind+".pub", "--type", "pubkey", "--id", "01", "--label", kind)
				s.pkcs11tool("--read-object", "--type", "pubkey", "--label", kind, "-o", "pub.out")
				s.equal("public key", s.read("pub.out"), s.read(kind+".pub"))
			})
		}
		c.step("write private key rsa", func(s *step) {
			s.asUser("--write-object", "rsa.der", "--type", "privkey", "--id", "01", "--label", "rsa", "--usage-sign")
			s.asUser("--sign", "-m", "SHA256-RSA-PKCS", "--id", "01", "-i", "message", "-o", "signature")
			s.run("openssl", "dgst", "-sha256", "-prverify", "rsa.pem", "-signature", "signature", "message")
		})
		c.step("write private key ec", func(s *step) {
			s.asUser("--write-object", "ec.der", "--type", "privkey", "--id", "02", "--label", "ec", "--usage-sign")
			digest := sha256.Sum256(s.read("message"))
			s.write("digest", digest[:])
			s.asUser("--sign", "-m", "ECDSA", "--id", "02", "-i", "digest", "-o", "signature", "-f", "openssl")
			s.run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "ec.pem", "-in", "digest", "-sigfile", "signature")
		})
		c.step("write and read data", func(s *step) {
			s.asUser("--write-object", "data", "--type", "data", "--label", "datum", "--application-label", "clients", "--application-id", "1.2.3.4")
			s.pkcs11tool("--read-object", "--type", "data", "--label", "datum", "-o", "data.out")
			s.equal("data", s.read("data.out"), s.read("data"))
			s.contains(s.pkcs11tool("-O", "--type", "data"), "application:    'clients'", "app_id:         1.2.3.4")
		})
		c.step("private data needs a login", func(s *step) {
			s.asUser("--private", "--write-object", "data", "--type", "data", "--label", "hidden")
			s.contains(s.asUser("-O", "--type", "data"), "hidden")
			if out := s.pkcs11tool("-O", "--type", "data"); strings.Contains(out, "hidden") {
				s.fail("a private object shows without a login:\n%s", out)
			}
		})
		c.step("Mozilla-like key pair and certificate", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "77", "--label", "moz")
			s.contains(s.asUser("--session-rw", "--moz-cert", "cert.der", "--id", "77", "--key-type", "rsa:2048"), "==> OK, successful")
		})
		c.step("delete every kind", func(s *step) {
			for _, kind := range []string{"cert", "pubkey", "privkey"} {
				s.asUser("--delete-object", "--type", kind, "--id", "01")
			}
			s.asUser("--delete-object", "--type", "data", "--label", "datum")
			s.refuseUser("object not found", "--delete-object", "--type", "cert", "--id", "01")
		})
	})
}

// TestPkcs11ToolSelfTests runs the tests that pkcs11-tool brings with it.
func TestPkcs11ToolSelfTests(t *testing.T) {
	failures := regexp.MustCompile(`(?m)^(ERR|error|.*: (ERR|FAILED)).*`)
	onEachModule(t, nil, func(c *client) {
		c.step("prepare", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa", "--usage-sign", "--usage-decrypt", "--usage-wrap")
		})
		c.step("test with login", func(s *step) {
			out := s.asUser("--test", "--allow-sw")
			s.contains(out, "No errors", "Signatures", "Decryption")
			if bad := failures.FindAllString(out, -1); bad != nil {
				s.fail("failures in the self test: %q\n%s", bad, out)
			}
		})
		c.step("test without login", func(s *step) {
			s.contains(s.pkcs11tool("--test"), "No errors")
		})
		c.step("test EC", func(s *step) {
			s.contains(s.asUser("--session-rw", "--test-ec", "--id", "70", "--label", "test-ec", "--key-type", "EC:secp256r1"), "==> OK")
		})
		c.step("test fork", func(s *step) {
			s.contains(s.asUser("--test-fork"), "Calling C_Initialize in forked child process")
		})
		for _, script := range []string{"ILGISLT0", "INGISLT0"} {
			c.step("test threads "+script, func(s *step) {
				// The tool waits 30 seconds for threads that outlive its main
				// thread, so that gets something to do as well.
				args := []string{"--test", "--allow-sw"}
				for range 8 {
					args = append(args, "--test-threads", script)
				}
				s.contains(s.asUser(args...), "all threads have ended with CKR_OK", "No errors")
			})
		}
	})
}

// ecPublicKey makes a SubjectPublicKeyInfo of what pkcs11-tool lists of the
// public key with this label.
func (s *step) ecPublicKey(label string) []byte {
	listing := s.pkcs11tool("-O", "--type", "pubkey")
	found := regexp.MustCompile(`EC_POINT: +([0-9a-f]+)\s+EC_PARAMS: +([0-9a-f]+).*\s+label: +` + label + `\n`).FindStringSubmatch(listing)
	if found == nil {
		s.fail("no public key %s in this listing:\n%s", label, listing)
	}
	var point []byte
	_, err := asn1.Unmarshal(must2(hex.DecodeString(found[1])), &point)
	must(err)
	return must2(asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{
		pkix.AlgorithmIdentifier{
			Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1},
			Parameters: asn1.RawValue{FullBytes: must2(hex.DecodeString(found[2]))},
		},
		asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
	}))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func flipBit(b []byte) []byte {
	flipped := append([]byte(nil), b...)
	flipped[len(flipped)/2] ^= 1
	return flipped
}
