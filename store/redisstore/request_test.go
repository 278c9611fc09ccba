package redisstore_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	canaryScope = "tenant-canary-4711"
	canaryKey   = "key-canary-0815"
	operation   = "payments.create"
)

// request plays one request: its record, its claim, and what it learned when
// it won.
type request struct {
	id    store.ID
	claim store.Claim
	reply store.Reply
}

// newRequest returns a request on a record of its own.
func newRequest(t testing.TB) *request {
	owner := store.NewOwner()
	return &request{
		id: store.NewID(canaryScope, operation, fmt.Sprint(canaryKey, t.Name(), owner)),
		claim: store.Claim{
			Owner:       owner,
			Fingerprint: store.Fingerprint{Algorithm: "sha256-1", Sum: [32]byte{1, 2, 3}},
			Scope:       store.NewScopeDigest(canaryScope),
			Operation:   operation,
			Lease:       30 * time.Second,
			Retention:   time.Hour,
		},
	}
}

// duplicate returns another request with the same key.
func (r *request) duplicate() *request {
	d := *r
	d.claim.Owner, d.reply = store.NewOwner(), store.Reply{}
	return &d
}

func (r *request) attempt() store.Attempt {
	return store.Attempt{
		Owner:       r.claim.Owner,
		Token:       r.reply.Token,
		Number:      r.reply.Attempt,
		Lease:       r.claim.Lease,
		Fingerprint: r.claim.Fingerprint,
		Scope:       r.claim.Scope,
		Operation:   r.claim.Operation,
		Started:     r.reply.Started,
		Retention:   r.claim.Retention,
	}
}

func (r *request) adoption() store.Adoption {
	return store.Adoption{Confirmed: r.reply.Now, Within: r.claim.Retention}
}

func (r *request) complete(answer store.Answer) store.Complete {
	return store.Complete{Attempt: r.attempt(), Adoption: r.adoption(), Answer: answer}
}

func (r *request) fail() store.Fail {
	return store.Fail{Attempt: r.attempt(), Adoption: r.adoption()}
}

func (r *request) release() store.Release { return store.Release{Attempt: r.attempt()} }

func (r *request) mark() store.Mark { return store.Mark{Owner: r.claim.Owner} }

func (r *request) renew() store.Renew {
	return store.Renew{Owner: r.claim.Owner, Lease: r.claim.Lease, Retention: r.claim.Retention}
}

// settle decides about the attempt that the request was told of.
func (r *request) settle(answer *store.Answer) store.Settle {
	return store.Settle{
		Owner: store.NewOwner(), Token: r.reply.Token, Retention: r.claim.Retention, Answer: answer, Running: true,
	}
}

// erase takes back the answer of the attempt that the request was told of.
func (r *request) erase() store.Settle {
	settle := r.settle(nil)
	settle.Running, settle.Erase = false, true
	return settle
}

// claims sends the claim, wants that verdict and keeps the reply.
func (r *request) claims(t testing.TB, s *redisstore.Store, want store.Verdict) store.Reply {
	t.Helper()
	reply, err := s.Apply(t.Context(), r.id, r.claim)
	require.NoError(t, err)
	require.Equal(t, want, reply.Verdict)
	r.reply = reply
	return reply
}

// applies sends an event and wants that verdict.
func (r *request) applies(t testing.TB, s *redisstore.Store, event store.Event, want store.Verdict) {
	t.Helper()
	reply, err := s.Apply(t.Context(), r.id, event)
	require.NoError(t, err)
	require.Equal(t, want, reply.Verdict)
}

// replays claims as a duplicate and wants exactly that answer.
func (r *request) replays(t testing.TB, s *redisstore.Store, want store.Answer) {
	t.Helper()
	reply, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
	require.NoError(t, err)
	require.Equal(t, store.Recorded, reply.Verdict)
	require.True(t, bytes.Equal(want.Body, reply.Answer.Body), "the body is another")
	require.Equal(t, want.Meta, reply.Answer.Meta)
	require.Equal(t, want.Codec, reply.Answer.Codec)
}

func answerOf(body string) store.Answer {
	return store.Answer{Codec: "http1", Meta: []byte("201 Created"), Body: []byte(body)}
}

// bodyOf returns an answer with a binary body of so many bytes.
func bodyOf(size int) store.Answer {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * 31)
	}
	return store.Answer{Codec: "http1", Meta: []byte("200 OK"), Body: body}
}

func recordKey(namespace string, id store.ID) string { return namespace + ":{" + id.String() + "}" }
