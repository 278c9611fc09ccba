package faultproxy

import (
	"sync"
	"time"
)

// deliverWithin bounds how long Deliver waits for the server's answer.
const deliverWithin = 10 * time.Second

// Held is a packet of requests that is kept from the server until the test
// says so: a late packet, if its sender has given up meanwhile.
type Held struct {
	*Fault

	release  chan struct{} // closed by Deliver
	over     chan struct{} // closed when it has been answered, or cannot be any more
	closing  sync.Once
	ending   sync.Once
	answered bool // before over is closed
}

// Hold catches the n-th request from now that matches the word, with the
// packet that it came in. The sender sees silence, and may close its
// connection without taking the packet with it. What it sends on the same
// connection later stays behind the packet.
func (p *Proxy) Hold(word string, n int) *Held {
	h := &Held{release: make(chan struct{}), over: make(chan struct{})}
	h.Fault = &Fault{kind: holdRequest, word: word, strike: nth(n), must: true, held: h}
	p.arm(h.Fault)
	return h
}

// Deliver sends the packet to the server and returns when the server has
// executed it, whether or not its sender is still there. It fails the test if
// nothing has been caught yet (wait for [Fault.First]) or if the server does
// not answer. Calling it again does nothing.
func (h *Held) Deliver() {
	t := h.proxy.t
	t.Helper()
	if h.Fired() == 0 {
		t.Errorf("faultproxy: no request matching %q to deliver", h.word)
		return
	}
	h.closing.Do(func() { close(h.release) })
	timer := time.NewTimer(deliverWithin)
	defer timer.Stop()
	select {
	case <-h.over:
	case <-timer.C:
		t.Errorf("faultproxy: no answer to the late packet with %q within %v", h.word, deliverWithin)
		return
	}
	if !h.answered {
		t.Errorf("faultproxy: the server's connection broke before it answered the late packet with %q", h.word)
	}
}

// end says that nothing more will come of the packet.
func (h *Held) end(answered bool) {
	h.ending.Do(func() {
		h.answered = answered
		close(h.over)
	})
}
