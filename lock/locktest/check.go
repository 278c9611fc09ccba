package locktest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/lock"
)

const (
	// short is a lease that is meant to lapse. Nothing has to happen before it
	// does, so a slow machine makes the suite slow and not red.
	short = 200 * time.Millisecond
	long  = time.Minute
	// kept is a lease that a locker has to renew in time, on a slow machine, too.
	kept = 2 * time.Second
	// slack is how far a backend's clock may be off, because it counts in
	// milliseconds or runs beside ours.
	slack = 50 * time.Millisecond
	// heard is how long a signal may take.
	heard = 5 * time.Second
)

// check is one run of one case. It works on one lock at a time.
type check struct {
	ctx context.Context //nolint:containedctx // of the case
	h   Harness
	id  lock.ID

	mu       sync.Mutex
	findings []string
}

// abort unwinds a case after a finding that makes the rest meaningless.
type abort struct{}

// perform runs the case up to its end or its first fatal finding.
func (c *check) perform(do func(*check)) {
	defer func() {
		if r := recover(); r != nil && r != any(abort{}) {
			panic(r)
		}
	}()
	do(c)
}

// fresh turns to a lock that no case has ever touched.
func (c *check) fresh() { c.id = freshID() }

func freshID() lock.ID { return lock.NewID(freshKey()) }

func freshKey() string { return "locktest " + lock.NewOwner().String() }

// errorf records a finding and goes on.
func (c *check) errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// fatalf records a finding and ends the case.
func (c *check) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	panic(abort{})
}

// want claims and ends the case unless the verdict is the wanted.
func (c *check) want(verdict lock.Verdict, claim lock.Claim) lock.Reply {
	reply, err := c.h.Backend.Acquire(c.ctx, c.id, claim)
	if err != nil {
		c.fatalf("claim: error %v, want %q", err, verdict)
	}
	if reply.Verdict != verdict {
		c.fatalf("claim: %q, want %q", reply.Verdict, verdict)
	}
	return reply
}

// claims makes a new owner claim and returns it.
func (c *check) claims(verdict lock.Verdict, lease time.Duration) (lock.Owner, lock.Reply) {
	owner := lock.NewOwner()
	return owner, c.want(verdict, lock.Claim{Owner: owner, Lease: lease})
}

// releases ends the case unless the release says whether the lock was held.
func (c *check) releases(owner lock.Owner, held bool) {
	got, err := c.h.Backend.Release(c.ctx, c.id, owner)
	if err != nil {
		c.fatalf("release: error %v", err)
	}
	if got != held {
		c.errorf("release: it says held = %v, want %v", got, held)
	}
}

// renews ends the case unless the renewal is answered as wanted.
func (c *check) renews(owner lock.Owner, lease time.Duration, lost bool) {
	results := c.h.Backend.Renew(c.ctx, []lock.Renewal{{ID: c.id, Owner: owner, Lease: lease}})
	if len(results) != 1 {
		c.fatalf("renew: %d answers to one renewal", len(results))
	}
	if results[0].Err != nil {
		c.fatalf("renew: error %v", results[0].Err)
	}
	if results[0].Lost != lost {
		c.fatalf("renew: it says lost = %v, want %v", results[0].Lost, lost)
	}
}

// held ends the case unless somebody holds the lock.
func (c *check) held() lock.Reply {
	_, reply := c.claims(lock.Held, long)
	return reply
}

// advance lets time pass on the backend's clock.
func (c *check) advance(d time.Duration) {
	if c.h.Advance == nil {
		time.Sleep(d)
		return
	}
	c.h.Advance(d)
}

// lapse lets a short lease run out.
func (c *check) lapse() { c.advance(short + 20*time.Millisecond) }

// together runs n functions at once and waits for all of them.
func together(n int, do func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	all.Wait()
}
