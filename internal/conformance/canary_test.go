package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Strings that are nowhere else, so that finding one tells where it leaked from.
const (
	canaryKey            = "canary-key-7f31"
	canaryScope          = "canary-scope-7f32"
	canaryRequest        = "canary-request-body-7f33"
	canaryRequestHeader  = "canary-request-header-7f34"
	canaryResponse       = "canary-response-body-7f35"
	canaryResponseHeader = "canary-response-header-7f36"
	canaryCookie         = "canary-cookie-7f37"
	canaryRecorded       = "canary-recorded-header-7f38"
)

// aviary is a service through which canaries fly, and all places in which they
// must not be seen.
type aviary struct {
	t        *testing.T
	srv      *redistest.Server
	line     *faultproxy.Proxy
	s        *service
	log      *lockedBuffer
	traced   *lockedBuffer
	problems *lockedBuffer
	started  chan struct{}
	goOn     chan struct{}
}

func newAviary(t *testing.T) *aviary {
	t.Helper()
	a := &aviary{
		t: t, srv: redistest.Start(t, redistest.AOF()),
		log: new(lockedBuffer), traced: new(lockedBuffer), problems: new(lockedBuffer),
		started: make(chan struct{}, 100), goOn: make(chan struct{}),
	}
	a.line = faultproxy.Start(t, a.srv.Addr())
	logger := slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	rdb := a.srv.Client(t, func(o *redis.Options) { o.Addr, o.MaxRetries = a.line.Addr(), -1 })
	st, err := redisstore.New(rdb, redisstore.Logger(logger))
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	a.s = newService(t, setup{
		store: st,
		guard: []idempotency.Option{
			idempotency.WithLogger(logger),
			idempotency.WithTrace(a.trace()),
			idempotency.WithStoreTimeout(200 * time.Millisecond),
		},
		http:    []idemhttp.Option{idemhttp.Scope(canaryTenant)},
		policy:  idempotency.Policy{Lease: 400 * time.Millisecond, Retention: time.Hour, MaxRequestBody: 1000},
		handler: a.handle,
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { _ = recover() }() // not the library's log
				next.ServeHTTP(w, r)
			})
		},
	})
	return a
}

func canaryTenant(r *http.Request) (string, error) {
	if r.Header.Get("X-Do") == "no scope" {
		return "", errors.New("no tenant for this caller")
	}
	return canaryScope, nil
}

func (a *aviary) trace() idempotency.Trace {
	return idempotency.Trace{
		Finished:   func(_ context.Context, f idempotency.Finished) { fmt.Fprintf(a.traced, "%+v %v\n", f, f.Err) },
		LeaseLost:  func(l idempotency.LeaseLost) { fmt.Fprintf(a.traced, "%+v\n", l) },
		LateEnding: func(s idempotency.LateEnding) { fmt.Fprintf(a.traced, "%+v %v\n", s, s.Err) },
	}
}

func (a *aviary) handle(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Not-Listed", canaryResponseHeader)
	h.Set("Set-Cookie", "session="+canaryCookie)
	h.Set("Location", "/"+canaryRecorded)
	switch r.Header.Get("X-Do") {
	case "fail":
		w.WriteHeader(503)
	case "panic":
		panic(canaryResponse)
	case "mark and fail":
		_ = idempotency.MarkEffect(r.Context())
		w.WriteHeader(500)
	case "wait":
		a.started <- struct{}{}
		select {
		case <-a.goOn:
		case <-a.t.Context().Done():
		}
	case "large":
		_, _ = io.WriteString(w, strings.Repeat("x", 8000))
	}
	_, _ = io.WriteString(w, canaryResponse)
}

// call is a request in which everything is a canary.
func (a *aviary) call(do, suffix string) call {
	return call{
		key:  canaryKey + "-" + do[:1] + suffix,
		body: canaryRequest,
		header: http.Header{
			"X-Do": {do}, "X-Secret": {canaryRequestHeader}, "Content-Type": {"text/plain"},
		},
	}
}

// send keeps what the library answers by itself.
func (a *aviary) send(c call) response {
	a.t.Helper()
	resp := send(a.t, a.s.URL+"?q="+canaryRequestHeader, c)
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		fmt.Fprintf(a.problems, "%d %v %s\n", resp.Status, resp.Header, resp.Body)
	}
	return resp
}

// fly goes through all outcomes that a request can have.
func (a *aviary) fly() {
	for _, do := range []string{"answer", "fail", "panic", "mark and fail", "large", "no scope"} {
		for range 2 { // and its duplicate: replay, second run, unknown
			a.send(a.call(do, ""))
		}
	}
	other := a.call("answer", "")
	other.body += "'"
	require.Equal(a.t, 422, a.send(other).Status)
	for _, bad := range []string{canaryKey + `"`, `"` + canaryKey, canaryKey + "," + canaryKey, strings.Repeat(canaryKey, 20)} {
		c := a.call("answer", "")
		c.key = bad
		require.Equal(a.t, 400, a.send(c).Status)
	}
	c := a.call("answer", "413")
	c.body = strings.Repeat(canaryRequest, 100)
	require.Equal(a.t, 413, a.send(c).Status)

	waiting := a.call("wait", "")
	first := background(a.t, a.s.URL+"?q="+canaryRequestHeader, waiting)
	<-a.started
	require.Equal(a.t, 409, a.send(waiting).Status)
	a.line.Partition() // until the lease is lost
	eventually(a.t, "the loss", func() bool { return strings.Contains(a.log.String(), "lease lost") })
	require.Equal(a.t, 503, a.send(a.call("answer", "partition")).Status)
	close(a.goOn)
	<-first
	a.line.Heal()
	eventually(a.t, "the endings", func() bool { return strings.Contains(a.traced.String(), "Event:complete") })
}

// spoil makes Redis answer with every kind of error that quotes something.
func (a *aviary) spoil() {
	for _, name := range a.srv.Keys("*") {
		a.srv.Do("set", name, "foreign")
	}
	require.Equal(a.t, 503, a.send(a.call("answer", "")).Status)
	a.srv.Do("acl", "setuser", "default", "-evalsha", "-eval")
	require.Equal(a.t, 503, a.send(a.call("answer", "denied")).Status)
	require.Error(a.t, a.s.Guard.Health(a.t.Context()))
	require.Error(a.t, a.s.Guard.Preflight(a.t.Context()))
	a.srv.Do("acl", "setuser", "default", "+evalsha", "+eval")
	a.srv.Kill()
	require.Equal(a.t, 503, a.send(a.call("answer", "down")).Status)
}

func TestA9_A11_F83_NoKeyScopeOrPayloadWhereItDoesNotBelong(t *testing.T) {
	t.Parallel()
	a := newAviary(t)
	a.fly()
	dump := new(strings.Builder)
	for name, value := range a.srv.Dump() {
		dump.WriteString(name + "\n" + value + "\n")
	}
	dump.WriteString(a.written())
	// What is meant to be seen is there, so the search would find the rest.
	require.Contains(t, dump.String(), canaryResponse)
	require.Contains(t, dump.String(), canaryRecorded)
	a.spoil()
	require.Contains(t, a.log.String(), "lease lost")
	require.Contains(t, a.traced.String(), "POST /orders")
	require.Contains(t, a.problems.String(), "outcome_unknown")

	neverInRedis := []string{
		canaryKey, canaryScope, canaryRequest, canaryRequestHeader, canaryResponseHeader, canaryCookie,
	}
	never := append([]string{canaryResponse, canaryRecorded}, neverInRedis...)
	for place, text := range map[string]string{
		"log": a.log.String(), "trace": a.traced.String(), "problems": a.problems.String(),
	} {
		for _, canary := range never {
			assert.Zero(t, strings.Count(text, canary), "%s in the %s: %s", canary, place, around(text, canary))
		}
	}
	for _, canary := range neverInRedis {
		assert.Zero(t, strings.Count(dump.String(), canary), "%s in Redis: %s", canary, around(dump.String(), canary))
	}
}

// written returns every byte that Redis was told to write, short-lived records
// included: its append-only file holds all of them.
func (a *aviary) written() string {
	all := new(strings.Builder)
	err := filepath.WalkDir(a.srv.Dir(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	require.NoError(a.t, err)
	require.Contains(a.t, all.String(), canaryResponse, "the file is read")
	return all.String()
}

// around shows where a text was found.
func around(text, word string) string {
	at := strings.Index(text, word)
	if at < 0 {
		return ""
	}
	return text[max(0, at-100):min(len(text), at+len(word)+100)]
}
