package chaos_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/proof/chaos"
)

const payment, other = "pay_AAAAAAAAAAAAAAAAAAAAAAAAAA", "pay_BBBBBBBBBBBBBBBBBBBBBBBBBB"

func paid(mark, id string) chaos.Answer {
	return chaos.Answer{Mark: mark, Code: "201", Text: "201 " + id, Payment: id}
}

func refused(mark, code string) chaos.Answer { return chaos.Answer{Mark: mark, Code: code, Text: code} }

func effect(id string) paytest.Entry {
	return paytest.Entry{Kind: "charge", Payment: id, Amount: 1, KeyHash: "00", Tenant: "acme"}
}

// told makes requests one after the other, of a second each. The last is the
// audit's.
func told(answers ...chaos.Answer) []chaos.Request {
	var list []chaos.Request
	for i, a := range answers {
		list = append(list, chaos.Request{
			Purpose: chaos.Retry,
			Began:   time.Duration(i) * time.Second,
			Ended:   time.Duration(i+1)*time.Second - 1,
			Answer:  a,
		})
	}
	list[len(list)-1].Purpose = chaos.Audit
	return list
}

// enough makes one key with an unknown outcome few.
const enough = 20

// history has the story of one key, and others that are in order.
func history(source string, effects []paytest.Entry, requests []chaos.Request) *chaos.History {
	h := &chaos.History{Effects: effects}
	for number := range enough {
		s := &chaos.Story{Order: chaos.Order{Number: number, Tenant: "acme", Source: "tok_declined"}}
		s.Requests = told(refused("replayed", "card_declined"))
		h.Stories = append(h.Stories, s)
	}
	h.Stories[0].Order.Source, h.Stories[0].Requests = source, requests
	return h
}

func TestJudge(t *testing.T) {
	t.Parallel()
	executed, replayed := paid("executed", payment), paid("replayed", payment)
	unknown, busy := refused("unknown", "outcome_unknown"), refused("conflict", "in_progress")
	one := []paytest.Entry{effect(payment)}
	tests := []struct {
		name    string
		source  string
		effects []paytest.Entry
		told    []chaos.Request
		waits   bool
		givenUp bool
		broken  []chaos.Rule
	}{
		{name: "paid and replayed", effects: one, told: told(executed, replayed)},
		{name: "paid, and the outcome unknown", effects: one, told: told(busy, unknown)},
		{name: "unavailable after a final answer", effects: one, told: told(executed, refused("rejected", "store_unavailable"), replayed)},
		{name: "unrecorded, another is final", effects: one, told: told(paid("unrecorded", other), replayed)},
		{
			name: "two effects", effects: []paytest.Entry{effect(payment), effect(other)},
			told: told(executed, replayed), broken: []chaos.Rule{chaos.OneEffect},
		},
		{
			name: "two effects of one record under other amounts", effects: []paytest.Entry{effect(payment), {Kind: "charge", Amount: 99, KeyHash: "00", Tenant: "acme"}},
			told: told(executed, replayed), broken: []chaos.Rule{chaos.OneEffect},
		},
		{
			name: "another tenant's effect", effects: []paytest.Entry{{Kind: "charge", Payment: payment, Amount: 1, KeyHash: "00", Tenant: "globex"}},
			told: told(executed, replayed), broken: []chaos.Rule{chaos.OneEffect},
		},
		{
			name: "two answers", effects: one, told: told(executed, chaos.Answer{Mark: "replayed", Code: "201", Text: "else", Payment: payment}),
			broken: []chaos.Rule{chaos.OneAnswer},
		},
		{
			name: "two payments", effects: []paytest.Entry{effect(payment), effect(other)}, told: told(executed, paid("replayed", other)),
			broken: []chaos.Rule{chaos.OneEffect, chaos.OneAnswer},
		},
		{
			name: "unknown after a final answer", effects: one, told: told(executed, unknown, replayed),
			broken: []chaos.Rule{chaos.StaysAnswered},
		},
		{
			name: "running after a final answer", effects: one, told: told(executed, busy, replayed),
			broken: []chaos.Rule{chaos.StaysAnswered},
		},
		{name: "believed to run by those who wait", effects: one, told: told(executed, busy, replayed), waits: true},
		{
			name: "believed for too long", effects: one, told: told(executed, replayed, replayed, replayed, replayed, replayed, replayed, busy, replayed), waits: true,
			broken: []chaos.Rule{chaos.StaysAnswered},
		},
		{name: "given up in a quarantine", told: told(busy, refused("rejected", "store_unavailable")), givenUp: true},
		{name: "given up, and running behind another's claim", effects: one, told: told(executed, busy), givenUp: true},
		{
			name: "given up, and run again", effects: []paytest.Entry{effect(payment), effect(other)},
			told: told(executed, paid("executed", other)), givenUp: true, broken: []chaos.Rule{chaos.OneEffect, chaos.OneAnswer},
		},
		{name: "success without an effect", told: told(executed, replayed), broken: []chaos.Rule{chaos.RealAnswer}},
		{name: "success with another payment's id", effects: one, told: told(paid("executed", other)), broken: []chaos.Rule{chaos.RealAnswer}},
		{
			name: "declined with an effect", source: "tok_declined", effects: one, told: told(refused("replayed", "card_declined")),
			broken: []chaos.Rule{chaos.RealAnswer},
		},
		{name: "declined for no reason", told: told(refused("replayed", "card_declined")), broken: []chaos.Rule{chaos.Explained}},
		{name: "an answer of no use", effects: one, told: told(refused("mismatch", "idempotency_key_reused"), replayed), broken: []chaos.Rule{chaos.Explained}},
		{
			name: "no answer within the limit", effects: one, told: told(chaos.Answer{Code: "(no answer within the limit)"}, replayed),
			broken: []chaos.Rule{chaos.Ends},
		},
		{name: "running in the end", told: told(busy, busy), broken: []chaos.Rule{chaos.Answerable}},
		{name: "unavailable in the end", effects: one, told: told(executed, refused("rejected", "store_unavailable")), broken: []chaos.Rule{chaos.Answerable}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := history(test.source, test.effects, test.told)
			h.Waits, h.Stories[0].GivenUp = test.waits, test.givenUp
			assert.ElementsMatch(t, test.broken, brokenIn(h))
		})
	}
}

func brokenIn(h *chaos.History) []chaos.Rule {
	var rules []chaos.Rule
	seen := make(map[chaos.Rule]bool)
	for _, v := range h.Judge() {
		if !seen[v.Rule] {
			rules = append(rules, v.Rule)
		}
		seen[v.Rule] = true
	}
	return rules
}

func TestJudgeOfServersAndRedis(t *testing.T) {
	t.Parallel()
	unknown := told(refused("unknown", "outcome_unknown"))
	tests := []struct {
		name   string
		change func(h *chaos.History)
		broken []chaos.Rule
	}{
		{"all in order", func(h *chaos.History) { h.Logs = map[int]string{1: "{\"msg\":\"draining\"}\n"} }, nil},
		{"one outcome of twenty unknown", func(h *chaos.History) { h.Stories[3].Requests = unknown }, nil},
		{"two of them", func(h *chaos.History) { h.Stories[3].Requests, h.Stories[4].Requests = unknown, unknown }, []chaos.Rule{chaos.MostlyKnown}},
		{"two of them, one given up", func(h *chaos.History) {
			h.Stories[3].Requests, h.Stories[4].Requests = unknown, unknown
			h.Stories[4].GivenUp = true
		}, []chaos.Rule{chaos.MostlyKnown}},
		{"all given up but one", func(h *chaos.History) {
			for _, s := range h.Stories[1:] {
				s.Requests, s.GivenUp = unknown, true
			}
		}, nil},
		{"a key in a log", func(h *chaos.History) { h.Logs = map[int]string{1: "claim of canaryInTheKey-1-2\n"} }, []chaos.Rule{chaos.Quiet}},
		{"a body in a log", func(h *chaos.History) { h.Logs = map[int]string{1: "x\ny canaryInTheBody-7\n"} }, []chaos.Rule{chaos.Quiet}},
		{"a key in Redis", func(h *chaos.History) { h.Leaks = []string{"chaos:{00}"} }, []chaos.Rule{chaos.Quiet}},
		{"a panic", func(h *chaos.History) { h.Logs = map[int]string{1: "x\npanic: nil\n"} }, []chaos.Rule{chaos.Alive}},
		{"a server that is gone", func(h *chaos.History) { h.Ended = []int{17} }, []chaos.Rule{chaos.Alive}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := history("tok_declined", nil, told(refused("replayed", "card_declined")))
			test.change(h)
			assert.ElementsMatch(t, test.broken, brokenIn(h))
		})
	}
}

func TestHistoryOfAKeyShowsAllThatIsKnown(t *testing.T) {
	t.Parallel()
	h := history("tok_visa", []paytest.Entry{effect(payment), effect(other)}, told(refused("conflict", "in_progress"), paid("replayed", payment)))
	h.Troubles = []chaos.Trouble{
		{Fault: chaos.Kill, Server: 2, PID: 4711, Began: 500 * time.Millisecond, Ended: 600 * time.Millisecond},
		{Fault: chaos.RedisPause, Server: -1, Began: time.Minute, Ended: time.Minute},
	}
	var out strings.Builder
	h.Print(&out, 0)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 6, "%s", &out)
	for i, want := range []string{"key 0 .*tok_visa", "in_progress", "kill of server 2 .pid 4711", "replayed 201 " + payment, payment, other} {
		assert.Regexp(t, want, lines[i])
	}
}
