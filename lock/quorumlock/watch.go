package quorumlock

import (
	"reflect"
	"sync"
	"time"

	"github.com/reprise-go/reprise/lock"
)

// settling is how long after the last master's signal a watch gives its own, if no
// majority has signalled: a release reaches the masters one after the other,
// and asking too early gets a part of them only.
const settling = 5 * time.Millisecond

// watch is one interest in one lock: those on all masters together.
type watch struct {
	parts   []lock.Watch
	quorum  int
	signals chan struct{}
	stop    chan struct{}
	once    sync.Once
	stopped chan struct{}
}

// Watch implements [lock.Notifier]. It takes a goroutine until it is closed, and on
// each master what [redislock.Backend.Watch] takes.
func (b *Backend) Watch(id lock.ID) lock.Watch {
	w := &watch{
		quorum: b.quorum, signals: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if b.start() != nil {
		close(w.stopped)
		return w
	}
	for _, node := range b.nodes {
		w.parts = append(w.parts, node.Watch(id))
	}
	go func() {
		defer b.work.Done()
		defer close(w.stopped)
		w.run(b.shut)
	}()
	return w
}

// Signals implements [lock.Watch].
func (w *watch) Signals() <-chan struct{} { return w.signals }

// Close implements [lock.Watch].
func (w *watch) Close() {
	w.once.Do(func() { close(w.stop) })
	<-w.stopped
}

// run gathers the masters' signals until the watch or the backend is closed.
func (w *watch) run(shut <-chan struct{}) {
	settled := time.NewTimer(settling)
	settled.Stop()
	defer settled.Stop()
	const firstPart = 3
	cases := make([]reflect.SelectCase, 0, firstPart+len(w.parts))
	cases = append(cases, receive(w.stop), receive(shut), receive(settled.C))
	for _, part := range w.parts {
		defer part.Close()
		cases = append(cases, receive(part.Signals()))
	}
	g := gathering{quorum: w.quorum, all: len(w.parts), heard: map[int]bool{}, owed: map[int]bool{}}
	for {
		chosen, _, _ := reflect.Select(cases)
		var tell bool
		switch {
		case chosen < firstPart-1:
			return
		case chosen < firstPart:
			tell = g.settle()
		default:
			tell = g.hear(chosen - firstPart)
			settled.Reset(settling)
		}
		if !tell {
			continue
		}
		select {
		case w.signals <- struct{}{}:
		default:
		}
	}
}

// gathering makes one signal of those that the masters give about one release.
type gathering struct {
	quorum, all int
	heard       map[int]bool // since the last signal
	owed        map[int]bool // masters that are late with the last signal's
}

// hear notes a master's signal, and reports whether a majority has given one.
func (g *gathering) hear(part int) bool {
	if g.owed[part] {
		delete(g.owed, part)
		return false
	}
	g.heard[part] = true
	if len(g.heard) < g.quorum {
		return false
	}
	for i := range g.all {
		if !g.heard[i] {
			g.owed[i] = true
		}
	}
	clear(g.heard)
	return true
}

// settle ends a time without signals: nothing is late any more, and what a minority
// said counts.
func (g *gathering) settle() bool {
	clear(g.owed)
	tell := len(g.heard) > 0
	clear(g.heard)
	return tell
}

func receive(from any) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(from)}
}
