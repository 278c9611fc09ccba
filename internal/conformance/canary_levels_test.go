package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// witness collects all that a guard tells others than the caller.
type witness struct {
	told   lockedBuffer // logs, hooks, and errors that the test adds
	logger *slog.Logger
}

func newWitness() *witness {
	w := new(witness)
	w.logger = slog.New(slog.NewTextHandler(&w.told, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return w
}

func (w *witness) options() []idempotency.Option {
	return []idempotency.Option{
		idempotency.WithLogger(w.logger),
		idempotency.WithTrace(idempotency.Trace{
			Finished:   func(_ context.Context, f idempotency.Finished) { w.hears("finished: %+v %v", f, f.Err) },
			LeaseLost:  func(l idempotency.LeaseLost) { w.hears("%+v", l) },
			LateEnding: func(l idempotency.LateEnding) { w.hears("%+v %v", l, l.Err) },
			Settled:    func(_ context.Context, s idempotency.Settled) { w.hears("%+v", s) },
		}),
	}
}

func (w *witness) hears(format string, args ...any) { fmt.Fprintf(&w.told, format+"\n", args...) }

// requireSilent asserts that what was told has all of some words and no canary.
func (w *witness) requireSilent(t *testing.T, guard *idempotency.Guard, expected ...string) {
	t.Helper()
	if guard != nil {
		stats, err := json.Marshal(guard.Stats())
		require.NoError(t, err)
		w.hears("%s", stats)
	}
	text := w.told.String()
	for _, word := range expected {
		assert.Contains(t, text, word, "it was told what happened")
	}
	assert.NotContains(t, text, "canary", around(text, "canary"))
}

func TestF83_A11_NothingOfACallIsToldOverGRPC(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it replays what the test has spoiled in Redis")
	w, srv := newWitness(), redistest.Start(t)
	s := newGRPC(t, grpcSetup{
		redis: srv.Client(t, withoutRetries), guard: append(w.options(), idempotency.WithStoreTimeout(time.Second)),
		create: func(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			_ = grpcgo.SetHeader(ctx, metadata.Pairs("x-answer", canaryResponseHeader))
			switch order.GetCurrency() {
			case "plain":
				return nil, errors.New(canaryResponse)
			case "released":
				return nil, status.Error(codes.Unavailable, canaryResponse)
			case "panic":
				panic(canaryResponse)
			}
			return &testpb.Receipt{Id: canaryResponse}, nil
		},
		outside: []grpcgo.UnaryServerInterceptor{
			func(ctx context.Context, req any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (_ any, err error) {
				defer func() {
					if recover() != nil {
						err = status.Error(codes.Internal, "panicked")
					}
				}()
				return handler(ctx, req)
			},
		},
	})
	ask := func(key, currency, note string) {
		got := s.create(t.Context(), key, &testpb.Order{Currency: currency, Note: &note}, "x-tenant", canaryScope, "x-secret", canaryRequestHeader)
		if _, ours := idempotencyReason(got.Status); ours {
			w.hears("refusal: %v %v", got.Status.Proto(), got.Trailer)
		}
	}
	for _, currency := range []string{"EUR", "plain", "released", "panic"} {
		for range 2 {
			ask(canaryKey+currency, currency, canaryRequest)
		}
		ask(canaryKey+currency, currency, canaryRequest+"'")
	}
	ask(canaryKey+","+canaryKey, "EUR", canaryRequest)
	ask("", "EUR", canaryRequest)
	for _, canary := range []string{canaryKey, canaryScope, canaryRequest, canaryRequestHeader, canaryResponseHeader} {
		assert.Empty(t, srv.Holding(canary), canary)
	}
	for _, name := range srv.Keys("*") {
		srv.Do("set", name, "foreign "+canaryResponse)
	}
	ask(canaryKey+"EUR", "EUR", canaryRequest)
	srv.Kill()
	ask(canaryKey+"down", "EUR", canaryRequest)
	w.requireSilent(t, s.Guard, "finished:", "OUTCOME_UNKNOWN", "IDEMPOTENCY_KEY_REUSED", "RECORD_UNREADABLE", "STORE_UNAVAILABLE", "KEY_INVALID")
}

// idempotencyReason tells the library's refusals from a handler's errors.
func idempotencyReason(st *status.Status) (reason string, ours bool) {
	text := fmt.Sprint(st.Proto())
	return text, strings.Contains(text, "idempotency.reprise-go.dev")
}

// stubborn cannot be encoded, and says what it holds.
type stubborn struct{ text string }

func (s stubborn) MarshalJSON() ([]byte, error) { return nil, errors.New("cannot write " + s.text) }
func (s *stubborn) UnmarshalJSON([]byte) error  { return errors.New("cannot read " + s.text) }

func TestF83_A11_NothingOfACallIsToldByFunctions(t *testing.T) {
	t.Parallel()
	w, srv := newWitness(), redistest.Start(t)
	guard := newService(t, setup{redis: srv.Client(t), guard: w.options()}).Guard
	request := func(key string, input any) idempotency.Request {
		return idempotency.Request{Operation: "orders.quiet", Scope: canaryScope, Key: canaryKey + key, Input: input}
	}
	hear := func(err error) {
		if told, ok := errors.AsType[*idempotency.Error](err); ok {
			w.hears("refusal: %v %+v", told, told)
		}
	}
	for range 2 {
		_, _, err := idempotency.Do(t.Context(), guard, request("-answer", canaryRequest), func(context.Context) (string, error) { return canaryResponse, nil })
		hear(err)
		_, _, err = idempotency.Do(t.Context(), guard, request("-plain", canaryRequest), func(context.Context) (string, error) { return "", errors.New(canaryResponse) })
		hear(err)
		_, _, err = idempotency.Do(t.Context(), guard, request("-final", canaryRequest), func(context.Context) (string, error) {
			return "", idempotency.Final(errors.New(canaryResponse))
		})
		hear(err)
		_, _, err = idempotency.Do(t.Context(), guard, request("-stubborn", canaryRequest), func(context.Context) (stubborn, error) { return stubborn{canaryResponse}, nil })
		hear(err)
	}
	_, _, err := idempotency.Do(t.Context(), guard, request("-answer", canaryRequest+"'"), func(context.Context) (string, error) { return "", nil })
	hear(err)
	_, _, err = idempotency.Do(t.Context(), guard, request("-answer", canaryRequest), func(context.Context) (time.Time, error) { return time.Time{}, nil })
	require.ErrorIs(t, err, idempotency.ErrResultUnavailable, "a time in a text that is none, which its error quotes")
	hear(err)
	_, _, err = idempotency.Do(t.Context(), guard, request("-input", stubborn{canaryRequest}), func(context.Context) (string, error) { return "", nil })
	require.ErrorIs(t, err, idempotency.ErrBodyUnreadable)
	hear(err)
	_, _, err = idempotency.Do(t.Context(), guard, request("-\xff", canaryRequest), func(context.Context) (string, error) { return "", nil })
	hear(err)
	w.requireSilent(t, guard, "idempotency_key_reused", "result_unavailable", "cannot be encoded", "request_body_unreadable", "idempotency_key_invalid")
}

func TestF83_A11_NothingOfATypedRequestIsTold(t *testing.T) {
	t.Parallel()
	type order struct {
		ID     string `json:"id" idempotency:"key"`
		Amount int8   `json:"amount"`
	}
	w := newWitness()
	s := newService(t, setup{guard: w.options()})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /typed", idemhttp.JSON(func(context.Context, order) (order, error) { return order{}, nil })))
	for _, body := range []string{
		`{"id":"` + canaryKey + `","amount":1}`,
		`{"id":"` + canaryKey + `","amount":2}`,
		`{"id":"` + canaryKey + `-2","amount":4711815}`,
		`{"id":"` + canaryKey + `-3","canary-member":1}`,
		`{"id":"` + canaryKey + `-4","amount":"canary"}`,
		`{"id":"` + canaryKey + `-5","canary`,
		`{"id":["canary"]}`,
		`{"id":"` + canaryKey + `\u0000"}`,
	} {
		send(t, s.Server.URL+"/typed", call{body: body, header: http.Header{"Content-Type": {"application/json"}}})
	}
	w.requireSilent(t, s.Guard, "finished:")
	assert.NotContains(t, w.told.String(), "4711815")
}

func TestF83_OperatorsSeeDigestsOnly(t *testing.T) {
	t.Parallel()
	w := newWitness()
	s := newService(t, setup{guard: w.options(), http: []idemhttp.Option{idemhttp.Scope(canaryTenant)}, handler: func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Set-Cookie", canaryCookie)
		if r.Header.Get("X-Do") == "fail" {
			_ = idempotency.MarkEffect(r.Context())
			rw.WriteHeader(http.StatusBadGateway)
		}
		_, _ = rw.Write([]byte(canaryResponse))
	}})
	for _, do := range []string{"answer", "fail"} {
		send(t, s.URL, call{key: canaryKey + do, body: canaryRequest, header: http.Header{"X-Do": {do}}})
	}
	admin := newAdmin(t, s, idemadmin.AllowSettling())
	shown := new(strings.Builder)
	show := func(path string, c call) {
		resp := send(t, admin+path, c)
		require.NotEqual(t, 404, resp.Status, path)
		fmt.Fprintf(shown, "%s: %d %v %s\n", path, resp.Status, resp.Header, resp.Body)
	}
	question, err := json.Marshal(map[string]string{"operation": "POST /orders", "scope": canaryScope, "key": canaryKey + "fail"})
	require.NoError(t, err)
	for _, accept := range []string{"text/html", "application/json"} {
		header := http.Header{"Accept": {accept}, "Content-Type": {"application/json"}}
		show("/", call{method: http.MethodGet, header: header})
		show("/records", call{method: http.MethodGet, header: header})
		show("/find", call{body: string(question), header: header})
	}
	var seen seenRecord
	require.NoError(t, json.Unmarshal([]byte(send(t, admin+"/find", call{body: string(question), header: http.Header{"Content-Type": {"application/json"}}}).Body), &seen))
	for _, accept := range []string{"text/html", "application/json"} {
		show("/records/"+seen.ID, call{method: http.MethodGet, header: http.Header{"Accept": {accept}}})
	}
	assert.Contains(t, shown.String(), seen.ID)
	assert.NotContains(t, shown.String(), "canary", around(shown.String(), "canary"))
	w.requireSilent(t, s.Guard, "finished:")
}

func TestF83_KeysOfLocksAreNotTold(t *testing.T) {
	t.Parallel()
	w, srv := newWitness(), redistest.Start(t)
	backend, err := redislock.New(srv.Client(t, withoutRetries, func(o *redis.Options) { o.ReadTimeout = time.Second }), redislock.Logger(w.logger))
	require.NoError(t, err)
	t.Cleanup(func() { _ = backend.Close() })
	locker, err := lock.New(backend, lock.Logger(w.logger), lock.LeaseTime(time.Second), lock.CallTimeout(300*time.Millisecond), lock.Observe(lock.Hooks{
		Acquired: func(_ context.Context, a lock.Acquisition) { w.hears("acquired: %+v", a) },
		Lost:     func(l lock.Loss) { w.hears("lost: %+v", l) },
		Released: func(r lock.Handback) { w.hears("released: %+v %v", r, r.Err) },
	}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = locker.Close() })
	take := func(key string) *lock.Lease {
		lease, err := locker.TryLock(t.Context(), key)
		w.hears("%v %+v", err, err)
		return lease
	}
	held := take(canaryKey)
	require.NotNil(t, held)
	w.hears("%v %+v", held, held)
	take(canaryKey)
	take("")
	take(strings.Repeat(canaryKey, 1000))
	w.hears("%v", take(canaryKey+"2").Release(t.Context()))
	for _, name := range srv.Keys("*") {
		srv.Do("set", name, "foreign")
	}
	take(canaryKey + "2")
	assert.Empty(t, srv.Holding("canary"))
	srv.Do("acl", "setuser", "default", "-evalsha", "-eval")
	take(canaryKey + "3")
	srv.Kill()
	take(canaryKey + "4")
	next(t, "the loss", held.Context().Done())
	w.hears("%v", context.Cause(held.Context()))
	w.hears("%v", held.Release(t.Context()))
	eventually(t, "the hook", func() bool { return strings.Contains(w.told.String(), "lost: ") })
	w.requireSilent(t, nil, "acquired: ", "released: ", "NOPERM", "lock is held")
}
