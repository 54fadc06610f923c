package clients

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSSH uses keys of the token for OpenSSH: in ssh-agent and in ssh itself,
// for signatures and for logins to a real sshd.
func TestSSH(t *testing.T) {
	onEachModule(t, []string{"ssh-keygen", "ssh-agent", "ssh-add", "ssh", "sshd"}, func(c *client) {
		c.step("generate", func(s *step) {
			s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa")
			s.asUser("--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "p256")
			s.asUser("--keypairgen", "--key-type", "EC:secp384r1", "--id", "03", "--label", "p384")
			s.write("askpass", fmt.Appendf(nil, "#!/bin/sh\necho %s\n", s.pin))
			must(os.Chmod(s.path("askpass"), 0o700))
		})
		c.env = append(c.env, "SSH_ASKPASS="+filepath.Join(c.dir, "askpass"), "SSH_ASKPASS_REQUIRE=force", "SSH_AUTH_SOCK="+filepath.Join(c.dir, "agent.sock"))
		var keys []string
		c.step("list public keys", func(s *step) {
			keys = sshKeys(s.run("ssh-keygen", "-D", s.library))
			kinds := strings.Join(keys, "\n")
			s.contains(kinds, "ssh-rsa ", "ecdsa-sha2-nistp256 ", "ecdsa-sha2-nistp384 ")
			if len(keys) != 3 {
				s.fail("%d keys and not 3: %s", len(keys), kinds)
			}
			s.write("authorized_keys", []byte(kinds+"\n"))
			for i, key := range keys {
				s.write(fmt.Sprintf("key%d.pub", i), []byte(key+"\n"))
			}
		})
		c.step("start agent", func(s *step) {
			// -P lists the modules that the agent may load, free of symbolic links.
			out := s.run("ssh-agent", "-P", must2(filepath.EvalSymlinks(s.library)), "-a", "agent.sock", "-s")
			pid := regexp.MustCompile(`SSH_AGENT_PID=(\d+);`).FindStringSubmatch(out)
			if pid == nil {
				s.fail("no process id in %q", out)
			}
			c.env = append(c.env, "SSH_AGENT_PID="+pid[1])
			c.t.Cleanup(func() { (&step{client: c}).try(nil, "ssh-agent", "-k") })
		})
		c.step("add the module", func(s *step) {
			s.contains(s.run("ssh-add", "-s", s.library), "Card added")
			if listed := sshKeys(s.run("ssh-add", "-L")); len(listed) != len(keys) {
				s.fail("the agent has %d keys and the module %d: %q", len(listed), len(keys), listed)
			}
		})
		for i := range 3 {
			c.step(fmt.Sprintf("sign and verify with key %d", i), func(s *step) {
				s.write("message", []byte("a message to sign"))
				os.Remove(s.path("message.sig"))
				public := fmt.Sprintf("key%d.pub", i)
				s.run("ssh-keygen", "-Y", "sign", "-f", public, "-n", "file", "message")
				s.write("signers", append([]byte("me@example.org "), s.read(public)...))
				s.contains(s.runWith(s.read("message"), "ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "me@example.org", "-n", "file", "-s", "message.sig"),
					`Good "file" signature`)
			})
			c.step(fmt.Sprintf("ssh-add tests key %d", i), func(s *step) {
				s.run("ssh-add", "-T", fmt.Sprintf("key%d.pub", i))
			})
		}
		c.step("certificate authority in the agent", func(s *step) {
			s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "leaf")
			s.run("ssh-keygen", "-U", "-s", "key0.pub", "-I", "leaf", "-n", "someone", "leaf.pub")
			s.contains(s.run("ssh-keygen", "-L", "-f", "leaf-cert.pub"), "user certificate", "Signing CA: ")
		})
		c.step("prepare sshd", func(s *step) { s.prepareSSHD() })
		for i := range 3 {
			c.step(fmt.Sprintf("log in through the agent with key %d", i), func(s *step) {
				s.login("-o", "IdentityFile="+s.path(fmt.Sprintf("key%d.pub", i)), "-o", "IdentitiesOnly=yes")
			})
		}
		c.step("log in without an agent", func(s *step) {
			s.env = []string{"SSH_AUTH_SOCK="}
			s.login("-o", "PKCS11Provider="+s.library)
		})
		c.step("remove the module", func(s *step) {
			s.contains(s.run("ssh-add", "-e", s.library), "Card removed")
			s.refuse("no identities", "ssh-add", "-L")
		})
		c.step("add it again", func(s *step) {
			s.contains(s.run("ssh-add", "-s", s.library), "Card added")
			s.run("ssh-add", "-T", "key0.pub")
		})
		c.step("wrong PIN", func(s *step) {
			s.run("ssh-add", "-e", s.library)
			s.write("askpass", []byte("#!/bin/sh\necho wrong-pin\n"))
			s.refuse("agent refused operation", "ssh-add", "-s", s.library)
		})
	})
}

// sshKeys picks the public keys out of what a program printed.
func sshKeys(out string) []string {
	return regexp.MustCompile(`(?m)^(?:ssh-|ecdsa-).*$`).FindAllString(out, -1)
}

// prepareSSHD writes the configuration of an sshd that ssh starts for itself,
// on its standard input and output.
func (s *step) prepareSSHD() {
	if os.Geteuid() == 0 {
		// sshd insists on this folder, which a service manager makes at boot.
		must(os.MkdirAll("/run/sshd", 0o755))
	}
	s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host")
	s.write("known_hosts", append([]byte("clients "), s.read("host.pub")...))
	s.write("sshd_config", fmt.Appendf(nil, `HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
`, s.dir))
}

func (s *step) login(options ...string) {
	sshd := "/usr/sbin/sshd"
	args := append([]string{
		"-F", "none",
		"-o", fmt.Sprintf("ProxyCommand=%s -i -f %s", sshd, s.path("sshd_config")),
		"-o", "UserKnownHostsFile=" + s.path("known_hosts"),
		"-o", "PreferredAuthentications=publickey",
	}, options...)
	me := must2(user.Current()).Username
	out := s.run("ssh", append(args, me+"@clients", "echo logged in as $(id -un)")...)
	s.contains(out, "logged in as "+me)
}
