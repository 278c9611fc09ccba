package faultproxy

import "slices"

// trip is one round trip: the names of the commands in it.
type trip []string

// RoundTrips returns how many round trips clients have begun since the start
// or the last [Proxy.ResetCounts]: a run of requests that a client sent before
// it had the replies to them. What sets up a connection does not count, what a
// fault kept from the server does.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.trips)
}

// Packets returns the commands of each round trip, by their names in lower
// case, in the order in which they began.
func (p *Proxy) Packets() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	packets := make([][]string, 0, len(p.trips))
	for _, t := range p.trips {
		packets = append(packets, slices.Clone(*t))
	}
	return packets
}

// Requests returns how often each command was sent, by its name in lower case.
func (p *Proxy) Requests() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[string]int)
	for _, t := range p.trips {
		for _, name := range *t {
			counts[name]++
		}
	}
	return counts
}

// ResetCounts starts counting from zero.
func (p *Proxy) ResetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips = nil
}

// count enters a packet under a new round trip, or under the link's current one
// while replies to that are still outstanding: then it is the rest of a
// pipeline too large to be sent in one piece.
func (p *Proxy) count(l *link, packet []*request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := len(l.pending) == 0
	for _, req := range packet {
		if req.handshake() {
			continue
		}
		if fresh || l.trip == nil {
			l.trip, fresh = new(trip), false
			p.trips = append(p.trips, l.trip)
		}
		*l.trip = append(*l.trip, req.name())
	}
}
