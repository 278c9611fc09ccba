package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/redislock"
)

// publishedUser is the user of a lock in the ACL file that the documentation has.
const (
	publishedUser = "reprise-lock"
	publishedPass = "x"
)

// publishedUsers returns that file, with a password that is known in place of the
// one that nobody knows.
func publishedUsers(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../idempotency/docs/users.acl")
	require.NoError(t, err)
	nobodys := "#" + strings.Repeat("0", 64)
	require.Contains(t, string(text), "user "+publishedUser+" on "+nobodys+" ")
	return strings.ReplaceAll(string(text), nobodys, ">"+publishedPass)
}

// publishedRights returns what the user of a lock is given there.
func publishedRights(t *testing.T) []string {
	t.Helper()
	_, rules, found := strings.Cut(publishedUsers(t), "user "+publishedUser+" on >"+publishedPass+" ")
	require.True(t, found)
	rules, _, _ = strings.Cut(rules, "\n")
	return strings.Fields(rules)
}

func asPublishedUser(o *redis.Options) {
	o.Username, o.Password, o.MaxRetries = publishedUser, publishedPass, -1
}

// F40: under the published rights every rule of a backend holds, and waiters are told.
func TestF40_SuiteUnderThePublishedRights(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.ACLFile(publishedUsers(t)))
	b := open(t, srv.Client(t, asPublishedUser))
	locktest.Run(t, func(*testing.T) locktest.Harness { return locktest.Harness{Backend: b, Fenced: true} })
	assert.Zero(t, b.Stats().ListenFailures)
}

// F40: of the published rights none is too much. Without it something fails, or is
// denied and takes a longer way.
func TestF40_EachPublishedRightIsNeeded(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.ACLFile(publishedUsers(t)))
	words := publishedRights(t)
	require.Empty(t, rehearse(t, srv, publishedUser), "with all rights")
	require.Empty(t, srv.Do("acl", "log"), "with all rights")
	needed := 0
	for i, word := range words {
		if strings.HasPrefix(word, "reset") || word == "-@all" {
			continue
		}
		user := fmt.Sprint("without-", i)
		setUser := []any{"acl", "setuser", user, "on", ">" + publishedPass}
		for _, rule := range slices.Delete(slices.Clone(words), i, i+1) {
			setUser = append(setUser, rule)
		}
		srv.Do(setUser...)
		srv.Do("acl", "log", "reset")
		troubles := rehearse(t, srv, user)
		assert.False(t, len(troubles) == 0 && len(srv.Do("acl", "log").([]any)) == 0, "%s is not needed", word)
		needed++
	}
	assert.Equal(t, 17, needed)
}

// rehearse does with a backend what lockers do with it, as a user and on another
// database than the first, and returns what did not go as it should.
func rehearse(t *testing.T, srv *redistest.Server, user string) (troubles []string) {
	t.Helper()
	srv.ScriptFlush()
	b := open(t, srv.Client(t, asPublishedUser, func(o *redis.Options) { o.DB, o.Username = 1, user }))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	expect := func(ok bool, what string, err error) {
		if err != nil || !ok {
			troubles = append(troubles, fmt.Sprint(what, " ", err))
		}
	}
	h := newHold()
	reply, err := b.Acquire(ctx, h.id, h.claim)
	expect(reply.Verdict == lock.Acquired, "acquire", err)
	renewed := b.Renew(ctx, []lock.Renewal{h.renewal()})
	expect(!renewed[0].Lost, "renew", renewed[0].Err)
	foreign := newHold() // what is no lock is told from what is not there
	empty := srv.Client(t, func(o *redis.Options) { o.DB = 1 })
	require.NoError(t, empty.Set(ctx, foreign.key(), "", 0).Err())
	_, err = b.Acquire(ctx, foreign.id, foreign.claim)
	expect(errors.Is(err, redislock.ErrUnreadable), fmt.Sprint("an empty value ", err), nil)
	if len(troubles) > 0 {
		return troubles // the rest needs the same, and more
	}

	watch, stopped := b.Watch(h.id), b.Watch(newHold().id)
	defer watch.Close()
	told := func(what string, w lock.Watch) {
		for b.Stats().ListenFailures == 0 && ctx.Err() == nil {
			select {
			case <-w.Signals():
				return
			case <-time.After(5 * time.Millisecond): // look for failures again
			}
		}
		expect(false, what, ctx.Err())
	}
	told("subscribed", watch)
	told("subscribed", stopped)
	waiter := h.rival()
	waiter.claim.Wait = true
	reply, err = b.Acquire(ctx, waiter.id, waiter.claim)
	expect(reply.Verdict == lock.Held, "wait", err)
	held, err := b.Release(ctx, h.id, h.claim.Owner)
	expect(held, "release", err)
	told("told of the release", watch)
	stopped.Close()
	for b.Stats().ListenFailures == 0 && ctx.Err() == nil {
		if len(srv.Do("pubsub", "channels").([]any)) == 1 {
			break
		}
	}
	// Then nothing comes, and the connection is asked whether it is alive.
	for b.Stats().ListenFailures == 0 && ctx.Err() == nil {
		if redistest.HasPinged(srv.Do("client", "list", "type", "pubsub").(string), user) {
			return troubles
		}
		time.Sleep(5 * time.Millisecond)
	}
	expect(false, "unsubscribed, and a pulse", ctx.Err())
	return troubles
}
