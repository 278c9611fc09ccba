package faultproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// dialWithin bounds the connection to the server, which is on this machine.
const dialWithin = 5 * time.Second

// Proxy is a line between clients and one server, on which a test puts faults.
type Proxy struct {
	t        testing.TB
	target   string
	listener *net.TCPListener
	closed   chan struct{}  // ends every wait
	running  sync.WaitGroup // the acceptor and all links

	mu     sync.Mutex // guards what follows, and the links' fields that say so
	links  map[*link]struct{}
	line   line
	faults []*Fault
	trips  []*trip
}

// Start runs a proxy in front of the server at target ("127.0.0.1:6379") until
// the test ends. At the end it fails the test for every fault that was asked
// for by number and never fired, because such a test has shown nothing.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatalf("faultproxy: %v", err)
	}
	p := &Proxy{
		t:        t,
		target:   target,
		listener: listener,
		closed:   make(chan struct{}),
		links:    make(map[*link]struct{}),
	}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr returns the address for clients to dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// close ends all connections and waits for their goroutines.
func (p *Proxy) close() {
	close(p.closed)
	_ = p.listener.Close()
	p.ResetConnections()
	p.running.Wait()
	p.reportUnfired()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client has already gone
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve runs one client's connection to its end.
func (p *Proxy) serve(client *net.TCPConn) {
	if p.refusing() {
		reset(client)
		return
	}
	dialer := net.Dialer{Timeout: dialWithin}
	conn, err := dialer.DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := newLink(p, client, conn.(*net.TCPConn)) //nolint:errcheck // dialled as TCP, so it is
	p.add(l)
	l.run()
	p.remove(l)
}

// add enters a link on the list of those that are reset when the proxy ends.
// One that comes too late for that is reset here.
func (p *Proxy) add(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[l] = struct{}{}
	if p.isClosed() {
		l.reset()
	}
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// sleep waits for d, or until the proxy ends.
func (p *Proxy) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closed:
	}
}

// explain fails the test when a connection ended because the proxy could not
// read what went over it, which would otherwise look like a fault.
func (p *Proxy) explain(err error) {
	if errors.Is(err, errProtocol) {
		p.t.Errorf("faultproxy: %v", err)
	}
}

// reset closes a connection the rude way, by RST.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
