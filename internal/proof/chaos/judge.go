package chaos

import (
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/paytest"
)

// Rule is what the library is held to.
type Rule string

// The rules.
const (
	// OneEffect: a key has at most one effect.
	OneEffect Rule = "I1 one effect"
	// OneAnswer: all final answers to a key are equal.
	OneAnswer Rule = "I2 one answer"
	// StaysAnswered: who asks after a final answer gets that one, or hears that he
	// cannot have it now.
	StaysAnswered Rule = "I2 stays answered"
	// RealAnswer: a final success tells of an effect, other final answers of none.
	RealAnswer Rule = "I3 real answer"
	// Ends: a request ends within its limit.
	Ends Rule = "I6 ends"
	// Answerable: after the faults a key has a final answer, or its outcome is said
	// to be unknown.
	Answerable Rule = "I6 answerable"
	// MostlyKnown: few outcomes stay unknown.
	MostlyKnown Rule = "I6 mostly known"
	// Quiet: keys and bodies are in no log, keys not in Redis.
	Quiet Rule = "I10 quiet"
	// Alive: no server ends by itself, or finds a data race.
	Alive Rule = "I12 alive"
	// Explained: answers are those that are to be expected.
	Explained Rule = "explained"
)

// Rules returns all of them.
func Rules() []Rule {
	return []Rule{OneEffect, OneAnswer, StaysAnswered, RealAnswer, Ends, Answerable, MostlyKnown, Quiet, Alive, Explained}
}

// Violation is a rule that was broken.
type Violation struct {
	Rule Rule
	// Key is the number of the order, -1 if it is not about one.
	Key  int
	Text string
}

// stale is for how long duplicates that wait may believe that the first is
// running: they rely on a message of its end, which gets lost, and ask for
// themselves every two seconds at most, which a pause of their server delays.
const stale = 5 * time.Second

// maxUnknown is the share of keys whose outcome may stay unknown, of those that
// somebody went on asking for.
const maxUnknown = 0.05

// Judge returns all violations.
func (h *History) Judge() []Violation {
	j := judge{History: h, byAmount: make(map[int64][]paytest.Entry), byRecord: make(map[string]int)}
	for _, e := range h.Effects {
		j.byAmount[e.Amount] = append(j.byAmount[e.Amount], e)
		j.byRecord[e.KeyHash]++
	}
	unknown, refused := 0, 0
	for i, s := range h.Stories {
		j.effects(i, s)
		j.answers(i, s)
		switch {
		case s.Answered():
		case s.GivenUp:
			refused++
		default:
			unknown++
		}
		j.inTheEnd(i, s)
	}
	if asked := len(h.Stories) - refused; float64(unknown) > maxUnknown*float64(asked) {
		j.violate(MostlyKnown, -1, "the outcome of %d of %d keys is unknown", unknown, asked)
	}
	j.processes()
	return j.violations
}

type judge struct {
	*History

	byAmount   map[int64][]paytest.Entry
	byRecord   map[string]int // effects by the digest of their operation
	violations []Violation
}

func (j *judge) violate(rule Rule, key int, format string, args ...any) {
	j.violations = append(j.violations, Violation{rule, key, fmt.Sprintf(format, args...)})
}

func (j *judge) effects(key int, s *Story) {
	effects := j.byAmount[s.Order.Amount()]
	if len(effects) > 1 {
		j.violate(OneEffect, key, "%d effects", len(effects))
	}
	for _, e := range effects {
		if len(effects) == 1 && j.byRecord[e.KeyHash] > 1 {
			j.violate(OneEffect, key, "record %s has had %d effects", e.KeyHash, j.byRecord[e.KeyHash])
		}
		if e.Kind != "charge" || e.Tenant != s.Order.Tenant {
			j.violate(OneEffect, key, "the effect is a %s for %s", e.Kind, e.Tenant)
		}
	}
}

func (j *judge) answers(key int, s *Story) {
	first := -1 // the final answer that was there first
	for i, r := range s.Requests {
		if r.Answer.Code == codeOverran {
			j.violate(Ends, key, "no answer from %v to %v", round(r.Began), round(r.Ended))
		}
		if !r.Answer.Final() {
			j.explained(key, r.Answer)
			continue
		}
		j.real(key, s, r.Answer)
		if first < 0 || r.Ended < s.Requests[first].Ended {
			first = i
		}
	}
	if first < 0 {
		return
	}
	for _, r := range s.Requests {
		j.compare(key, s, s.Requests[first], r)
	}
}

// compare holds a request to the final answer that was there first.
func (j *judge) compare(key int, s *Story, first, r Request) {
	switch {
	case r.Answer.Final() && r.Answer.Text != first.Answer.Text:
		j.violate(OneAnswer, key, "final answers %q and %q", first.Answer.Text, r.Answer.Text)
	case r.Answer.Final(), !r.Answer.came(), r.Began <= first.Ended:
	case r.Answer.Code == "store_unavailable", r.Answer.Code == "draining":
	case r.Answer.Code == "in_progress" && s.GivenUp: // behind a claim that is being refused
	case r.Answer.Code == "in_progress" && j.Waits && r.Began <= first.Ended+stale:
	default:
		j.violate(StaysAnswered, key, "%s %s at %v, after a final answer at %v",
			r.Answer.Mark, r.Answer.Code, round(r.Ended), round(first.Ended))
	}
}

// real holds a final answer to the ledger.
func (j *judge) real(key int, s *Story, a Answer) {
	effects := j.byAmount[s.Order.Amount()]
	if a.Payment == "" {
		if !s.Order.Declined() || a.Code != "card_declined" {
			j.violate(Explained, key, "final answer %s", a.Code)
		}
		if len(effects) > 0 {
			j.violate(RealAnswer, key, "the answer is %s, and there is an effect", a.Code)
		}
		return
	}
	for _, e := range effects {
		if e.Payment == a.Payment {
			return
		}
	}
	j.violate(RealAnswer, key, "payment %s is not in the ledger", a.Payment)
}

// explained looks for answers that no fault is an excuse for.
func (j *judge) explained(key int, a Answer) {
	switch a.Code {
	case codeNetwork, codeHungUp, codeOverran:
	case "in_progress", "outcome_unknown", "store_unavailable", "draining", "lease_lost": // the library's
	case "processor_down", "interrupted", "cancelled", "effect_not_marked": // the service's, not recorded
	default:
		if a.Mark != "unrecorded" {
			j.violate(Explained, key, "answer %s %s: %s", a.Mark, a.Code, a.Text)
		}
	}
}

// inTheEnd judges what a key's client knows when the faults are over.
func (j *judge) inTheEnd(key int, s *Story) {
	var last Answer
	for _, r := range s.Requests {
		if r.Purpose == Audit {
			last = r.Answer
		}
	}
	if !s.GivenUp && !last.Final() && last.Code != "outcome_unknown" {
		j.violate(Answerable, key, "in the end the answer is %s %s", last.Mark, last.Code)
	}
}

// crash finds what the runtime writes about the end of a process.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*$`)

func (j *judge) processes() {
	for pid, log := range j.Logs {
		if !isSilent(log) {
			j.violate(Quiet, -1, "the log of pid %d shows what a client sent: %s", pid, lineWithCanary(log))
		}
		if line := crash.FindString(log); line != "" {
			j.violate(Alive, -1, "the log of pid %d says %q", pid, line)
		}
	}
	for _, pid := range j.Ended {
		j.violate(Alive, -1, "pid %d ended by itself", pid)
	}
	for _, name := range j.Leaks {
		j.violate(Quiet, -1, "record %q of Redis shows a key", name)
	}
}

func lineWithCanary(log string) string {
	for line := range strings.Lines(log) {
		if !isSilent(line) {
			return line
		}
	}
	return ""
}

// digest tells texts apart in a history, in which they would take too much room.
func digest(a Answer) string {
	if a.Text == "" {
		return ""
	}
	return fmt.Sprintf("(text %08x)", crc32.ChecksumIEEE([]byte(a.Text)))
}
