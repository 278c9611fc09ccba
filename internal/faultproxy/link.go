package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"time"
)

const (
	// bufferSize is what is read at once; a pipeline below it comes in one piece.
	bufferSize = 64 << 10
	// largePacket is from where on more of the same pipeline may be on its way.
	largePacket = 16 << 10
	// linger is how long to look for it.
	linger = 5 * time.Millisecond
)

// link is one client's connection and the proxy's own to the server. Two
// goroutines serve it, one for each direction.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	requests       *bufio.Reader
	replies        *bufio.Reader
	mute           bool // the client gets nothing more; of the replies' goroutine

	// Under the proxy's lock:
	pending []pending // requests at the server, oldest first
	trip    *trip     // the latest round trip
	holes   bool      // the line has dropped something
}

// pending is a request whose reply has not come yet.
type pending struct {
	fault *Fault // what happens to the reply, nil for nothing
	held  *Held  // ends with this reply, nil for none
}

func newLink(p *Proxy, client, server *net.TCPConn) *link {
	return &link{
		proxy:    p,
		client:   client,
		server:   server,
		requests: bufio.NewReaderSize(client, bufferSize),
		replies:  bufio.NewReaderSize(server, bufferSize),
	}
}

// run serves the link until both directions have ended.
func (l *link) run() {
	var both sync.WaitGroup
	both.Go(l.passRequests)
	both.Go(l.passReplies)
	both.Wait()
	_ = l.client.Close()
	_ = l.server.Close()
	for range l.outstanding() {
		l.answered(false)
	}
}

func (l *link) reset() {
	reset(l.client)
	reset(l.server)
}

// passRequests brings packets to the server until the client hangs up. The
// server then sees the end of the stream after all that was sent, as it would
// without a proxy.
func (l *link) passRequests() {
	defer func() { _ = l.server.CloseWrite() }()
	for {
		packet, err := l.readPacket()
		if len(packet) > 0 && !l.passPacket(packet) {
			return
		}
		if err != nil {
			l.proxy.explain(err)
			return
		}
	}
}

// readPacket reads all requests that belong together because they were sent
// together. After an error it returns those that came in whole.
func (l *link) readPacket() ([]*request, error) {
	var packet []*request
	for size := 0; ; {
		req, err := readRequest(l.requests)
		if err != nil {
			return packet, err
		}
		packet = append(packet, req)
		size += len(req.raw)
		if !l.more(size) {
			return packet, nil
		}
	}
}

// more reports whether further requests have come with those read so far. A
// sender of much has to write in several pieces, so that gets a moment.
func (l *link) more(size int) bool {
	if l.requests.Buffered() > 0 {
		return true
	}
	if size < largePacket {
		return false
	}
	_ = l.client.SetReadDeadline(time.Now().Add(linger))
	_, err := l.requests.Peek(1)
	_ = l.client.SetReadDeadline(time.Time{})
	return err == nil
}

// passPacket brings one packet to the server, or to its fate. It reports
// whether the link goes on.
func (l *link) passPacket(packet []*request) bool {
	l.proxy.count(l, packet)
	delay, _ := l.proxy.delays()
	l.proxy.sleep(delay)
	if l.proxy.dropsRequest(l) {
		return true
	}
	decided := l.proxy.judge(packet)
	if f := decided.packet; f != nil {
		l.proxy.fire(f)
		if f.kind == loseRequest {
			_ = l.client.Close()
			return false
		}
		if !l.await(f.held) {
			return false
		}
	}
	return l.send(packet, decided)
}

// await holds a packet back until the test releases it. It reports whether
// that happened before the proxy's end.
func (l *link) await(h *Held) bool {
	select {
	case <-h.release:
		return true
	case <-l.proxy.closed:
		h.end(false)
		return false
	}
}

func (l *link) send(packet []*request, decided fate) bool {
	l.expect(packet, decided)
	for _, req := range packet {
		if _, err := l.server.Write(req.raw); err != nil {
			return false
		}
	}
	return true
}

// expect notes which replies are to come. It does so before the requests are
// sent, lest a reply come first.
func (l *link) expect(packet []*request, decided fate) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	for i, req := range packet {
		if !req.subscribes() {
			l.pending = append(l.pending, pending{fault: decided.replies[i]})
		}
	}
	if f := decided.packet; f != nil && len(l.pending) > 0 {
		l.pending[len(l.pending)-1].held = f.held
	}
}

// passReplies brings frames to the client until the server hangs up. A client
// that is gone does not stop it: what was sent gets executed all the same.
func (l *link) passReplies() {
	defer func() { _ = l.client.Close() }()
	for {
		begins := l.replies.Buffered() == 0
		frame, err := readReply(l.replies)
		if err != nil {
			l.proxy.explain(err)
			return
		}
		if begins {
			_, delay := l.proxy.delays()
			l.proxy.sleep(delay)
		}
		l.passFrame(frame)
	}
}

func (l *link) passFrame(frame []byte) {
	if isPush(frame) {
		if !l.proxy.losesPush(frame) {
			l.write(frame)
		}
		return
	}
	if f := l.answered(true); f != nil {
		l.spoil(f, frame)
		return
	}
	l.write(frame)
}

// answered takes the oldest request off the list and returns what is to happen
// to its reply. Without a request it is a message of RESP2, which passes.
func (l *link) answered(ok bool) *Fault {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if len(l.pending) == 0 {
		return nil
	}
	oldest := l.pending[0]
	l.pending = l.pending[1:]
	if oldest.held != nil {
		oldest.held.end(ok)
	}
	return oldest.fault
}

func (l *link) outstanding() int {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	return len(l.pending)
}

// spoil does to a reply what its fault says.
func (l *link) spoil(f *Fault, frame []byte) {
	l.proxy.fire(f)
	switch f.kind {
	case cutReply:
		l.write(frame[:len(frame)/2])
		reset(l.client)
	case loseReply:
		_ = l.client.Close()
	default: // swallowed: nothing but silence from here on
	}
	l.mute = true
}

func (l *link) write(frame []byte) {
	if l.mute || l.proxy.dropsReply(l) {
		return
	}
	_, err := l.client.Write(frame)
	l.mute = err != nil
}
