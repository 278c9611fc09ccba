package conformance_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// door is a service as two callers meet it, over either transport.
type door struct {
	srv  *redistest.Server
	line *faultproxy.Proxy
	// ask sends a request of a caller, "one" or "two", and returns all that the
	// caller sees of the answer. What it asks for is in the fingerprint.
	ask func(caller, key, do string) any
	// id names the first caller's record of a key.
	id      func(key string) store.ID
	blocked chan struct{} // a handler has begun to block
}

const (
	foreignNamespace = "foreign"
	lapse            = 100 * time.Millisecond
)

// do is what the handlers of all doors do.
func (d *door) do(ctx context.Context, what string) (failed bool) {
	switch what {
	case "block":
		d.blocked <- struct{}{}
		<-ctx.Done()
	case "mark and fail":
		_ = idempotency.MarkEffect(ctx)
		return true
	case "fail":
		return true
	}
	return false
}

// doors are made anew for each test, whose end lets blocked handlers go.
func doors() map[string]func(t *testing.T) *door {
	return map[string]func(t *testing.T) *door{"HTTP": httpDoor, "gRPC": grpcDoor}
}

func newDoor(t *testing.T) (*door, *redis.Client) {
	t.Helper()
	d := &door{srv: redistest.Start(t), blocked: make(chan struct{}, 1)}
	loadScripts(t, d.srv)
	d.line = faultproxy.Start(t, d.srv.Addr())
	return d, d.srv.Client(t, func(o *redis.Options) { o.Addr = d.line.Addr() })
}

// settled waits for the look that a new guard takes at its store.
func (d *door) settled(t *testing.T) *door {
	t.Helper()
	eventually(t, "the check of the store", func() bool { return d.line.Requests()["unsubscribe"] == 1 })
	return d
}

func httpDoor(t *testing.T) *door {
	t.Helper()
	d, rdb := newDoor(t)
	ctx := t.Context()
	s := newService(t, setup{redis: rdb, namespace: foreignNamespace, handler: func(w http.ResponseWriter, r *http.Request) {
		do, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/orders/1")
		if d.do(join(r.Context(), ctx), string(do)) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "answer")
	}})
	d.ask = func(caller, key, do string) any {
		resp, err := trySend(t, s.URL, call{key: key, tenant: caller, body: do})
		delete(resp.Header, "Date")
		delete(resp.Header, "Idempotency-Recorded-At")
		return fmt.Sprintf("%+v %v", resp, err)
	}
	d.id = func(key string) store.ID { return store.NewID("tenant-one", "POST /orders", key) }
	return d.settled(t)
}

func grpcDoor(t *testing.T) *door {
	t.Helper()
	d, rdb := newDoor(t)
	ctx := t.Context()
	s := newGRPC(t, grpcSetup{redis: rdb, namespace: foreignNamespace,
		create: func(handling context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			if d.do(join(handling, ctx), order.GetNote()) {
				return nil, status.Error(codes.Unavailable, "failed")
			}
			return &testpb.Receipt{Id: "answer"}, nil
		}})
	d.ask = func(caller, key, do string) any {
		got := s.create(ctx, key, &testpb.Order{Note: &do}, "x-tenant", caller)
		delete(got.Header, "idempotency-recorded-at")
		delete(got.Trailer, "grpc-status-details-bin") // the status again, its maps in any order
		return fmt.Sprintf("%v %v %v %v", got.Receipt, got.Status.Proto(), map[string][]string(got.Header), map[string][]string(got.Trailer))
	}
	d.id = func(key string) store.ID {
		return store.NewID("one", "reprise.test.v1.Orders/Create", key)
	}
	return d.settled(t)
}

// join returns a context with the values of the first that ends with either.
func join(ctx, other context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(other, cancel)
	return ctx
}

// leave makes the first caller leave a record in a state.
func (d *door) leave(t *testing.T, key, do string) {
	t.Helper()
	switch do {
	case "block":
		go d.ask("one", key, do)
		next(t, "the handler", d.blocked)
	case "lapse":
		_, err := openRedis(t, d.srv.Client(t), foreignNamespace).Apply(t.Context(), d.id(key), store.Claim{
			Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
			Scope: store.NewScopeDigest("one"), Operation: "op", Lease: lapse, Retention: time.Hour,
		})
		require.NoError(t, err)
		time.Sleep(2 * lapse) // by the server's clock, which is real
	case "spoil":
		d.srv.Do("set", recordName(foreignNamespace, d.id(key)), "no record")
	default:
		d.ask("one", key, do)
	}
	require.NotEmpty(t, d.srv.Keys(recordName(foreignNamespace, d.id(key))), "there is a record")
}

// trail is all that a caller, or somebody who watches Redis, sees of a request.
type trail struct {
	answer   any
	packets  [][]string // each round trip's commands
	executed []string   // by Redis, with all words, those in scripts included
}

// drawn is what differs from one request to the next, whatever it asks for: token,
// times and owner in a record's head, and digests. State, flags and attempt stay.
var drawn = regexp.MustCompile(`(RPR1[A-Z]\d{4})\d{16}(\d{8})[0-9a-f]+|[0-9a-f]{16,}`)

func (d *door) look(m *redistest.Monitor, key, do string) trail {
	d.line.ResetCounts()
	m.Commands() // what was before
	seen := trail{answer: d.ask("two", key, do), packets: d.line.Packets()}
	for _, command := range m.Commands() {
		seen.executed = append(seen.executed, drawn.ReplaceAllString(command, "$1 $2 …"))
	}
	return seen
}

// TestA2_F69_F70_ForeignKeyLooksLikeAnUnusedOne lets P2 use a key that P1 has used,
// in every state that P1's record can be in, and compares with a key that nobody has
// used: answers, round trips, and what Redis does.
func TestA2_F69_F70_ForeignKeyLooksLikeAnUnusedOne(t *testing.T) {
	t.Parallel()
	for _, state := range []struct{ name, do string }{
		{"running", "block"},
		{"completed", "answer"},
		{"unknown", "mark and fail"},
		{"lapsed", "lapse"},
		{"released", "fail"},
		{"unreadable", "spoil"},
	} {
		for transport, open := range doors() {
			t.Run(state.name+" over "+transport, func(t *testing.T) {
				t.Parallel()
				d := open(t)
				foreign, unused := newKey(), newKey()
				d.leave(t, foreign, state.do)
				monitor := d.srv.Monitor()
				d.look(monitor, newKey(), "answer")                        // connections are there after this
				for _, do := range []string{"answer", "answer", "other"} { // first use, duplicate, mismatch
					want, got := d.look(monitor, unused, do), d.look(monitor, foreign, do)
					assert.Equal(t, want, got)
					assert.NotEmpty(t, want.packets)
					assert.NotEmpty(t, want.executed)
				}
			})
		}
	}
}

// The comparison would see a leak: within one scope the same key is told apart.
func TestF69_OwnKeyDoesNotLookLikeAnUnusedOne(t *testing.T) {
	t.Parallel()
	for transport, open := range doors() {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			used, unused := newKey(), newKey()
			d.ask("two", used, "answer")
			monitor := d.srv.Monitor()
			want, got := d.look(monitor, unused, "answer"), d.look(monitor, used, "answer")
			assert.NotEqual(t, want.answer, got.answer)
			assert.NotEqual(t, want.packets, got.packets)
			assert.NotEqual(t, want.executed, got.executed)
		})
	}
}
