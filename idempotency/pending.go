package idempotency

import (
	"errors"
	"time"

	"github.com/reprise-go/reprise/store"
)

// pending is an ending that the store has not taken yet.
type pending struct {
	id    store.ID
	event store.Event
	// until is when it is given up.
	until time.Time
	// patience is set for the release of an unanswered claim. Until then a
	// refusal is no end, because the claim may still be on its way, and a
	// shutdown waits.
	patience time.Time
	// done is called once, by tell: with nil when the store has taken it.
	done func(event store.Event, err error)

	next    time.Time
	backoff time.Duration
	awaited bool // counted as unheard
	refused bool // the store answered that the record is another's
	taken   bool // the store took it, and is asked once more at the end
	cut     bool // given up by a shutdown
}

// end is when it is given up, as things stand.
func (p *pending) end() time.Time {
	if p.refused || p.taken {
		return p.patience
	}
	return p.until
}

// settled reports that nobody needs to wait for it any more, though it is not
// over.
func (p *pending) settled() bool {
	return p.refused || p.taken || !p.patience.IsZero() && !time.Now().Before(p.patience)
}

// judge says whether it is over after a call, and how. The release of an
// unanswered claim that was taken is sent once more when that claim's lease would
// be over: the trace that it left, by which the claim would be recognised, may
// have been replaced by another attempt's before the claim arrived.
func (p *pending) judge(reply store.Reply, err error) (over bool, result error) {
	switch {
	case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrInvalid):
		return true, err
	case err == nil && p.patience.IsZero() && reply.Verdict == store.Refused:
		return true, errRefused
	case err == nil && (p.patience.IsZero() || p.taken):
		return true, nil
	case err == nil && reply.Verdict == store.Refused:
		p.refused = true
	case err == nil:
		p.taken, p.refused, p.backoff = true, false, time.Until(p.patience)
	}
	if time.Now().Before(p.end()) {
		return false, nil
	}
	return true, p.giveUp()
}

// giveUp says what is lost when it is not sent any more. For a release that was
// refused that is nothing: the claim has not come.
func (p *pending) giveUp() error {
	switch {
	case p.refused, p.taken:
		return nil
	case p.cut:
		return errShutDown
	}
	return errGivenUp
}

// tell says how it ended, the first time.
func (p *pending) tell(err error) {
	if done := p.done; done != nil {
		p.done = nil
		done(p.event, err)
	}
}

// size is the number of bytes that it holds on to beside itself.
func (p *pending) size() int {
	if c, ok := p.event.(store.Complete); ok {
		return len(c.Answer.Body)
	}
	return 0
}

func (p *pending) dropBody() {
	if c, ok := p.event.(store.Complete); ok {
		c.Answer.Body, c.Answer.Omitted = nil, store.BodyTooLarge
		p.event = c
	}
}

// pendingQueue is a heap by next.
type pendingQueue []*pending

func (q pendingQueue) Len() int           { return len(q) }
func (q pendingQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q pendingQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

func (q *pendingQueue) Push(x any) {
	p, _ := x.(*pending)
	*q = append(*q, p)
}

func (q *pendingQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
