package locktest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/lock"
)

func callRules() []rule {
	return []rule{
		{
			name: "call/ended context",
			rule: "a call whose context has ended returns an error and executes nothing",
			why:  "a caller that has gone takes a lock, or is told something about it that nobody asked the backend",
			check: func(c *check) {
				ended, cancel := context.WithCancel(c.ctx)
				cancel()
				owner := lock.NewOwner()
				if _, err := c.h.Backend.Acquire(ended, c.id, lock.Claim{Owner: owner, Lease: long}); err == nil {
					c.errorf("claim: no error")
				}
				c.settled()
				holder, _ := c.claims(lock.Acquired, short)
				if _, err := c.h.Backend.Release(ended, c.id, holder); err == nil {
					c.errorf("release: no error")
				}
				results := c.h.Backend.Renew(ended, []lock.Renewal{{ID: c.id, Owner: holder, Lease: long}})
				if len(results) != 1 || results[0].Err == nil || results[0].Lost {
					c.errorf("renew: answers %+v, want one error", results)
				}
				c.settled()
				c.renews(holder, short, false)
				c.lapse()
				c.claims(lock.Acquired, long)
			},
		},
	}
}

func watchRules() []rule {
	return []rule{
		{
			name: "watch/begins", needs: notifies,
			rule: "a watch gives a signal when releases begin to be heard",
			why:  "a release between the last claim and that moment is never heard of",
			check: func(c *check) {
				c.watch(func(signals <-chan struct{}) { c.hears(signals, "its beginning") })
			},
		},
		{
			name: "watch/release", needs: notifies,
			rule:  "a release is told to all who watch, if a claim said that somebody waits",
			why:   "waiters sleep on while the lock is free",
			check: checkRelease,
		},
		{
			name: "watch/release of a waiter's own", needs: notifies,
			rule:  "a claim that says that somebody waits makes the release of the hold that it begins be told",
			why:   "of many waiters one gets the lock, and the others never hear of its release",
			check: checkOwnRelease,
		},
		{
			name: "watch/closed", needs: notifies,
			rule:  "a watch that is closed gives no signal, and its channel is not closed",
			why:   "whoever selects on it spins, or acts for a waiter that has gone",
			check: checkClosedWatch,
		},
	}
}

func checkRelease(c *check) {
	holder, _ := c.claims(lock.Acquired, long)
	c.watch(func(first <-chan struct{}) {
		c.hears(first, "its beginning")
		c.watch(func(second <-chan struct{}) {
			c.hears(second, "its beginning")
			c.want(lock.Held, lock.Claim{Owner: lock.NewOwner(), Lease: long, Wait: true})
			c.renews(holder, long, false)
			c.releases(holder, true)
			c.hears(first, "the release")
			c.hears(second, "the release")
		})
	})
}

func checkOwnRelease(c *check) {
	c.watch(func(signals <-chan struct{}) {
		c.hears(signals, "its beginning")
		owner := lock.NewOwner()
		c.want(lock.Acquired, lock.Claim{Owner: owner, Lease: long, Wait: true})
		c.releases(owner, true)
		c.hears(signals, "the release")
	})
}

func checkClosedWatch(c *check) {
	var signals <-chan struct{}
	c.watch(func(s <-chan struct{}) {
		c.hears(s, "its beginning")
		signals = s
	})
	owner := lock.NewOwner()
	c.want(lock.Acquired, lock.Claim{Owner: owner, Lease: long, Wait: true})
	c.releases(owner, true)
	c.settled()
	select {
	case _, open := <-signals:
		c.errorf("watch: something came after it was closed (channel open: %v)", open)
	default:
	}
}

// watch watches the lock while do runs.
func (c *check) watch(do func(signals <-chan struct{})) {
	notifier, _ := c.h.Backend.(lock.Notifier)
	w := notifier.Watch(c.id)
	defer w.Close()
	do(w.Signals())
}

func (c *check) hears(signals <-chan struct{}, what string) {
	timer := time.NewTimer(heard)
	defer timer.Stop()
	select {
	case _, open := <-signals:
		if !open {
			c.fatalf("watch: its channel is closed")
		}
	case <-timer.C:
		c.fatalf("watch: no signal of %s within %v", what, heard)
	}
}

func lockerRules() []rule {
	return []rule{
		{
			name:  "locker/one at a time",
			rule:  "of several processes with several goroutines each, all waiting, exactly one is inside, and all get there",
			why:   "whatever the parts do: this is what the lock is for",
			check: checkLockers,
		},
		{
			name: "locker/keeps its lease",
			rule: "a lease is renewed beyond its length, and free after its release",
			why:  "holders lose their locks while they work",
			check: func(c *check) {
				key := freshKey()
				l := c.locker(lock.LeaseTime(kept))
				defer c.close(l)
				le, err := l.TryLock(c.ctx, key)
				if err != nil {
					c.fatalf("TryLock: %v", err)
				}
				for range 10 {
					c.advance(kept / 8)
				}
				if err := context.Cause(le.Context()); err != nil {
					c.errorf("the lease ended: %v", err)
				}
				if _, err := l.TryLock(c.ctx, key); !errors.Is(err, lock.ErrHeld) {
					c.errorf("TryLock: %v while the lock is held", err)
				}
				if err := le.Release(c.ctx); err != nil {
					c.errorf("Release: %v", err)
				}
			},
		},
	}
}

func checkLockers(c *check) {
	const processes, goroutines, rounds = 3, 4, 5
	key := freshKey()
	lockers := make([]*lock.Locker, processes)
	for i := range lockers {
		lockers[i] = c.locker()
		defer c.close(lockers[i])
	}
	var inside, served atomic.Int32
	together(processes*goroutines, func(i int) {
		for range rounds {
			err := lockers[i%processes].Do(c.ctx, key, func(context.Context) error {
				if n := inside.Add(1); n != 1 {
					c.errorf("%d are inside at once", n)
				}
				time.Sleep(100 * time.Microsecond)
				inside.Add(-1)
				served.Add(1)
				return nil
			})
			if err != nil {
				c.errorf("Do: %v", err)
			}
		}
	})
	if n := served.Load(); n != processes*goroutines*rounds {
		c.errorf("%d of %d were inside", n, processes*goroutines*rounds)
	}
}

func (c *check) locker(opts ...lock.Option) *lock.Locker {
	l, err := lock.New(c.h.Backend, opts...)
	if err != nil {
		c.fatalf("New: %v", err)
	}
	return l
}

func (c *check) close(l *lock.Locker) {
	if err := l.Close(); err != nil {
		c.errorf("Close: %v", err)
	}
}
