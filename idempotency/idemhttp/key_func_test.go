package idemhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// keyed is a protected handler that echoes the body, without a socket.
type keyed struct {
	http.Handler
	runs  atomic.Int64
	trace chan idempotency.Finished
}

func newKeyed(t *testing.T, policy idempotency.Policy, opts ...idemhttp.Option) *keyed {
	t.Helper()
	k := &keyed{trace: make(chan idempotency.Finished, 16)}
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records, idempotency.WithTrace(idempotency.Trace{
		Finished: func(_ context.Context, f idempotency.Finished) { k.trace <- f },
	}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, append(opts, idemhttp.GlobalScope())...)
	require.NoError(t, err)
	protect, err := mw.Protect("events", policy)
	require.NoError(t, err)
	k.Handler = protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.runs.Add(1)
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, _ = fmt.Fprintf(w, "%d %s", k.runs.Load(), body)
	}))
	return k
}

func (k *keyed) post(body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w
}

// eventID is the key of a webhook.
func eventID(r *http.Request) (string, error) {
	var event struct {
		ID string `json:"id"`
	}
	err := json.NewDecoder(r.Body).Decode(&event)
	return event.ID, err
}

func TestKeyFuncFindsTheKeyInTheBody(t *testing.T) {
	t.Parallel()
	k := newKeyed(t, idempotency.Policy{}, idemhttp.KeyFunc(eventID))
	first := k.post(`{"id":"evt_1"}`)
	assert.Equal(t, `1 {"id":"evt_1"}`, first.Body.String(), "the handler gets the body, too")
	again := k.post(`{"id":"evt_1"}`, "Idempotency-Key", "another")
	assert.Equal(t, "replayed", again.Header().Get("Idempotency-Status"), "the header does not count")
	assert.Equal(t, first.Body.String(), again.Body.String())
	assert.Equal(t, 422, k.post(`{"id":"evt_1","n":2}`).Code)
	assert.Equal(t, "executed", k.post(`{"id":"evt_2"}`).Header().Get("Idempotency-Status"))
	assert.EqualValues(t, 2, k.runs.Load())
}

func TestKeyFuncWhatTheFunctionReturns(t *testing.T) {
	t.Parallel()
	errInside := errors.New("secret inside")
	tests := []struct {
		name   string
		policy idempotency.Policy
		key    string
		err    error
		status int
		code   idempotency.Code
	}{
		{"a key", idempotency.Policy{}, "a key, with anything; printable", nil, 200, ""},
		{"255 characters", idempotency.Policy{}, strings.Repeat("k", 255), nil, 200, ""},
		{"256 characters", idempotency.Policy{}, strings.Repeat("k", 256), nil, 400, idempotency.ErrKeyInvalid},
		{"control character", idempotency.Policy{}, "secret\n", nil, 400, idempotency.ErrKeyInvalid},
		{"not ASCII", idempotency.Policy{}, "secr\u00e9t", nil, 400, idempotency.ErrKeyInvalid},
		{"none", idempotency.Policy{}, "", nil, 400, idempotency.ErrKeyMissing},
		{"none, optional", idempotency.Policy{Key: idempotency.KeyOptional}, "", nil, 200, ""},
		{"an error", idempotency.Policy{}, "", errInside, 400, idempotency.ErrKeyInvalid},
		{"an error, optional", idempotency.Policy{Key: idempotency.KeyOptional}, "", errInside, 400, idempotency.ErrKeyInvalid},
		{"an error and a key", idempotency.Policy{}, "k", errInside, 400, idempotency.ErrKeyInvalid},
		{"K14 no UUID", idempotency.Policy{KeyFormat: idempotency.KeyUUID}, "secret", nil, 400, idempotency.ErrKeyInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKeyed(t, tt.policy, idemhttp.KeyFunc(func(*http.Request) (string, error) { return tt.key, tt.err }))
			w := k.post("B")
			require.Equal(t, tt.status, w.Code, w.Body)
			if tt.code == "" {
				assert.Equal(t, "1 B", w.Body.String())
				return
			}
			assert.Contains(t, w.Body.String(), string(tt.code))
			assert.NotContains(t, w.Body.String(), "secr")
			assert.Zero(t, k.runs.Load())
			finished := <-k.trace
			assert.Equal(t, tt.code, finished.Code)
			if tt.err != nil {
				require.ErrorIs(t, finished.Err, errInside, "operators see the cause")
			}
		})
	}
}

func TestKeyFuncK14SpellingsAreOneKey(t *testing.T) {
	t.Parallel()
	k := newKeyed(t, idempotency.Policy{KeyFormat: idempotency.KeyUUID},
		idemhttp.KeyFunc(func(r *http.Request) (string, error) { return r.Header.Get("X-Event"), nil }))
	const id = "919108f7-52d1-4320-9bac-f847db4148a8"
	assert.Equal(t, 200, k.post("B", "X-Event", id).Code)
	assert.Equal(t, "1 B", k.post("B", "X-Event", strings.ToUpper(id)).Body.String())
	assert.EqualValues(t, 1, k.runs.Load())
}

func TestKeyFuncAndTheBody(t *testing.T) {
	t.Parallel()
	readsAll := func(r *http.Request) (string, error) {
		_, _ = io.Copy(io.Discard, r.Body) // and does not care for the error
		return r.Header.Get("X-Event"), r.Body.Close()
	}
	small := idempotency.Policy{Key: idempotency.KeyOptional, MaxRequestBody: 4}
	t.Run("without a key the handler gets what was read", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "1 body", newKeyed(t, small, idemhttp.KeyFunc(readsAll)).post("body").Body.String())
	})
	t.Run("with a key", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "1 body", newKeyed(t, small, idemhttp.KeyFunc(readsAll)).post("body", "X-Event", "k").Body.String())
	})
	t.Run("F18 too large", func(t *testing.T) {
		t.Parallel()
		k := newKeyed(t, small, idemhttp.KeyFunc(readsAll))
		w := k.post("large")
		assert.Equal(t, 413, w.Code)
		assert.Contains(t, w.Body.String(), string(idempotency.ErrBodyTooLarge))
		assert.Equal(t, 413, k.post("large", "X-Event", "k").Code)
		assert.Zero(t, k.runs.Load())
	})
	t.Run("an unread body is not bounded without a key", func(t *testing.T) {
		t.Parallel()
		k := newKeyed(t, small, idemhttp.KeyFunc(func(*http.Request) (string, error) { return "", nil }))
		assert.Equal(t, "1 large", k.post("large").Body.String())
	})
	t.Run("a form", func(t *testing.T) {
		t.Parallel()
		k := newKeyed(t, idempotency.Policy{},
			idemhttp.KeyFunc(func(r *http.Request) (string, error) { return r.PostFormValue("id"), nil }))
		form := []string{"Content-Type", "application/x-www-form-urlencoded"}
		assert.Equal(t, "1 id=1", k.post("id=1", form...).Body.String())
		assert.Equal(t, "1 id=1", k.post("id=1", form...).Body.String())
	})
}

func TestKeyFuncExcludesWhatIsAboutTheHeader(t *testing.T) {
	t.Parallel()
	from := idemhttp.KeyFunc(eventID)
	for name, tt := range map[string]struct {
		opts []idemhttp.Option
		says string
	}{
		"header after it":      {[]idemhttp.Option{from, idemhttp.KeyHeader("X-Key")}, "KeyFunc and KeyHeader"},
		"header before it":     {[]idemhttp.Option{idemhttp.KeyHeader("Idempotency-Key"), from}, "KeyFunc and KeyHeader"},
		"strict keys after it": {[]idemhttp.Option{from, idemhttp.QuotedKeysOnly()}, "KeyFunc and QuotedKeysOnly"},
		"strict keys before":   {[]idemhttp.Option{idemhttp.QuotedKeysOnly(), from}, "KeyFunc and QuotedKeysOnly"},
		"twice":                {[]idemhttp.Option{from, from}, "KeyFunc is given twice"},
		"nil":                  {[]idemhttp.Option{idemhttp.KeyFunc(nil)}, "KeyFunc: the function is nil"},
	} {
		records, err := memstore.New()
		require.NoError(t, err)
		guard, err := idempotency.New(records)
		require.NoError(t, err)
		_, err = idemhttp.New(guard, append(tt.opts, idemhttp.GlobalScope())...)
		require.ErrorContains(t, err, tt.says, name)
		require.NoError(t, guard.Shutdown(t.Context()))
	}
}

func TestK19_K14_AliasesAgreeOnOneUUID(t *testing.T) {
	t.Parallel()
	k := newKeyed(t, idempotency.Policy{KeyFormat: idempotency.KeyUUIDv4}, idemhttp.KeyHeader("Idempotency-Key", "X-Key"))
	const id = "919108f7-52d1-4320-9bac-f847db4148a8"
	assert.Equal(t, 200, k.post("B", "Idempotency-Key", id, "X-Key", `"`+strings.ToUpper(id)+`"`).Code)
}

// A selection that is wrong must not leave a registered operation behind.
func TestF14_ConstructionErrorsNameTheRouteAndTheField(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	policy := func(exclude ...string) idempotency.Policy {
		return idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintExclude: exclude}
	}
	err := mw.Handle(http.NewServeMux(), "POST /orders", handler, policy("/a~2"))
	require.ErrorContains(t, err, `idemhttp: POST /orders: Policy.FingerprintExclude: "/a~2" is no JSON Pointer`)
	err = mw.Handle(http.NewServeMux(), "POST /orders", handler, idempotency.Policy{FingerprintHeaders: []string{"idempotency-key"}})
	require.ErrorContains(t, err, `idemhttp: POST /orders: Policy.FingerprintHeaders: header "idempotency-key"`)
	err = mw.Handle(http.NewServeMux(), "POST /orders", handler, idempotency.Policy{FingerprintExclude: []string{"/a"}})
	require.ErrorContains(t, err, "FingerprintExclude needs Fingerprint")
	require.NoError(t, mw.Handle(http.NewServeMux(), "POST /orders", handler, policy("/a~1")))
	_, err = mw.ProtectByPath("router", policy("a"))
	require.ErrorContains(t, err, "idemhttp: router: ")
}
