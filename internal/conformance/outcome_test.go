package conformance_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// answering returns a handler that answers what the header X-Answer says.
func answering(w http.ResponseWriter, r *http.Request) {
	status, _ := strconv.Atoi(r.Header.Get("X-Answer"))
	w.Header().Set("Location", "/there")
	w.WriteHeader(status)
	if status != 304 {
		_, _ = io.WriteString(w, "answer")
	}
}

func answer(key string, status int) call {
	return call{key: key, header: http.Header{"X-Answer": {strconv.Itoa(status)}}}
}

func TestO1_O2_O3_O4_O5_O6_WhichStatusesAreRecorded(t *testing.T) {
	t.Parallel()
	services := map[idempotency.RecordRule]*service{}
	for _, rule := range []idempotency.RecordRule{
		idempotency.RecordDeterministic, idempotency.RecordSuccess, idempotency.RecordAll,
	} {
		services[rule] = newService(t, setup{handler: answering, policy: idempotency.Policy{Record: rule}})
	}
	tests := []struct {
		id                          string
		statuses                    []int
		deterministic, success, all bool
	}{
		{"O1 server errors", []int{500, 502, 503, 504}, false, false, true},
		{"O3 business errors", []int{400, 402, 404, 409, 410, 422}, true, false, true},
		{"O4 may fare better", []int{401, 403, 408, 425, 429}, false, false, true},
		{"O6 redirects", []int{301, 303, 307}, true, true, true},
		{"successes", []int{200, 201, 202, 206}, true, true, true},
	}
	for _, test := range tests {
		recorded := map[idempotency.RecordRule]bool{
			idempotency.RecordDeterministic: test.deterministic,
			idempotency.RecordSuccess:       test.success,
			idempotency.RecordAll:           test.all,
		}
		for rule, want := range recorded {
			t.Run(test.id+" "+string(rule), func(t *testing.T) {
				t.Parallel()
				for _, status := range test.statuses {
					checkRecorded(t, services[rule], status, want)
				}
			})
		}
	}
}

func checkRecorded(t *testing.T, s *service, status int, recorded bool) {
	t.Helper()
	c := answer(newKey(), status)
	first := send(t, s.URL, c)
	second := send(t, s.URL, c)
	assert.Equal(t, status, first.Status)
	assert.Equal(t, status, second.Status)
	if recorded {
		requireExecuted(t, first)
		requireReplay(t, first, second)
		assert.Equal(t, "/there", second.Header.Get("Location"))
		return
	}
	for _, resp := range []response{first, second} {
		assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"), status)
		assert.Empty(t, resp.Header.Get("Idempotent-Replayed"), status)
	}
}

func TestO5_AfterARefusalTheHealedStateAnswers(t *testing.T) {
	t.Parallel()
	var healed atomic.Bool
	s := newService(t, setup{policy: idempotency.Policy{Record: idempotency.RecordSuccess},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			if !healed.Load() {
				w.WriteHeader(422)
			}
		}})
	c := call{key: newKey()}
	assert.Equal(t, 422, send(t, s.URL, c).Status)
	healed.Store(true)
	second := send(t, s.URL, c)
	assert.Equal(t, 200, second.Status)
	requireExecuted(t, second)
	requireReplay(t, second, send(t, s.URL, c))
	assert.Equal(t, 2, s.Runs())
}

// recovering stands outside, as a recovery middleware should.
func recovering(seen *atomic.Value) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if p := recover(); p != nil {
					stack := make([]byte, 16<<10)
					seen.Store(string(stack[:runtime.Stack(stack, false)]))
					w.WriteHeader(http.StatusInternalServerError)
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
}

func TestO7_PanicIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		orphan idempotency.Orphan
		mark   bool
		reruns bool
	}{
		{idempotency.OrphanRefuse, false, false},
		{idempotency.OrphanRerunUnmarked, false, true},
		{idempotency.OrphanRerunUnmarked, true, false},
		{idempotency.OrphanRerun, true, true},
	}
	for _, test := range tests {
		t.Run(string(test.orphan)+" marked "+strconv.FormatBool(test.mark), func(t *testing.T) {
			t.Parallel()
			var stack atomic.Value
			var panics atomic.Bool
			panics.Store(true)
			s := newService(t, setup{
				wrap:   recovering(&stack),
				policy: idempotency.Policy{Orphan: test.orphan},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if test.mark && panics.Load() {
						require.NoError(t, idempotency.MarkEffect(r.Context()))
					}
					if panics.Load() {
						panicOfTheHandler()
					}
					w.WriteHeader(201)
				},
			})
			c := call{key: newKey()}
			assert.Equal(t, 500, send(t, s.URL, c).Status)
			assert.Contains(t, stack.Load(), "panicOfTheHandler", "the stack is the panic's own")
			panics.Store(false)
			second := send(t, s.URL, c) // at once, not after the lease
			if test.reruns {
				requireExecuted(t, second)
				assert.Equal(t, 2, s.Runs())
				return
			}
			p := requireProblem(t, second, 409, "outcome_unknown")
			assert.False(t, *p.SafeNewKey)
			assert.Equal(t, "unknown", second.Header.Get("Idempotency-Status"))
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func panicOfTheHandler() { panic("handler failed") }

func TestO7_GoexitIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		// net/http does not survive a Goexit of its own goroutine.
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				done := make(chan bool, 1)
				go func() {
					returned := false
					defer func() { done <- returned }()
					next.ServeHTTP(w, r)
					returned = true
				}()
				if !<-done {
					w.WriteHeader(http.StatusBadGateway)
				}
			})
		},
		handler: func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
	})
	c := call{key: newKey()}
	assert.Equal(t, 502, send(t, s.URL, c).Status)
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
	assert.Equal(t, 1, s.Runs())
}

func TestO8_PanicAfterABodyIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{"panic": "late", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stack atomic.Value
			s := newService(t, setup{
				wrap: recovering(&stack),
				handler: func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(201)
					_, _ = io.WriteString(w, "half")
					panic(value)
				},
			})
			c := call{key: newKey()}
			first := send(t, s.URL, c)
			assert.Equal(t, 500, first.Status)
			assert.Empty(t, first.Body, "nothing of the half answer got out")
			requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestO10_ServerErrorAfterTheContextEndedIsUnknown(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 504} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{
				wrap: func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
						defer cancel()
						next.ServeHTTP(w, r.WithContext(ctx))
					})
				},
				handler: func(w http.ResponseWriter, r *http.Request) {
					<-r.Context().Done() // the route's deadline reaches the handler
					w.WriteHeader(status)
				},
			})
			c := call{key: newKey()}
			first := send(t, s.URL, c)
			assert.Equal(t, status, first.Status)
			assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))
			requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestO11_TheLibrarysOwnAnswersAreNotRecorded(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns, policy: idempotency.Policy{MaxRequestBody: 10, Record: idempotency.RecordAll}})
	key := newKey()
	requireProblem(t, send(t, s.URL, call{key: key, body: "longer than ten"}), 413, "request_body_too_large")
	requireProblem(t, send(t, s.URL, call{key: key, tenant: "none"}), 500, "scope_missing")
	requireProblem(t, send(t, s.URL, call{key: `"` + key}), 400, "idempotency_key_invalid")
	assert.Empty(t, srv.Keys(ns+":*"))
	first := send(t, s.URL, call{key: key, body: "B"})
	requireExecuted(t, first)
	requireProblem(t, send(t, s.URL, call{key: key, body: "B'"}), 422, "idempotency_key_reused")
	requireReplay(t, first, send(t, s.URL, call{key: key, body: "B"}))
	assert.Equal(t, 1, s.Runs())
}

func TestO12_TheHandlersWishesAreObeyed(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{
		namespace: ns,
		policy:    idempotency.Policy{MinRetention: time.Minute},
		handler: func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			switch r.Header.Get("X-Wish") {
			case "do not record":
				idempotency.DoNotRecord(ctx)
			case "release after the effect was marked":
				_ = idempotency.MarkEffect(ctx)
				idempotency.Release(ctx)
			case "do not record after the effect was marked":
				_ = idempotency.MarkEffect(ctx)
				idempotency.DoNotRecord(ctx)
			case "five minutes":
				assert.NoError(t, idempotency.RetainFor(ctx, 5*time.Minute))
				assert.Error(t, idempotency.RetainFor(ctx, time.Second), "below the policy's least")
			}
			w.WriteHeader(201)
		},
	})
	wish := func(wish string) call { return call{key: newKey(), header: http.Header{"X-Wish": {wish}}} }
	for _, w := range []string{"do not record", "release after the effect was marked"} {
		c := wish(w)
		for range 2 {
			assert.Equal(t, "unrecorded", send(t, s.URL, c).Header.Get("Idempotency-Status"), w)
		}
	}
	assert.Equal(t, 4, s.Runs())

	c := wish("do not record after the effect was marked")
	send(t, s.URL, c)
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")

	before := srv.Keys(ns + ":*")
	requireExecuted(t, send(t, s.URL, wish("five minutes")))
	rdb := srv.Client(t)
	for _, name := range srv.Keys(ns + ":*") {
		if !slices.Contains(before, name) {
			assert.InDelta(t, 5*time.Minute, rdb.PTTL(t.Context(), name).Val(), float64(10*time.Second))
		}
	}
}

func TestO13_ErrorAfterAMarkIsUnknown(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, idempotency.MarkEffect(r.Context()))
		w.WriteHeader(503)
	}})
	c := call{key: newKey()}
	assert.Equal(t, 503, send(t, s.URL, c).Status)
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
	assert.Equal(t, 1, s.Runs())
}

func TestFailureUnknownTakesEveryUnrecordedAnswerAsUnknown(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: answering, policy: idempotency.Policy{Failure: idempotency.FailureUnknown}})
	c := answer(newKey(), 502)
	assert.Equal(t, 502, send(t, s.URL, c).Status)
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
}
