package redisstore

import (
	"context"
	"embed"
	"encoding/hex"
	"path"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

//go:embed lua/*.lua
var sources embed.FS

// scripts are the events as Redis runs them. Only data travels with a call.
type scripts struct {
	claim, renew, mark, complete, completeLarge, fail, release, settle *redis.Script
	lookup, inspect, probe, epoch                                      *redis.Script
}

func newScripts() scripts {
	return scripts{
		claim:         recordScript("claim"),
		renew:         recordScript("renew"),
		mark:          recordScript("mark"),
		complete:      recordScript("complete"),
		completeLarge: recordScript("complete_large"),
		fail:          recordScript("fail"),
		release:       recordScript("release"),
		settle:        recordScript("settle"),
		lookup:        redis.NewScript(source("lookup")),
		inspect:       redis.NewScript(source("inspect")),
		probe:         redis.NewScript(source("probe")),
		epoch:         redis.NewScript(source("epoch")),
	}
}

// recordScript returns a script that handles a record. The clock is read first;
// what all of them have in common comes where a script includes it, after what it
// can do without.
func recordScript(name string) *redis.Script {
	return redis.NewScript(source("clock") + strings.Replace(source(name), "-- include record\n", source("record"), 1))
}

func source(name string) string {
	text, _ := sources.ReadFile(path.Join("lua", name+".lua")) // embedded: it is there
	return string(text)
}

// run runs a script, and sends its text where a server does not know it.
func (s *Store) run(ctx context.Context, c redis.Scripter, sc *redis.Script, keys []string, args ...any) *redis.Cmd {
	return redisconn.Run(ctx, c, &s.counters.scriptLoads, sc, keys, args...)
}

// Words of scripts that are no verdict of the contract.
const (
	wordUnreadable = "unreadable"
	wordAgain      = "again" // send the answer through Lua
)

// Where the parts of a reply begin, "time owner event: verdict: detail".
const (
	ownerAt = numberWidth + 1
	eventAt = ownerAt + ownerWidth + 1
)

// parseReply reads what a script returned to an owner's event. Fields that the
// verdict does not name stay zero. The error is of type [unreadable] if the
// record is.
func parseReply(value any, event string, owner store.Owner) (store.Reply, error) {
	text, ok := value.(string)
	if !ok || len(text) < eventAt {
		return store.Reply{}, errReply
	}
	now, ok := digits(text[:numberWidth])
	if !ok {
		return store.Reply{}, errReply
	}
	said, err := addressed(text, event, owner)
	if err != nil {
		return store.Reply{}, err
	}
	word, detail, ok := strings.Cut(said, ": ")
	if !ok {
		return store.Reply{}, errReply
	}
	if word == wordUnreadable {
		return store.Reply{}, unreadable(detail)
	}
	r := store.Reply{Verdict: verdictOf(word), Now: store.Instant(now)}
	switch r.Verdict {
	case 0:
		return store.Reply{}, errReply
	case store.OtherAlgorithm:
		r.Algorithm = strings.TrimRight(detail, " ")
	case store.Recorded:
		return recorded(r, detail)
	case store.Claimed, store.InProgress, store.OutcomeUnknown:
		return describe(r, detail)
	case store.Ended, store.Mismatch, store.Done, store.Lost, store.Refused:
		// They say it all.
	}
	return r, nil
}

// digits reads a number of no more digits than [numberWidth].
func digits(text string) (n int64, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// addressed returns what a reply says, if it is one to this owner's event. An
// owner's own earlier reply, on a connection that has got out of step, may say
// 'done' as well.
func addressed(text, event string, owner store.Owner) (said string, err error) {
	var name [ownerWidth]byte
	hex.Encode(name[:], owner[:])
	said, ok := strings.CutPrefix(text[eventAt:], event)
	if text[ownerAt:eventAt-1] != string(name[:]) || !ok {
		return "", errForeignReply
	}
	if said, ok = strings.CutPrefix(said, ": "); !ok || text[ownerAt-1] != ' ' || text[eventAt-1] != ' ' {
		return "", errForeignReply
	}
	return said, nil
}

// parseRenewed reads the beginning of what renew returned; the lines of the records
// are left.
func parseRenewed(text string) (now store.Instant, lines string, err error) {
	const word = " renew:\n"
	if len(text) < numberWidth {
		return 0, "", errReply
	}
	n, ok := digits(text[:numberWidth])
	lines, named := strings.CutPrefix(text[numberWidth:], word)
	if !ok || !named {
		return 0, "", errForeignReply
	}
	return store.Instant(n), lines, nil
}

// parseRenewal reads the line of one record.
func parseRenewal(now store.Instant, line string, owner store.Owner) (store.Reply, error) {
	var name [ownerWidth]byte
	hex.Encode(name[:], owner[:])
	said, ok := strings.CutPrefix(line, string(name[:]))
	if !ok {
		return store.Reply{}, errForeignReply
	}
	switch said {
	case " done":
		return store.Reply{Verdict: store.Done, Now: now}, nil
	case " lost":
		return store.Reply{Verdict: store.Lost, Now: now}, nil
	}
	if field, bad := strings.CutPrefix(said, " unreadable: "); bad {
		return store.Reply{}, unreadable(field)
	}
	return store.Reply{}, errReply
}

// hasVerdict reports whether a reply to an event says a word, whoever it is for.
func hasVerdict(text, event, word string) bool {
	return len(text) > eventAt && strings.HasPrefix(text[eventAt:], event+": "+word+": ")
}

// startsAttempt reports that a script's reply to a claim is that it was won.
func startsAttempt(value any) bool {
	text, ok := value.(string)
	return !ok || hasVerdict(text, "claim", store.Claimed.String())
}

func verdictOf(word string) store.Verdict {
	for v := store.Claimed; v <= store.Refused; v++ {
		if v.String() == word {
			return v
		}
	}
	return 0
}

// describe fills in the attempt that the verdict speaks of.
func describe(r store.Reply, detail string) (store.Reply, error) {
	head, err := decodeHead([]byte(detail))
	if err != nil {
		return store.Reply{}, err // the head is the record's
	}
	r.Token, r.Attempt, r.Started = head.Token, head.Attempt, head.Started
	switch r.Verdict { //nolint:exhaustive // parseReply asks for these three only
	case store.Claimed:
		r.LeaseEnd, r.TookOver, r.Marked = head.LeaseEnd, head.TookOver, head.Marked
	case store.InProgress:
		r.LeaseEnd = head.LeaseEnd
	case store.OutcomeUnknown:
		r.Marked = head.Marked
	}
	return r, nil
}

// recorded fills in whose answer it is. The record comes behind it, with the rest.
func recorded(r store.Reply, detail string) (store.Reply, error) {
	if len(detail) != numberWidth {
		return store.Reply{}, unreadable("length")
	}
	token, ok := digits(detail)
	if !ok {
		return store.Reply{}, unreadable("number")
	}
	r.Token = store.Token(token)
	return r, nil
}

// expiry returns when a key with so many milliseconds left is gone.
func expiry(now store.Instant, ttl int64) (store.Instant, error) {
	switch ttl {
	case -2:
		return 0, errMoved // it came between the script and the GET
	case -1:
		return maxNumber, nil // somebody took the expiry off
	}
	return now.Add(time.Duration(ttl) * time.Millisecond), nil
}
