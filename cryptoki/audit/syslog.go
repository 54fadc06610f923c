package audit

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
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
