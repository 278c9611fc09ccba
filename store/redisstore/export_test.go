package redisstore

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// What the tests of the layout and of the scripts look at directly.
var (
	Encode      = encode
	Decode      = decode
	ParseReply  = parseReply
	Sources     = sources
	MaxNumber   = int64(maxNumber)
	ScriptNames = []string{
		"claim", "renew", "mark", "complete", "complete_large", "fail", "release", "settle", "inspect",
	}
)

// Queued counts the calls that wait for a round trip, by AutoPipeline.
func Queued(s *Store) (n int) {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	for _, way := range s.lanes.byServer {
		way.mu.Lock()
		n += len(way.queue)
		way.mu.Unlock()
	}
	return n
}

// Busy counts the places for round trips that are taken, by AutoPipeline.
func Busy(s *Store) (n int) {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	for _, way := range s.lanes.byServer {
		way.mu.Lock()
		n += way.busy
		way.mu.Unlock()
	}
	return n
}

// Drop makes the local cache forget a record.
func Drop(s *Store, id store.ID) { s.cache.drop(id) }

// ShiftWall sets the wall clock that the local cache reads ahead.
func ShiftWall(s *Store, by time.Duration) {
	s.cache.wall = func(t time.Time) int64 { return t.UnixNano() + int64(by) }
}
