package faultproxy

import (
	"bytes"
	"math/rand/v2"
	"slices"
)

// kind is what a fault does.
type kind uint8

const (
	loseRequest  kind = iota + 1 // never sent, connection closed
	holdRequest                  // sent when the test says so
	loseReply                    // executed, connection closed instead of a reply
	swallowReply                 // executed, silence instead of a reply
	cutReply                     // executed, half a reply, connection reset
	losePush                     // a message that is no reply is left out
)

// Fault is something that was asked to happen to certain requests.
type Fault struct {
	proxy  *Proxy
	kind   kind
	word   string
	strike func() bool   // called at each match, in order, under the proxy's lock
	must   bool          // the test fails if it never fires
	first  chan struct{} // closed when it fires first
	fired  int           // under the proxy's lock
	held   *Held         // of holdRequest
}

// LoseRequest closes the connection instead of passing on the n-th request
// from now (1 is the next) that matches the word, with the packet that it came
// in. The server sees nothing of it.
func (p *Proxy) LoseRequest(word string, n int) *Fault {
	return p.arm(&Fault{kind: loseRequest, word: word, strike: nth(n), must: true})
}

// LoseReply lets the server execute the n-th request from now that matches the
// word, and closes the connection instead of delivering the reply. Replies to
// earlier requests in the same packet are delivered.
//
// Here and below, SUBSCRIBE and its kin never match: their answers are pushes,
// see [Proxy.LosePush].
func (p *Proxy) LoseReply(word string, n int) *Fault {
	return p.arm(&Fault{kind: loseReply, word: word, strike: nth(n), must: true})
}

// LoseReplies is LoseReply for a share (0 to 1) of all matching requests, drawn
// from a generator with this seed.
func (p *Proxy) LoseReplies(word string, share float64, seed uint64) *Fault {
	return p.arm(&Fault{kind: loseReply, word: word, strike: drawn(share, seed)})
}

// SwallowReply is LoseReply with silence: the connection stays open and
// nothing comes out of it any more, so that the client runs into its timeout.
func (p *Proxy) SwallowReply(word string, n int) *Fault {
	return p.arm(&Fault{kind: swallowReply, word: word, strike: nth(n), must: true})
}

// CutReply delivers the first half of the reply's bytes and resets the
// connection.
func (p *Proxy) CutReply(word string, n int) *Fault {
	return p.arm(&Fault{kind: cutReply, word: word, strike: nth(n), must: true})
}

// CutReplies is CutReply for a share (0 to 1) of all matching requests, drawn
// from a generator with this seed.
func (p *Proxy) CutReplies(word string, share float64, seed uint64) *Fault {
	return p.arm(&Fault{kind: cutReply, word: word, strike: drawn(share, seed)})
}

// LosePush leaves out the n-th push from now that contains the word: a pub/sub
// message, or the confirmation of a subscription ("subscribe"). It needs a
// client that speaks RESP3, as go-redis does.
func (p *Proxy) LosePush(word string, n int) *Fault {
	return p.arm(&Fault{kind: losePush, word: word, strike: nth(n), must: true})
}

// Fired returns how often the fault has happened.
func (f *Fault) Fired() int {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	return f.fired
}

// First is closed when the fault happens for the first time. For a fault of a
// reply that is after the server has executed the request.
func (f *Fault) First() <-chan struct{} { return f.first }

// Disarm takes the fault off the line, and off the list of those that must
// have fired.
func (f *Fault) Disarm() {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	f.must = false
	f.proxy.faults = slices.DeleteFunc(f.proxy.faults, func(g *Fault) bool { return g == f })
}

func (p *Proxy) arm(f *Fault) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.proxy, f.first = p, make(chan struct{})
	p.faults = append(p.faults, f)
	return f
}

// nth strikes once, at the n-th match.
func nth(n int) func() bool {
	return func() bool { n--; return n == 0 }
}

// drawn strikes at a share of the matches.
func drawn(share float64, seed uint64) func() bool {
	rng := rand.New(rand.NewPCG(seed, seed))
	return func() bool { return rng.Float64() < share }
}

// fate is what becomes of a packet of requests.
type fate struct {
	packet  *Fault   // loseRequest or holdRequest, nil for neither
	replies []*Fault // by request, nil where nothing happens to its reply
}

// judge asks every fault about every request of a packet.
func (p *Proxy) judge(packet []*request) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	decided := fate{replies: make([]*Fault, len(packet))}
	for i, req := range packet {
		if req.handshake() || req.subscribes() {
			continue
		}
		for _, f := range p.faults {
			decided.consider(f, i, req)
		}
	}
	return decided
}

// consider lets a fault strike the i-th request. If several do, the last to be
// asked for wins.
func (d *fate) consider(f *Fault, i int, req *request) {
	if f.kind == losePush || !req.matches(f.word) || !f.strike() {
		return
	}
	if f.kind == loseRequest || f.kind == holdRequest {
		d.packet = f
		return
	}
	d.replies[i] = f
}

// losesPush decides about a push, and counts it when it is lost.
func (p *Proxy) losesPush(frame []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := false
	for _, f := range p.faults {
		if f.kind == losePush && bytes.Contains(frame, []byte(f.word)) && f.strike() {
			f.happened()
			lost = true
		}
	}
	return lost
}

// fire notes that a fault happens now.
func (p *Proxy) fire(f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.happened()
}

// happened counts. The proxy's lock is held.
func (f *Fault) happened() {
	f.fired++
	if f.fired == 1 {
		close(f.first)
	}
}

func (p *Proxy) reportUnfired() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.t.Failed() || p.t.Skipped() {
		return // for another reason, which is the one to read
	}
	for _, f := range p.faults {
		if f.must && f.fired == 0 {
			p.t.Errorf("faultproxy: the fault on %q never fired", f.word)
		}
	}
}
