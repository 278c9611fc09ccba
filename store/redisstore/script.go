package redisstore

import (
	"context"
	"embed"
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

// recordScript returns a script that handles a record: what those have in
// common, and then its own text.
func recordScript(name string) *redis.Script {
	return redis.NewScript(source("record") + source(name))
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

// answer is what a script returns about one record.
type answer struct {
	word   string
	now    store.Instant
	detail string // a record's head, an algorithm, or the field that is unreadable
}

// senderOf is what the reply to an owner's event names. The event is part of it
// because an owner's own earlier reply, on a connection that has got out of step,
// may say 'done' as well.
func senderOf(event string, owner store.Owner) string { return owner.String() + " " + event }

// parseReply reads what a script returned to what a sender sent. Fields that the
// verdict does not name stay zero. The error is of type [unreadable] if the
// record is.
func parseReply(value any, sender string) (store.Reply, error) {
	a, err := parseAnswer(value, sender)
	if err != nil {
		return store.Reply{}, err
	}
	if a.word == wordUnreadable {
		return store.Reply{}, unreadable(a.detail)
	}
	r := store.Reply{Verdict: a.verdict(), Now: a.now}
	switch r.Verdict {
	case 0:
		return store.Reply{}, errReply
	case store.OtherAlgorithm:
		r.Algorithm = strings.TrimRight(a.detail, " ")
	case store.Claimed, store.InProgress, store.OutcomeUnknown, store.Recorded:
		return a.describe(r)
	case store.Ended, store.Mismatch, store.Done, store.Lost, store.Refused:
		// They say it all.
	}
	return r, nil
}

// startsAttempt reports that a script's reply to a claim is that it was won.
func startsAttempt(value any) bool {
	parts, ok := value.([]any)
	return !ok || len(parts) == 0 || parts[0] == store.Claimed.String()
}

// parseAnswer also makes sure that the reply is not another request's.
func parseAnswer(value any, sender string) (answer, error) {
	parts, ok := value.([]any)
	if !ok || len(parts) != 4 {
		return answer{}, errReply
	}
	word, ok1 := parts[0].(string)
	now, ok2 := parts[1].(int64)
	addressee, ok3 := parts[2].(string)
	detail, ok4 := parts[3].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return answer{}, errReply
	}
	if addressee != sender {
		return answer{}, errForeignReply
	}
	return answer{word: word, now: store.Instant(now), detail: detail}, nil
}

func (a answer) verdict() store.Verdict {
	for v := store.Claimed; v <= store.Refused; v++ {
		if v.String() == a.word {
			return v
		}
	}
	return 0
}

// describe fills in the attempt that the verdict speaks of.
func (a answer) describe(r store.Reply) (store.Reply, error) {
	head, err := decodeHead([]byte(a.detail))
	if err != nil {
		return store.Reply{}, err // the head is the record's
	}
	r.Token, r.Attempt, r.Started = head.Token, head.Attempt, head.Started
	switch r.Verdict { //nolint:exhaustive // parseReply asks for these four only
	case store.Claimed:
		r.LeaseEnd, r.TookOver, r.Marked = head.LeaseEnd, head.TookOver, head.Marked
	case store.InProgress:
		r.LeaseEnd = head.LeaseEnd
	case store.OutcomeUnknown:
		r.Marked = head.Marked
	case store.Recorded:
		r.Finished = head.Finished
	}
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
