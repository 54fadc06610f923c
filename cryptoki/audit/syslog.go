package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
	"golang.org/x/sys/unix"
)

// Remote is a syslog server.
type Remote struct {
	// Protocol is unix, udp, tcp or tls.
	Protocol string
	// Address is a host with or without a port, or the path of a socket.
	Address string
	// CAFile holds the certificates that a TLS server's must come from; the
	// system's if empty. ServerName is the name in it, if not the host's.
	CAFile     string `json:",omitempty"`
	ServerName string `json:",omitempty"`
	// CertFile and KeyFile hold the certificate that this HSM shows, if any.
	CertFile string `json:",omitempty"`
	KeyFile  string `json:",omitempty"`
}

// ports are the usual ones (RFC 5426, 6587 and 5425).
var ports = map[string]string{"udp": "514", "tcp": "514", "tls": "6514"}

// Check refuses what no server can have, and adds the usual port.
func (r *Remote) Check() error {
	r.Protocol = strings.ToLower(r.Protocol)
	if r.Protocol == "unix" {
		if !filepath.IsAbs(r.Address) {
			return fmt.Errorf("the socket %q needs an absolute path, such as /dev/log", r.Address)
		}
		return nil
	}
	port, ok := ports[r.Protocol]
	if !ok {
		return fmt.Errorf("there is no protocol %q; there are unix, udp, tcp and tls", r.Protocol)
	}
	if _, _, err := net.SplitHostPort(r.Address); err != nil {
		r.Address = net.JoinHostPort(strings.Trim(r.Address, "[]"), port)
	}
	if host, _, err := net.SplitHostPort(r.Address); err != nil || host == "" {
		return fmt.Errorf("%q is no host with a port", r.Address)
	}
	if (r.CertFile == "") != (r.KeyFile == "") {
		return fmt.Errorf("a certificate and its key belong together")
	}
	return nil
}

// String is protocol://address, which names the server.
func (r Remote) String() string {
	if r.Protocol == "unix" {
		return "unix:" + r.Address
	}
	return r.Protocol + "://" + r.Address
}

// Facility and severities of RFC 5424: "log audit", and informational or warning.
const (
	facilityAudit   = 13
	severityInfo    = 6
	severityWarning = 4

	// sdID names the structured data. The number is the one that RFC 5612
	// reserves for examples, as this project has none of its own.
	sdID = "audit@32473"
)

// messages makes a message in the form of RFC 5424 of each line. The text of
// the message is the whole line, so that a copy of the log can be verified, too.
func (r *Recorder) messages(lines [][]byte) (list [][]byte, err error) {
	host, _ := os.Hostname()
	for _, line := range lines {
		rec, err := ParseLine(append(line[:len(line):len(line)], '\n'))
		if err != nil {
			// Whoever changed it shall not stop what follows.
			rec = Record{Time: r.opts.Now(), Event: LogRepair, Code: 1}
		}
		severity := severityInfo
		if rec.Code != 0 {
			severity = severityWarning
		}
		m := new(rfc5424.SyslogMessage)
		m.SetPriority(uint8(facilityAudit*8 + severity))
		m.SetVersion(1)
		m.SetTimestamp(rec.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
		m.SetHostname(host)
		m.SetAppname("perilune")
		m.SetMsgID(rec.Event.String())
		m.SetParameter(sdID, "hsm", r.opts.Serial)
		m.SetParameter(sdID, "record", strconv.FormatUint(rec.Sequence, 10))
		m.SetMessage(strings.ToValidUTF8(string(line), "?"))
		text, err := m.String()
		if err != nil {
			return nil, fmt.Errorf("record %d as a syslog message: %w", rec.Sequence, err)
		}
		list = append(list, []byte(text))
	}
	return list, nil
}

// connection is a way to a server.
type connection struct {
	net.Conn
	stream bool // messages are framed by their length (RFC 6587 section 3.4.1)
	raw    syscall.RawConn
	keep   func() bool // what would close it is no longer to

	broken    atomic.Bool // the server closed it
	unsettled uint64      // first record of the last batch, while that may have to be sent again
	sent      time.Time
}

// dial connects to a server.
func dial(ctx context.Context, r *Remote) (*connection, error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	network := map[string]string{"unix": "unixgram", "udp": "udp", "tcp": "tcp", "tls": "tcp"}[r.Protocol]
	conn, err := d.DialContext(ctx, network, r.Address)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, stream: network == "tcp"}
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	if r.Protocol == "tls" {
		if err := c.secure(ctx, r); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	c.keep = context.AfterFunc(whole, func() { _ = conn.Close() })
	if c.stream {
		go c.watch()
	}
	return c, nil
}

// patience is how long a server may take for anything.
const patience = 10 * time.Second

// secure puts TLS over the connection.
func (c *connection) secure(ctx context.Context, r *Remote) error {
	host, _, err := net.SplitHostPort(r.Address)
	if err != nil {
		return err
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if r.ServerName != "" {
		conf.ServerName = r.ServerName
	}
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return err
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", r.CAFile)
		}
	}
	if r.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	t := tls.Client(c.Conn, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.Conn = t
	return nil
}

// watch notices that the server closes a connection, over which it sends
// nothing.
func (c *connection) watch() {
	var b [64]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			c.broken.Store(true)
			return
		}
	}
}

// lost reports whether the server closed the connection.
func (c *connection) lost() bool {
	if c.unsettled != 0 && time.Since(c.sent) > settling {
		c.unsettled = 0
	}
	return c.broken.Load()
}

var errLost = errors.New("the server closed the connection")

// send sends messages, and returns when the server's system has all of them. It
// remembers the number of the first record.
func (c *connection) send(messages [][]byte, first uint64) error {
	deadline := time.Now().Add(patience)
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	c.unsettled, c.sent = first, time.Now()
	if !c.stream {
		return c.sendDatagrams(messages)
	}
	var b []byte
	for _, m := range messages {
		b = strconv.AppendInt(b, int64(len(m)), 10)
		b = append(b, ' ')
		b = append(b, m...)
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.acknowledged(deadline)
}

// sendDatagrams sends each message on its own. That nobody listens shows at the
// next one at the latest, so after each it is asked for.
func (c *connection) sendDatagrams(messages [][]byte) error {
	for _, m := range messages {
		if _, err := c.Write(m); err != nil {
			return err
		}
		if err := c.pendingError(); err != nil {
			return err
		}
	}
	return nil
}

// control asks the system about the socket.
func (c *connection) control(ask func(fd int) (int, error)) (n int, err error) {
	if c.raw == nil {
		return 0, nil
	}
	if outer := c.raw.Control(func(fd uintptr) { n, err = ask(int(fd)) }); outer != nil {
		return 0, outer
	}
	return n, err
}

func (c *connection) pendingError() error {
	n, err := c.control(func(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) })
	if err == nil && n != 0 {
		err = syscall.Errno(n)
	}
	return err
}

// acknowledged waits until the other side has everything that was written.
func (c *connection) acknowledged(deadline time.Time) error {
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		n, err := c.control(func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
		switch {
		case err != nil:
			return err
		case c.broken.Load():
			return errLost
		case n == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the server does not take %d bytes: %w", n, os.ErrDeadlineExceeded)
		}
		time.Sleep(pause)
	}
}

func (c *connection) close() {
	if c != nil {
		c.keep()
		_ = c.Conn.Close()
	}
}
