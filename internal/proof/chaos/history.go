package chaos

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/paytest"
)

// Purpose is why a request was sent.
type Purpose string

// The purposes.
const (
	First Purpose = "first" // of a key
	Copy  Purpose = "copy"  // at the same time as the first
	Retry Purpose = "retry" // after an answer that was not final
	Again Purpose = "again" // after a final answer
	Audit Purpose = "audit" // after the faults
	// Quarantine is after Redis has lost its memory, and before that is blessed.
	Quarantine Purpose = "quarantine"
)

// Request is one request and what became of it. Times count from the beginning
// of the run.
type Request struct {
	Purpose      Purpose
	Server       int
	PID          int
	Began, Ended time.Duration
	Answer       Answer
}

// Answer is what a client was told.
type Answer struct {
	// Mark is the service's Idempotency-Status, "" if no answer came.
	Mark string
	// Code is a problem's code, otherwise the status; or why no answer came, which
	// is one of the codes below.
	Code string
	// Text is all that a replay has to repeat: status, kept fields and body.
	Text string
	// Payment is the id of the payment, if the answer is a success.
	Payment string
}

// Why no answer came.
const (
	codeNetwork = "(connection lost)"
	codeHungUp  = "(hung up)"
	codeOverran = "(no answer within the limit)"
)

// Final reports whether the answer is one that the service promises to repeat.
func (a Answer) Final() bool { return a.Mark == "executed" || a.Mark == "replayed" }

// came reports whether there was an answer at all.
func (a Answer) came() bool { return a.Mark != "" }

// Trouble is a fault that happened.
type Trouble struct {
	Fault        Fault
	Server       int // -1: Redis
	PID          int
	Began, Ended time.Duration
}

// Story is what happened to one key. Safe for concurrent use until the run ends.
type Story struct {
	Order Order

	// GivenUp says that nobody asks any more, since Redis has lost its memory.
	GivenUp bool

	mu       sync.Mutex
	Requests []Request
}

// Answered reports whether a client has got a final answer. For the time after
// the run.
func (s *Story) Answered() bool {
	return slices.ContainsFunc(s.Requests, func(r Request) bool { return r.Answer.Final() })
}

func (s *Story) add(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Requests = append(s.Requests, r)
}

// History is all that a run left behind.
type History struct {
	Stories  []*Story
	Effects  []paytest.Entry
	Troubles []Trouble
	// Waits says that duplicates waited.
	Waits bool
	// Logs are what the servers wrote, by their pids.
	Logs map[int]string
	// Ended are servers that ended without having been told to.
	Ended []int
	// Leaks are names of records in Redis that show a key.
	Leaks []string
}

// Print writes all that is known about a key: its requests in the order of
// their beginning, what troubled the servers meanwhile, and its effects.
func (h *History) Print(w io.Writer, key int) {
	story := h.Stories[key]
	fmt.Fprintf(w, "history of %v\n", story.Order)
	lines := append(story.lines(), h.troublesOf(story)...)
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	for _, l := range lines {
		fmt.Fprintf(w, "  %9v  %s\n", round(l.at), l.text)
	}
	for _, e := range h.Effects {
		if e.Amount == story.Order.Amount() {
			fmt.Fprintf(w, "  ledger     seq %d, %s of %d by %s, payment %s, record %s, token %d\n",
				e.Seq, e.Kind, e.Amount, e.Instance, e.Payment, e.KeyHash, e.Token)
		}
	}
}

// line is one line of a history.
type line struct {
	at   time.Duration
	text string
}

func (s *Story) lines() []line {
	lines := make([]line, len(s.Requests))
	for i, r := range s.Requests {
		lines[i] = line{r.Began, fmt.Sprintf("%-5s to server %d (pid %d), until %v: %s %s %s %s",
			r.Purpose, r.Server, r.PID, round(r.Ended), r.Answer.Mark, r.Answer.Code, r.Answer.Payment, digest(r.Answer))}
	}
	return lines
}

// troublesOf returns what happened from a second before a key's first request to
// its last one before the audit.
func (h *History) troublesOf(s *Story) []line {
	from, to := time.Duration(math.MaxInt64), time.Duration(0)
	for _, r := range s.Requests {
		from = min(from, r.Began)
		if r.Purpose != Audit {
			to = max(to, r.Ended)
		}
	}
	var lines []line
	for _, t := range h.Troubles {
		if t.Ended >= from-time.Second && t.Began <= to {
			lines = append(lines, line{t.Began, "        " + t.String()})
		}
	}
	return lines
}

// String says what happened.
func (t Trouble) String() string {
	if t.Server < 0 {
		return fmt.Sprintf("%s until %v", t.Fault, round(t.Ended))
	}
	return fmt.Sprintf("%s of server %d (pid %d) until %v", t.Fault, t.Server, t.PID, round(t.Ended))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
