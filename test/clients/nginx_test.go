package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNginx serves TLS from keys of the token by several worker processes,
// which nginx forks from a master that has loaded the module. All of them run
// as the user who owns the token's store.
func TestNginx(t *testing.T) {
	onEachModule(t, nginxNeeds, func(c *client) {
		serveWithNginx(c, must2(user.Current()).Username)
	})
}

// TestNginxRoot is the usual way on a server: the master runs as root and
// reads the keys, the workers run as the user who owns the store.
func TestNginxRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		missing(t, "the right to start nginx as root")
	}
	onEachHome(t, nginxNeeds, func(c *client) {
		c.become("www-data")
		c.initToken()
		serveWithNginx(c, "www-data")
	})
}

var nginxNeeds = []string{"nginx", "curl", "openssl"}

func serveWithNginx(c *client, workers string) {
	c.useEngine()
	c.step("keys and certificates", func(s *step) {
		s.asUser("--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "rsa")
		s.asUser("--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "ec")
		for _, key := range []string{"rsa", "ec"} {
			s.engine("req", "-new", "-x509", "-keyform", "engine", "-key", s.engineKey(key), "-subj", "/CN=localhost",
				"-extensions", "server", "-days", "30", "-out", key+".crt")
		}
	})
	c.credential = nil
	var n *nginx
	c.step("start", func(s *step) { n = s.startNginx(workers) })
	if n == nil {
		return
	}
	for _, key := range []string{"rsa", "ec"} {
		c.step("serve "+key, func(s *step) { n.serve(s, key, nil) })
	}
	c.step("reload", func(s *step) {
		for range 3 {
			before := n.serve(s, "rsa", nil)
			s.run("nginx", n.args("-s", "reload")...)
			n.serve(s, "rsa", before)
			n.serve(s, "ec", before)
		}
	})
	c.step("quit", func(s *step) {
		s.run("nginx", n.args("-s", "quit")...)
		n.wait(s)
		log := string(s.read("error.log"))
		if bad := regexp.MustCompile(`.*(\[(alert|crit|emerg)\]|exited on signal).*`).FindAllString(log, -1); bad != nil {
			s.fail("nginx logged %q", bad)
		}
	})
}

// An nginx is a running server. Each of its processes holds the write end of
// a pipe, so that the end of the pipe is the end of the last process.
type nginx struct {
	conf  string
	alive *os.File
}

const nginxWorkers = 2

func (s *step) startNginx(workers string) *nginx {
	n := &nginx{conf: s.path("nginx.conf")}
	var directives, servers strings.Builder
	if os.Geteuid() == 0 {
		fmt.Fprintf(&directives, "user %s;\n", workers)
	}
	for _, variable := range s.token.env {
		name, _, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&directives, "env %s;\n", name)
	}
	for _, key := range []string{"rsa", "ec"} {
		fmt.Fprintf(&servers, `
	server {
		listen unix:%[1]s/%[2]s.sock ssl;
		ssl_certificate %[1]s/%[2]s.crt;
		ssl_certificate_key "engine:pkcs11:%[3]s";
		location / { return 200 "worker $pid\n"; }
	}
`, s.dir, key, s.engineKey(key))
	}
	s.write("nginx.conf", fmt.Appendf(nil, `%s
worker_processes %d;
ssl_engine pkcs11;
pid %[3]s/nginx.pid;
error_log %[3]s/error.log info;
events { worker_connections 512; }
http {
	access_log off;
	keepalive_timeout 0;
	ssl_session_cache off;
	ssl_session_tickets off;
	client_body_temp_path %[3]s/body;
	proxy_temp_path %[3]s/proxy;
	fastcgi_temp_path %[3]s/fastcgi;
	uwsgi_temp_path %[3]s/uwsgi;
	scgi_temp_path %[3]s/scgi;
%[4]s}
`, directives.String(), nginxWorkers, s.dir, servers.String()))

	// nginx returns when the master listens; the workers may come later.
	alive, held, err := os.Pipe()
	must(err)
	n.alive = alive
	cmd := s.command(context.Background(), "nginx", n.args()...)
	cmd.ExtraFiles = []*os.File{held}
	var exit *exec.ExitError
	out, err := cmd.CombinedOutput()
	held.Close()
	if errors.As(err, &exit) {
		log, _ := os.ReadFile(s.path("error.log"))
		s.fail("nginx: %v\n%s%s", err, out, log)
	}
	must(err)
	s.t.Cleanup(func() { n.kill(s) })
	return n
}

func (n *nginx) args(more ...string) []string {
	return append([]string{"-c", n.conf, "-e", filepath.Join(filepath.Dir(n.conf), "error.log")}, more...)
}

// serve fetches pages side by side until each worker has served some, and
// returns the workers' process ids. None of them may be one of the retired.
func (n *nginx) serve(s *step, key string, retired map[int]bool) map[int]bool {
	deadline := time.Now().Add(patience)
	for {
		out := s.run("curl", "--silent", "--show-error", "--parallel", "--parallel-immediate", "--parallel-max", "16", "--fail-early",
			"--unix-socket", key+".sock", "--cacert", key+".crt", "https://localhost/[1-40]")
		answers := regexp.MustCompile(`worker (\d+)\n`).FindAllStringSubmatch(out, -1)
		if len(answers) != 40 {
			s.fail("%d answers to 40 requests:\n%s", len(answers), out)
		}
		workers := make(map[int]bool)
		late := false
		for _, answer := range answers {
			pid := must2(strconv.Atoi(answer[1]))
			workers[pid] = true
			late = late || retired[pid]
		}
		// After a reload the old workers answer until the new ones are there.
		if !late && len(workers) == nginxWorkers {
			return workers
		}
		if time.Now().After(deadline) {
			s.fail("only workers %v answer, after %v", workers, retired)
		}
	}
}

// wait waits for the last process to end.
func (n *nginx) wait(s *step) {
	n.alive.SetReadDeadline(time.Now().Add(patience))
	_, err := n.alive.Read(make([]byte, 1))
	if err != io.EOF {
		s.fail("nginx does not end: %v", err)
	}
}

// kill ends a server that a failed step left behind.
func (n *nginx) kill(s *step) {
	data, err := os.ReadFile(s.path("nginx.pid"))
	if err != nil {
		return // it quit
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	n.alive.SetReadDeadline(time.Now().Add(patience))
	n.alive.Read(make([]byte, 1))
}

// become runs the client's commands as another user of the machine, who then
// owns the home of the token. Configuration stays with root: Perilune trusts
// no configuration that belongs to a third user.
func (c *client) become(name string) {
	c.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		missing(c.t, err.Error())
	}
	uid, gid := must2(strconv.Atoi(u.Uid)), must2(strconv.Atoi(u.Gid))
	err = filepath.WalkDir(c.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chown(path, uid, gid)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
