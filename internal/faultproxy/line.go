package faultproxy

import "time"

// line is the condition of the whole line, for all connections alike.
type line struct {
	requestDelay, replyDelay  time.Duration
	dropRequests, dropReplies bool
	refuse                    bool
}

// DelayRequests makes every packet of requests take d longer to the server,
// from now on; 0 ends it. A pipeline is delayed once.
func (p *Proxy) DelayRequests(d time.Duration) {
	p.setLine(func(l *line) { l.requestDelay = d })
}

// DelayReplies makes every burst of replies take d longer to the client, from
// now on; 0 ends it.
func (p *Proxy) DelayReplies(d time.Duration) {
	p.setLine(func(l *line) { l.replyDelay = d })
}

// Partition drops everything, both ways and silently, on connections old and
// new, until [Proxy.Heal]. Dialling still succeeds; the silence begins after.
func (p *Proxy) Partition() {
	p.setLine(func(l *line) { l.dropRequests, l.dropReplies = true, true })
}

// DropReplies is a partition in one direction, until [Proxy.Heal]: requests
// reach the server and are executed, nothing comes back.
func (p *Proxy) DropReplies() {
	p.setLine(func(l *line) { l.dropReplies = true })
}

// RefuseConnections resets every new connection, until [Proxy.Heal]. Those
// that exist go on; [Proxy.ResetConnections] ends them.
func (p *Proxy) RefuseConnections() {
	p.setLine(func(l *line) { l.refuse = true })
}

// Heal ends partitions and refusal. Connections on which something was dropped
// are reset, as a real network's would time out: their streams have holes.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.dropRequests, p.line.dropReplies, p.line.refuse = false, false, false
	for l := range p.links {
		if l.holes {
			l.reset()
		}
	}
}

// ResetConnections ends all connections of this moment by RST.
func (p *Proxy) ResetConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

func (p *Proxy) setLine(change func(*line)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.line)
}

func (p *Proxy) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line.refuse
}

func (p *Proxy) delays() (request, reply time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line.requestDelay, p.line.replyDelay
}

// dropsRequest and dropsReply say whether the line loses what a link is about
// to pass on, and note the hole that this leaves.

func (p *Proxy) dropsRequest(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.holes = l.holes || p.line.dropRequests
	return p.line.dropRequests
}

func (p *Proxy) dropsReply(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.holes = l.holes || p.line.dropReplies
	return p.line.dropReplies
}
