package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

const (
	// patience is how long a case waits for a signal before it finds that none
	// comes. A backend delivers it in its own time.
	patience = 5 * time.Second
	// quiet is how long a case listens where nothing may be heard.
	quiet = 200 * time.Millisecond
)

// listener is a watch of the record that the case was at when it was opened.
type listener struct {
	c     *check
	name  string
	watch store.Watch
}

// watch begins to listen, which must not take long.
func (c *check) watch(name string) *listener {
	began := time.Now()
	w := c.h.Store.(store.Notifier).Watch(c.id) //nolint:errcheck // a capability of the case
	if took := time.Since(began); took > time.Second {
		c.errorf("Watch returned after %v", took)
	}
	c.watches = append(c.watches, w)
	return &listener{c: c, name: name, watch: w}
}

// closeWatches ends whatever the case has left open.
func (c *check) closeWatches() {
	for _, w := range c.watches {
		w.Close()
	}
}

// listening returns a watch whose notifications are heard.
func (c *check) listening(name string) *listener {
	l := c.watch(name)
	l.hears("the beginning of its watch")
	return l
}

// waiter goes the way of whoever waits: watch, wait for the signal, claim.
func (c *check) waiter(name string) *listener {
	l := c.listening(name)
	l.claims()
	return l
}

// claims asks to be notified of the end of the running attempt, and takes the
// signals that came without need.
func (l *listener) claims() {
	a := l.c.caller(l.name)
	a.wait = true
	a.claims(store.InProgress)
	l.drop()
}

// next waits for a signal and says what is wrong if there is none.
func (l *listener) next() (trouble string) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case _, open := <-l.watch.Signals():
		if !open {
			return "finds its channel closed"
		}
		return ""
	case <-timer.C:
		return "hears nothing for " + patience.String()
	case <-l.c.ctx.Done():
		return "hears nothing: " + l.c.ctx.Err().Error()
	}
}

// hears waits for a signal and ends the case if none comes.
func (l *listener) hears(what string) {
	if trouble := l.next(); trouble != "" {
		l.c.fatalf("%s %s; it should have heard of %s", l.name, trouble, what)
	}
	l.c.note("%s: is signalled", l.name)
}

// drop takes a signal that is held.
func (l *listener) drop() {
	select {
	case <-l.watch.Signals():
	default:
	}
}

// close ends the watch, twice and by several at once.
func (l *listener) close() {
	began := time.Now()
	together(4, func(int) {
		l.watch.Close()
		l.watch.Close()
	})
	if took := time.Since(began); took > time.Second {
		l.c.errorf("Close returned after %v", took)
	}
	l.c.note("%s: closes its watch", l.name)
}

// hearsNothing listens for a while.
func (l *listener) hearsNothing() {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	select {
	case _, open := <-l.watch.Signals():
		if open {
			l.c.errorf("%s is signalled", l.name)
			return
		}
		l.c.errorf("%s finds its channel closed", l.name)
	case <-timer.C:
	}
}
