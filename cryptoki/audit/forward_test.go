package audit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/perilune/perilune/cryptoki/ck"
)

// sink is a syslog server that keeps what it gets.
type sink struct {
	t       *testing.T
	l       net.Listener
	mu      sync.Mutex
	conns   []net.Conn
	records []uint64
	got     chan struct{}
}

func newSink(t *testing.T, address string) *sink {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, l: l, got: make(chan struct{}, 1)}
	go s.serve()
	t.Cleanup(s.stop)
	return s
}

func (s *sink) serve() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		go s.read(c)
	}
}

// read takes messages framed by their length.
func (s *sink) read(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		digits, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(digits))
		if err != nil {
			s.t.Errorf("frame %q", digits)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		s.take(b)
	}
}

func (s *sink) take(b []byte) {
	m, err := rfc5424.NewParser().Parse(b)
	if err != nil {
		s.t.Errorf("%q is no message of RFC 5424: %v", b, err)
		return
	}
	msg := m.(*rfc5424.SyslogMessage)
	l, err := NewChain(testSecret).Parse([]byte(*msg.Message + "\n"))
	if err != nil {
		s.t.Errorf("the copy %q does not verify: %v", *msg.Message, err)
	}
	if got := (*msg.StructuredData)[sdID]["record"]; got != fmt.Sprint(l.Sequence) || *msg.MsgID != l.Event.String() || *msg.Appname != "perilune" {
		s.t.Errorf("message %q around record %d", b, l.Sequence)
	}
	s.mu.Lock()
	s.records = append(s.records, l.Sequence)
	s.mu.Unlock()
	tell(s.got)
}

func (s *sink) stop() {
	s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// wait waits until a record came.
func (s *sink) wait(number uint64) {
	s.t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		s.mu.Lock()
		there := slices.Contains(s.records, number)
		s.mu.Unlock()
		if there {
			return
		}
		select {
		case <-s.got:
		case <-timeout:
			s.t.Fatalf("record %d never came; there are %v", number, s.records)
		}
	}
}

// all are the records that came, in their order, each once.
func (s *sink) all() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(s.records)))
}

func to(n uint64) (list []uint64) {
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

func TestForwarding(t *testing.T) {
	b := newBench(t)
	s := newSink(t, "127.0.0.1:0")
	b.conf.Remotes = []Remote{{Protocol: "tcp", Address: s.l.Addr().String()}}
	r := b.process()
	for range 1000 {
		b.record(r, SignSinglepart, ck.CKR_OK)
	}
	b.record(r, Login, ck.CKR_PIN_INCORRECT)
	s.wait(1001)
	if got := s.all(); !slices.Equal(got, to(1001)) {
		t.Errorf("%d records came", len(got))
	}
	r.Close()
	if list, err := r.Forwarding(); err != nil || len(list) != 1 || list[0].Sent != 1001 || list[0].Trouble != "" {
		t.Errorf("forwarding %+v, %v", list, err)
	}
}

// TestServersOfTheOptionsGetTheFirstRecord: however late the forwarder begins, a new
// server gets what is recorded once there is a Recorder; and what two processes note
// of it at the same time is one thing.
func TestServersOfTheOptionsGetTheFirstRecord(t *testing.T) {
	b := newBench(t)
	remote := Remote{Protocol: "tcp", Address: newSink(t, "127.0.0.1:0").l.Addr().String()}
	earlier := b.process()
	b.record(earlier, Login, ck.CKR_OK)
	o := earlier.opts
	o.Remotes = []Remote{remote}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := NewRecorder(o)
			defer r.Close()
			if f, known, err := readForwarded(o.Dir, remote); err != nil || !known || f.Sent != 1 {
				t.Errorf("%+v, %v, %v", f, known, err)
			}
		})
	}
	wg.Wait()
	earlier.Close()
}

// TestForwardingGoesOnWhereItWas takes the server away, lets another process
// record meanwhile, rotates, and brings the server back.
func TestForwardingGoesOnWhereItWas(t *testing.T) {
	b := newBench(t)
	b.conf.FileSize = MinFileSize
	s := newSink(t, "127.0.0.1:0")
	address := s.l.Addr().String()
	b.conf.Remotes = []Remote{{Protocol: "tcp", Address: address}}
	r := b.process()
	for range 10 {
		b.record(r, Login, ck.CKR_OK)
	}
	s.wait(10)
	r.Close()
	s.stop()

	r = b.process()
	for range 500 {
		b.record(r, SignSinglepart, ck.CKR_OK)
	}
	r.Close()
	if err := r.Remove(t.Context(), []string{FileName("1234567", 1)}, false, func(uint64) error { return nil }); err == nil {
		t.Error("records that the server has not got were removed")
	}

	again := newSink(t, address)
	again.records = s.all()
	r = b.process()
	b.record(r, Logout, ck.CKR_OK)
	again.wait(511)
	if got := again.all(); !slices.Equal(got, to(511)) {
		t.Errorf("%d records came", len(got))
	}
	r.Close()
}

// TestServerThatDoesNotRead closes the connection with what it did not read
// still in its system: the last batch comes again.
func TestServerThatDoesNotRead(t *testing.T) {
	b := newBench(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.conf.Remotes = []Remote{{Protocol: "tcp", Address: l.Addr().String()}}
	r := b.process()
	b.record(r, Login, ck.CKR_OK)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for { // until the sender believes that it was taken
		if list, _ := r.Forwarding(); list[0].Sent == 1 {
			break
		}
	}
	l.Close()
	c.Close()
	s := newSink(t, l.Addr().String())
	s.wait(1)
	r.Close()
}

func TestOneProcessForwards(t *testing.T) {
	b := newBench(t)
	s := newSink(t, "127.0.0.1:0")
	b.conf.Remotes = []Remote{{Protocol: "tcp", Address: s.l.Addr().String()}}
	first, second := b.process(), b.process()
	for range 20 {
		b.record(first, Login, ck.CKR_OK)
		b.record(second, Login, ck.CKR_OK)
	}
	s.wait(40)
	first.Close()
	b.record(second, Logout, ck.CKR_OK)
	s.wait(41)
	second.Close()
	if n := len(s.records); n != 41 {
		t.Errorf("41 records were recorded and %d came", n)
	}
}

func TestDatagrams(t *testing.T) {
	for _, protocol := range []string{"udp", "unix"} {
		t.Run(protocol, func(t *testing.T) {
			b := newBench(t)
			dir, err := os.MkdirTemp("", "audit") // the path of a socket is short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			network, address := map[string]string{"udp": "udp", "unix": "unixgram"}[protocol], "127.0.0.1:0"
			if protocol == "unix" {
				address = filepath.Join(dir, "log")
			}
			c, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s := &sink{t: t, got: make(chan struct{}, 1)}
			go func() {
				for buf := make([]byte, 2048); ; {
					n, _, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					s.take(slices.Clone(buf[:n]))
				}
			}()
			b.conf.Remotes = []Remote{{Protocol: protocol, Address: c.LocalAddr().String()}}
			r := b.process()
			for range 50 {
				b.record(r, Login, ck.CKR_OK)
			}
			s.wait(50)
			r.Close()
			if got := s.all(); !slices.Equal(got, to(50)) {
				t.Errorf("%d records came", len(got))
			}
		})
	}
}

func TestRemotes(t *testing.T) {
	for _, c := range []struct {
		r    Remote
		want string
	}{
		{Remote{Protocol: "TCP", Address: "loghost"}, "tcp://loghost:514"},
		{Remote{Protocol: "tls", Address: "loghost"}, "tls://loghost:6514"},
		{Remote{Protocol: "udp", Address: "[::1]:5514"}, "udp://[::1]:5514"},
		{Remote{Protocol: "udp", Address: "::1"}, "udp://[::1]:514"},
		{Remote{Protocol: "unix", Address: "/dev/log"}, "unix:/dev/log"},
		{Remote{Protocol: "unix", Address: "dev/log"}, ""},
		{Remote{Protocol: "http", Address: "loghost"}, ""},
		{Remote{Protocol: "tcp", Address: ""}, ""},
		{Remote{Protocol: "tls", Address: "loghost", CertFile: "x"}, ""},
	} {
		err := c.r.Check()
		if (err == nil) != (c.want != "") || err == nil && c.r.String() != c.want {
			t.Errorf("%v, %v, want %q", c.r, err, c.want)
		}
	}
}
