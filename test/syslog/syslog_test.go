// Package syslog sends audit records to a real rsyslog, over every transport,
// and looks at what arrives.
package syslog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perilune/perilune/test/built"
)

// lab is an HSM with an Auditor, and a place for a server.
type lab struct {
	t       *testing.T
	dir     string
	program string
	env     []string
	server  *exec.Cmd
	conf    string
	ready   func() bool
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		if _, err := os.Stat("/usr/sbin/rsyslogd"); err != nil {
			t.Fatal("rsyslog is not installed: run test/setup")
		}
	}
	dir, err := os.MkdirTemp("", "syslog") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, program: built.Program(t)}
	t.Cleanup(func() { l.stop(); os.RemoveAll(dir) })
	l.write("perilune.toml", "[log]\nlevel = \"error\"\n"+built.CheapPINs)
	l.env = append(os.Environ(), "PERILUNE_HOME="+filepath.Join(dir, "home"), "PERILUNE_CONF="+filepath.Join(dir, "perilune.toml"),
		"AUDITOR=auditor pin", "DOMAIN=lab", "SO=partition so")
	l.perilune("audit init --audit-pin env:AUDITOR --domain env:DOMAIN")
	l.perilune("audit config --audit-pin env:AUDITOR --events all")
	return l
}

func (l *lab) write(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

func (l *lab) perilune(line string) string {
	l.t.Helper()
	cmd := exec.Command(l.program, strings.Fields(line)...)
	cmd.Env = l.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return string(out)
}

// received is the file that the server writes records to.
func (l *lab) received() string { return filepath.Join(l.dir, "received") }

// configure writes the server's configuration: an input, and one file for all
// that comes.
func (l *lab) configure(global, input string) {
	l.t.Helper()
	l.conf = l.write("rsyslog.conf", fmt.Sprintf(`global(workDirectory=%q %s)
%s
template(name="line" type="string" string="%%msg%%\n")
template(name="envelope" type="string" string="%%pri%% %%app-name%% %%msgid%% %%structured-data%%\n")
action(type="omfile" file=%q template="line")
action(type="omfile" file=%q template="envelope")
`, l.dir, global, input, l.received(), filepath.Join(l.dir, "envelopes")))
}

// start starts the server, and waits until it listens.
func (l *lab) start() {
	l.t.Helper()
	os.Remove(filepath.Join(l.dir, "rsyslog.pid"))
	l.server = exec.Command("rsyslogd", "-n", "-f", l.conf, "-i", filepath.Join(l.dir, "rsyslog.pid"))
	l.server.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	if l.server.Err != nil {
		l.server.Path, l.server.Err = "/usr/sbin/rsyslogd", nil
	}
	var said bytes.Buffer
	l.server.Stdout, l.server.Stderr = &said, &said
	if err := l.server.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.until("the server listens", l.ready)
}

func (l *lab) stop() {
	if l.server != nil && l.server.Process != nil {
		l.server.Process.Signal(syscall.SIGTERM)
		l.server.Wait()
	}
	l.server = nil
}

// until waits for another program to have done something.
func (l *lab) until(what string, done func() bool) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("waited a minute until %s", what)
		}
	}
}

// freePort is a port that nobody has.
func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, port, _ := net.SplitHostPort(c.LocalAddr().String())
		return port
	}
	c, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, _ := net.SplitHostPort(c.Addr().String())
	return port
}

func connects(port string) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
}

// lines are the lines of the log, from a record on.
func (l *lab) lines(from int) (lines []string) {
	l.t.Helper()
	for _, dir := range []string{"home/audit/ready_for_archive", "home/audit"} {
		files, err := filepath.Glob(filepath.Join(l.dir, dir, "hsm_*.log"))
		if err != nil {
			l.t.Fatal(err)
		}
		slices.Sort(files)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				l.t.Fatal(err)
			}
			lines = append(lines, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
		}
	}
	return lines[from:]
}

// newest is the number of the newest record.
func (l *lab) newest() int {
	l.t.Helper()
	var s struct {
		Newest int `json:"newest_record"`
	}
	if err := json.Unmarshal([]byte(l.perilune("audit show --json")), &s); err != nil {
		l.t.Fatal(err)
	}
	return s.Newest
}

// arrives wants every record from the one that says that the server was added
// to be with the server, whole and in their order. Records may come twice.
func (l *lab) arrives(before int) {
	l.t.Helper()
	want := l.lines(before)
	added := slices.IndexFunc(want, func(line string) bool { return strings.Contains(line, " operation LOG_SET_CONFIG ") })
	if added < 0 {
		l.t.Fatal("the log does not say that a server was added")
	}
	want = want[added:]
	var got []string
	l.until("all records have arrived", func() bool {
		data, _ := os.ReadFile(l.received())
		got = nil
		for line := range strings.Lines(string(data)) {
			// A server that starts or ends says so itself.
			if line = strings.TrimSuffix(line, "\n"); strings.Contains(line, " operation ") && line >= want[0] {
				got = append(got, line)
			}
		}
		if slices.Contains(got, want[len(want)-1]) {
			return true
		}
		l.perilune("audit show") // a program that runs sends what waits
		return false
	})
	slices.Sort(got) // the number comes first
	if got = slices.Compact(got); !slices.Equal(got, want) {
		l.t.Errorf("%d records arrived, want %d", len(got), len(want))
	}
}

// act does what is recorded.
func (l *lab) act() {
	l.t.Helper()
	l.perilune("partition init --label app --so-pin env:SO --force")
	for range 3 {
		l.perilune("audit log list --audit-pin env:AUDITOR")
	}
}

func TestUnixSocket(t *testing.T) {
	l := newLab(t)
	socket := filepath.Join(l.dir, "log")
	l.configure("", fmt.Sprintf(`module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q UseSpecialParser="off" ParseHostname="on" RateLimit.Interval="0")`, socket))
	l.ready = func() bool { _, err := os.Stat(socket); return err == nil }
	l.start()
	before := l.newest()
	l.perilune("audit remotehost add --audit-pin env:AUDITOR --protocol unix --host " + socket)
	l.act()
	l.arrives(before)
}

func TestUDP(t *testing.T) {
	l := newLab(t)
	port := freePort(t, "udp")
	l.configure("", fmt.Sprintf(`module(load="imudp")
input(type="imudp" address="127.0.0.1" port=%q RateLimit.Interval="0")`, port))
	l.ready = func() bool { // it has the port
		c, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err != nil
	}
	l.start()
	before := l.newest()
	l.perilune("audit remotehost add --audit-pin env:AUDITOR --protocol udp --host 127.0.0.1 --port " + port)
	l.act()
	l.arrives(before)
}

// TestTCP takes the server away and brings it back.
func TestTCP(t *testing.T) {
	l := newLab(t)
	port := freePort(t, "tcp")
	l.configure("", fmt.Sprintf("module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=%q)", port))
	l.ready = connects(port)
	l.start()
	before := l.newest()
	l.perilune("audit remotehost add --audit-pin env:AUDITOR --protocol tcp --host 127.0.0.1 --port " + port)
	l.act()
	l.arrives(before)

	l.stop()
	for range 5 {
		l.act()
	}
	if out := l.perilune("audit show"); !strings.Contains(out, "connection refused") {
		t.Errorf("audit show does not say that the server is away:\n%s", out)
	}
	l.start()
	l.act()
	l.arrives(before)
	l.envelopes()
}

// envelopes looks at what is around the records.
func (l *lab) envelopes() {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, "envelopes"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, want := range []string{"110 perilune LOGIN [audit@32473 ", "110 perilune INIT_TOKEN [audit@32473 ", `record="`, `hsm="`} {
		if !strings.Contains(string(data), want) {
			l.t.Errorf("no message with %q", want)
		}
	}
}

// TestTLS sends nothing to a server whose certificate it does not trust, and
// everything when it does.
func TestTLS(t *testing.T) {
	l := newLab(t)
	port := freePort(t, "tcp")
	ca, cert, key := l.certificate()
	l.configure(fmt.Sprintf("DefaultNetstreamDriverCAFile=%q DefaultNetstreamDriverCertFile=%q DefaultNetstreamDriverKeyFile=%q", ca, cert, key),
		fmt.Sprintf(`module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port=%q)`, port))
	l.ready = connects(port)
	l.start()
	other, _, _ := l.certificate()
	before := l.newest()
	add := "audit remotehost add --audit-pin env:AUDITOR --protocol tls --host 127.0.0.1 --port " + port +
		" --server-name loghost.test --cert " + cert + " --cert-key " + key + " --ca "
	l.perilune(add + other)
	l.act()
	l.until("the refusal shows", func() bool {
		return strings.Contains(l.perilune("audit show"), "certificate signed by unknown authority")
	})
	if data, err := os.ReadFile(l.received()); err == nil && bytes.Contains(data, []byte(" operation ")) {
		t.Errorf("a server that is not trusted got\n%s", data)
	}
	l.perilune(add + ca)
	l.arrives(before)
}

// certificate makes an authority and a certificate of loghost.test from it.
func (l *lab) certificate() (ca, cert, key string) {
	l.t.Helper()
	n := fmt.Sprint(len(l.must(filepath.Glob(filepath.Join(l.dir, "*.pem")))))
	authority, authorityKey := l.sign("the lab's authority", nil, nil)
	leaf, leafKey := l.sign("loghost.test", authority, authorityKey)
	private, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		l.t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return l.write("ca"+n+".pem", block("CERTIFICATE", authority.Raw)), l.write("cert"+n+".pem", block("CERTIFICATE", leaf.Raw)),
		l.write("key"+n+".pem", block("EC PRIVATE KEY", private))
}

func (l *lab) must(list []string, err error) []string {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	return list
}

// sign makes a certificate, signed by an issuer or by itself.
func (l *lab) sign(name string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		l.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if issuer == nil {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.DNSNames = true, x509.KeyUsageCertSign, nil, nil
		issuer, issuerKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, issuerKey)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return c, key
}
