package redisstore

import (
	"context"
	"embed"
	"path"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

//go:embed lua/*.lua
var sources embed.FS

// scripts are the events as Redis runs them. Only data travels with a call.
type scripts struct {
	claim, renew, mark, complete, completeLarge, fail, release, settle *redis.Script
	lookup, probe                                                      *redis.Script
}

func newScripts() scripts {
	return scripts{
		claim:         script("claim"),
		renew:         script("renew"),
		mark:          script("mark"),
		complete:      script("complete"),
		completeLarge: script("complete_large"),
		fail:          script("fail"),
		release:       script("release"),
		settle:        script("settle"),
		lookup:        script("lookup"),
		probe:         script("probe"),
	}
}

func script(name string) *redis.Script {
	text, _ := sources.ReadFile(path.Join("lua", name+".lua")) // embedded: it is there
	return redis.NewScript(string(text))
}

// run runs a script. A server that does not know it, because it has been
// started, flushed or promoted since, gets its text, once.
func (s *Store) run(ctx context.Context, c redis.Scripter, sc *redis.Script, keys []string, args ...any) *redis.Cmd {
	cmd := sc.EvalSha(ctx, c, keys, args...)
	if !noScript(cmd.Err()) {
		return cmd
	}
	s.counters.scriptLoads.Add(1)
	return sc.Eval(ctx, c, keys, args...)
}

// runAndGet runs a script and then GETs its key, in one round trip. The two are
// not atomic: callers check that they speak of the same record. go-redis does
// not resend an unknown script inside a pipeline, so that is done here.
func (s *Store) runAndGet(ctx context.Context, sc *redis.Script, key string, args ...any) (*redis.Cmd, *redis.StringCmd) {
	reply, body := s.pipeGet(ctx, sc.EvalSha, key, args)
	if noScript(reply.Err()) {
		s.counters.scriptLoads.Add(1)
		reply, body = s.pipeGet(ctx, sc.Eval, key, args)
	}
	return reply, body
}

type runner func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (s *Store) pipeGet(ctx context.Context, run runner, key string, args []any) (*redis.Cmd, *redis.StringCmd) {
	pipe := s.rdb.Pipeline()
	reply := run(ctx, pipe, []string{key}, args...)
	body := pipe.Get(ctx, key)
	_, _ = pipe.Exec(ctx) // each command has its own error
	return reply, body
}

// answer is what a script returns about one record.
type answer struct {
	verdict string
	now     store.Instant
	detail  string // a record's head, an algorithm, or the field that is unreadable
}

// Verdicts of scripts that are none of the contract's.
const (
	verdictUnreadable = "unreadable"
	verdictAgain      = "again" // send the answer through Lua
)

// answerOf reads the reply of a script to an owner's event.
func answerOf(reply any, owner store.Owner) (answer, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) != 4 {
		return answer{}, errReply
	}
	verdict, ok1 := parts[0].(string)
	now, ok2 := parts[1].(int64)
	asker, ok3 := parts[2].(string)
	detail, ok4 := parts[3].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return answer{}, errReply
	}
	if asker != owner.String() {
		return answer{}, errForeignReply
	}
	return answer{verdict: verdict, now: store.Instant(now), detail: detail}, nil
}

// reply turns an answer into the contract's. Fields that the verdict does not
// name stay zero.
func (a answer) reply() (store.Reply, error) {
	verdict := a.verdictOf()
	r := store.Reply{Verdict: verdict, Now: a.now}
	switch verdict {
	case store.Claimed, store.InProgress, store.OutcomeUnknown, store.Recorded:
		return r, a.describe(&r)
	case store.OtherAlgorithm:
		r.Algorithm = strings.TrimRight(a.detail, " ")
	case 0:
		return store.Reply{}, errReply
	}
	return r, nil
}

func (a answer) verdictOf() store.Verdict {
	for v := store.Claimed; v <= store.Refused; v++ {
		if v.String() == a.verdict {
			return v
		}
	}
	return 0
}

// describe fills in the attempt that the verdict speaks of.
func (a answer) describe(r *store.Reply) error {
	head, err := decodeHead([]byte(a.detail))
	if err != nil {
		return errReply
	}
	r.Token, r.Attempt, r.Started = head.Token, head.Attempt, head.Started
	switch r.Verdict {
	case store.Claimed:
		r.LeaseEnd, r.TookOver, r.Marked = head.LeaseEnd, head.TookOver, head.Marked
	case store.InProgress:
		r.LeaseEnd = head.LeaseEnd
	case store.OutcomeUnknown:
		r.Marked = head.Marked
	case store.Recorded:
		r.Finished = head.Finished
	}
	return nil
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
