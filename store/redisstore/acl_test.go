package redisstore_test

import (
	"context"
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
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/storetest"
)

// publishedUser is the user of a store in the ACL file that the documentation has.
const (
	publishedUser = "reprise-store"
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

// publishedRights returns what the user of a store may do, and what it is not given.
func publishedRights(t *testing.T) (rights, resets []string) {
	t.Helper()
	for line := range strings.Lines(publishedUsers(t)) {
		rules, ok := strings.CutPrefix(line, "user "+publishedUser+" on >"+publishedPass+" ")
		if !ok {
			continue
		}
		for rule := range strings.FieldsSeq(rules) {
			if strings.HasPrefix(rule, "reset") || rule == "-@all" {
				resets = append(resets, rule)
				continue
			}
			rights = append(rights, rule)
		}
	}
	require.NotEmpty(t, rights)
	return rights, resets
}

// documentedRights are what such a user is given in all.
func documentedRights(t *testing.T) []string {
	rights, resets := publishedRights(t)
	return slices.Concat(resets, rights)
}

func asPublishedUser(o *redis.Options) {
	o.Username, o.Password, o.MaxRetries = publishedUser, publishedPass, -1
}

// F40: under the published rights every rule of a store holds.
func TestF40_SuiteUnderThePublishedRights(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.ACLFile(publishedUsers(t)))
	root := srv.Client(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Harness{
			Store: newStore(t, srv.Client(t, asPublishedUser)),
			Forget: func(id store.ID) {
				require.NoError(t, root.Del(t.Context(), recordKey(redisstore.DefaultNamespace, id)).Err())
			},
		}
	}, storetest.InParallel())
}

// F40: of the published rights none is too much. Without it, something of what a
// store does fails, or takes a longer way.
func TestF40_EachPublishedRightIsNeeded(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.ACLFile(publishedUsers(t)))
	rights, resets := publishedRights(t)
	require.Empty(t, rehearse(t, srv, publishedUser), "with all rights")
	for i, right := range rights {
		user := fmt.Sprint("without-", i)
		words := []any{"acl", "setuser", user, "on", ">" + publishedPass}
		for _, rule := range slices.Concat(resets, rights[:i], rights[i+1:]) {
			words = append(words, rule)
		}
		srv.Do(words...)
		assert.NotEmpty(t, rehearse(t, srv, user), "%s is not needed", right)
	}
}

// rehearse does with a store what processes do with it, as a user and on another
// database than the first, and returns what did not go as it should.
func rehearse(t *testing.T, srv *redistest.Server, user string) (troubles []string) {
	t.Helper()
	srv.ScriptFlush()
	other := func(o *redis.Options) { o.DB = 1 }
	rdb := srv.Client(t, asPublishedUser, other, func(o *redis.Options) { o.Username = user })
	p := &rehearsal{t: t, s: newStore(t, rdb), root: srv.Client(t, other), user: user}
	p.endings()
	if len(p.troubles) == 0 { // the rest needs the same, and more
		p.questions()
		p.notifications()
	}
	return p.troubles
}

type rehearsal struct {
	t        *testing.T
	s        *redisstore.Store
	root     *redis.Client
	user     string // empty on a cluster: one node's list of clients does not tell
	troubles []string
}

func (p *rehearsal) expect(ok bool, what string, err error) {
	if err != nil || !ok {
		p.troubles = append(p.troubles, fmt.Sprint(what, " ", err))
	}
}

func (p *rehearsal) apply(r *request, event store.Event, want store.Verdict) store.Reply {
	reply, err := p.s.Apply(p.t.Context(), r.id, event)
	p.expect(reply.Verdict == want, event.Name(), err)
	return reply
}

func (p *rehearsal) claimed() *request {
	r := newRequest(p.t)
	r.reply = p.apply(r, r.claim, store.Claimed)
	return r
}

// endings leads attempts to every end.
func (p *rehearsal) endings() {
	done, answer := p.claimed(), answerOf("x")
	renewed := p.s.Renew(p.t.Context(), []store.Renewal{{ID: done.id, Renew: done.renew()}})
	p.expect(renewed[0].Reply.Verdict == store.Done, "renew", renewed[0].Err)
	p.apply(done, done.mark(), store.Done)
	p.apply(done, done.complete(answer), store.Done)
	p.apply(done, done.duplicate().claim, store.Recorded)
	p.apply(done, done.erase(), store.Done)

	large := p.claimed()
	p.apply(large, large.complete(bodyOf(64<<10)), store.Done)
	late := large.duplicate() // its answer came too late, and nothing of it stays
	p.apply(large, late.complete(bodyOf(64<<10)), store.Refused)
	left, err := p.root.Keys(p.t.Context(), "*:"+late.claim.Owner.String()).Result()
	p.expect(len(left) == 0, "left behind", err)
	p.expect(p.s.Stats().LargeFallbacks == 0, "through Lua", nil)

	kept := p.claimed() // an operator keeps it for good
	require.NoError(p.t, p.root.Persist(p.t.Context(), recordKey(redisstore.DefaultNamespace, kept.id)).Err())
	p.apply(kept, kept.mark(), store.Done)

	for _, end := range []func(*request) store.Event{
		func(r *request) store.Event { return r.fail() },
		func(r *request) store.Event { return r.release() },
		func(r *request) store.Event { return r.settle(&answer) },
	} {
		r := p.claimed()
		p.apply(r, end(r), store.Done)
	}
}

// questions asks about a record in every way.
func (p *rehearsal) questions() {
	r := p.claimed()
	_, err := p.s.Lookup(p.t.Context(), r.id)
	p.expect(true, "lookup", err)
	_, err = p.s.Inspect(p.t.Context(), r.id)
	p.expect(true, "inspect", err)
	_, err = p.s.List(p.t.Context(), "", 1000)
	p.expect(true, "list", err)
}

// notifications has one wait for another, and stop waiting.
func (p *rehearsal) notifications() {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	told := func(w store.Watch, what string) {
		for p.s.Stats().ListenFailures == 0 && ctx.Err() == nil {
			select {
			case <-w.Signals():
				return
			case <-time.After(5 * time.Millisecond): // look for failures again
			}
		}
		p.expect(false, what, ctx.Err())
	}
	r, left := p.claimed(), newRequest(p.t)
	watch, stopped := p.s.Watch(r.id), p.s.Watch(left.id)
	defer watch.Close()
	told(watch, "subscribed")
	told(stopped, "subscribed")
	waiter := r.duplicate()
	waiter.claim.Wait = true
	p.apply(r, waiter.claim, store.InProgress)
	p.apply(r, r.complete(answerOf("x")), store.Done)
	told(watch, "told of the end")
	stopped.Close()
	for p.s.Stats().ListenFailures == 0 && ctx.Err() == nil {
		// One is left, the other is not: the connection is there still.
		heard, err := p.root.PubSubChannels(ctx, "*").Result()
		if err == nil && slices.Equal(heard, []string{recordKey(redisstore.DefaultNamespace, r.id)}) {
			if p.user != "" {
				p.pulse(ctx)
			}
			return
		}
	}
	p.expect(false, "unsubscribed", ctx.Err())
}

// pulse waits until the connection is asked whether it is alive, since nothing comes.
func (p *rehearsal) pulse(ctx context.Context) {
	for p.s.Stats().ListenFailures == 0 && ctx.Err() == nil {
		list, err := p.root.Do(ctx, "client", "list", "type", "pubsub").Text()
		if err == nil && redistest.HasPinged(list, p.user) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.expect(false, "pulse", ctx.Err())
}

// F40: a cluster's client asks for the map of slots before anything else, and for
// the commands before each of its calls if it is not told them. (It says ASKING only
// while a slot moves.)
func TestF40_RightsOnACluster(t *testing.T) {
	t.Parallel()
	_, srv := startCluster(t)
	rights, resets := publishedRights(t)
	refused := func(user string, more ...string) (troubles, denied []string) {
		words := []any{"acl", "setuser", user, "on", ">" + publishedPass}
		for _, rule := range slices.Concat(resets, rights, more) {
			words = append(words, rule)
		}
		srv.Do(words...)
		srv.Do("acl", "log", "reset")
		rdb := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{srv.Addr()}, ContextTimeoutEnabled: true, MaxRedirects: -1, Username: user, Password: publishedPass,
		})
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		p := &rehearsal{t: t, s: newStore(t, rdb), root: srv.Client(t)}
		p.endings()
		p.questions()
		p.notifications()
		for _, entry := range srv.Do("acl", "log").([]any) {
			denied = append(denied, entry.(map[any]any)["object"].(string))
		}
		return p.troubles, denied
	}
	troubles, denied := refused("all", "+cluster|slots", "+command", "+asking")
	assert.Empty(t, troubles)
	assert.Empty(t, denied)
	troubles, _ = refused("no-map", "+command", "+asking")
	assert.NotEmpty(t, troubles)
	_, denied = refused("no-commands", "+cluster|slots", "+asking")
	assert.Equal(t, []string{"command"}, denied)

	page, err := os.ReadFile("../../idempotency/docs/operating.md")
	require.NoError(t, err)
	assert.Contains(t, string(page), "`+cluster|slots +command +asking`")
}
