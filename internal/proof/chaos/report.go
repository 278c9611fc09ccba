package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// Report is what a run did and what the judge found.
type Report struct {
	Config   Config
	Took     time.Duration
	History  *History
	Faults   map[Fault]int
	Purposes map[Purpose]int
	Marks    map[string]int // of the answers
	Codes    map[string]int // what clients were told, with its mark
	Answered int            // keys with a final answer
	Refused  int            // keys that were given up because of a quarantine
	// Charged is how many keys without one had an effect all the same.
	Charged    int
	Violations []Violation
	// TooLittle says which faults happened less often than they had to.
	TooLittle []string
}

func newReport(h *History, cfg Config, faults map[Fault]int, took time.Duration) *Report {
	r := &Report{
		Config:     cfg,
		Took:       took,
		History:    h,
		Faults:     faults,
		Purposes:   make(map[Purpose]int),
		Marks:      make(map[string]int),
		Codes:      make(map[string]int),
		Violations: h.Judge(),
	}
	charged := make(map[int64]bool)
	for _, e := range h.Effects {
		charged[e.Amount] = true
	}
	for _, s := range h.Stories {
		r.countStory(s, charged[s.Order.Amount()])
	}
	r.TooLittle = r.missing()
	return r
}

// missing says what did not happen, or too seldom.
func (r *Report) missing() []string {
	var list []string
	cfg := r.Config
	for _, f := range cfg.Faults {
		if n := r.Faults[f]; n < cfg.minimum(f) {
			list = append(list, fmt.Sprintf("%s: %d times, not %d", f, n, cfg.minimum(f)))
		}
	}
	mayRun := cfg.Orphan == idempotency.OrphanRerun // then no outcome stays unknown
	if cfg.has(KillBefore) && cfg.Minimum > 0 && r.Charged == 0 && !mayRun {
		list = append(list, "no server was killed between an effect and its record")
	}
	if keys := len(r.History.Stories); keys < cfg.Keys {
		list = append(list, fmt.Sprintf("keys: %d of %d", keys, cfg.Keys))
	}
	return list
}

func (r *Report) countStory(s *Story, charged bool) {
	for _, req := range s.Requests {
		r.Purposes[req.Purpose]++
		r.Marks[req.Answer.Mark]++
		r.Codes[req.Answer.Mark+" "+req.Answer.Code]++
	}
	switch {
	case s.Answered():
		r.Answered++
		return
	case s.GivenUp:
		r.Refused++
	}
	if charged {
		r.Charged++
	}
}

// OK reports whether nothing was violated, and enough happened to say so.
func (r *Report) OK() bool { return len(r.Violations) == 0 && len(r.TooLittle) == 0 }

// Killed returns how often a server or Redis was killed.
func (r *Report) Killed() int {
	n := 0
	for _, f := range append(kills(), RedisKill, Failover) {
		n += r.Faults[f]
	}
	return n
}

// Broken returns how often a rule was.
func (r *Report) Broken(rule Rule) int {
	n := 0
	for _, v := range r.Violations {
		if v.Rule == rule {
			n++
		}
	}
	return n
}

// shown is how many violations are told of at length: more of the same tell
// nothing new.
const shown = 5

// Print writes the report as a table, and the histories of keys with violations.
func (r *Report) Print(w io.Writer) {
	cfg, keys := r.Config, len(r.History.Stories)
	fmt.Fprintf(w, "chaos: seed %d, redis %s, orphan %s, %d servers, lease %v, %v of faults, %v in all\n\n",
		cfg.Seed, cfg.Topology, cfg.Orphan, cfg.Servers, cfg.Lease, cfg.Duration, r.Took.Round(time.Millisecond))
	fmt.Fprintf(w, "%-42s %7d\n", "keys", keys)
	printCounts(w, "requests: ", r.Purposes)
	fmt.Fprintln(w)
	for _, f := range AllFaults(cfg.Topology) {
		if cfg.has(f) {
			fmt.Fprintf(w, "%-42s %7d  (%d at least)\n", "fault: "+string(f), r.Faults[f], cfg.minimum(f))
		}
	}
	fmt.Fprintln(w)
	printCounts(w, "told: ", r.Codes)
	unknown := keys - r.Answered - r.Refused
	fmt.Fprintf(w, "\n%-42s %7d\n", "servers and Redis killed", r.Killed())
	fmt.Fprintf(w, "%-42s %7d\n", "executed", r.Marks["executed"])
	fmt.Fprintf(w, "%-42s %7d\n", "replayed", r.Marks["replayed"])
	fmt.Fprintf(w, "%-42s %7d\n", "effects in the ledger", len(r.History.Effects))
	fmt.Fprintf(w, "%-42s %7d  %.2f %%\n", "keys with a final answer", r.Answered, percent(r.Answered, keys))
	fmt.Fprintf(w, "%-42s %7d  %.2f %%\n", "keys refused since Redis lost its memory", r.Refused, percent(r.Refused, keys))
	fmt.Fprintf(w, "%-42s %7d  %.2f %%\n", "keys whose outcome is unknown", unknown, percent(unknown, keys))
	fmt.Fprintf(w, "%-42s %7d\n\n", "… of both with an effect", r.Charged)
	r.printVerdicts(w)
}

func printCounts[K ~string](w io.Writer, what string, counts map[K]int) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "%-42s %7d\n", what+string(k), counts[k])
	}
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

func (r *Report) printVerdicts(w io.Writer) {
	for _, rule := range Rules() {
		verdict := "ok"
		if n := r.Broken(rule); n > 0 {
			verdict = fmt.Sprintf("BROKEN, %d times", n)
		}
		fmt.Fprintf(w, "%-42s %s\n", rule, verdict)
	}
	for _, what := range r.TooLittle {
		fmt.Fprintf(w, "%-42s %s\n", "SAW TOO LITTLE", what)
	}
	for i, v := range r.Violations {
		if i == shown {
			fmt.Fprintf(w, "\n… and %d more\n", len(r.Violations)-shown)
			break
		}
		fmt.Fprintf(w, "\n%s: %s\n", v.Rule, v.Text)
		if v.Key >= 0 {
			r.History.Print(w, v.Key)
		}
	}
}
