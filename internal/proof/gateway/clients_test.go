package gateway_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestG26_DuplicatesAtOnceThroughTwoGatewaysAreOneRun(t *testing.T) {
	t.Parallel()
	const each = 8
	var onTheirWay sync.WaitGroup
	onTheirWay.Add(2 * each)
	s := newStage(t, setting{instances: 2, wait: 10 * time.Second, create: func(context.Context) error {
		onTheirWay.Wait()
		return nil
	}})
	key := rand.Text()
	answers := make(chan answer)
	for i := range 2 * each {
		go func() {
			onTheirWay.Done()
			a, err := send(t.Context(), direct(), request{url: s.urls[i%2], keys: []string{key}})
			assert.NoError(t, err)
			answers <- a
		}()
	}
	ids, marks := make(map[string]int), make(map[string]int)
	for range 2 * each {
		a := <-answers
		id, _ := a.receipt(t)
		ids[id]++
		marks[a.Header.Get("Idempotency-Status")]++
	}
	assert.Len(t, ids, 1)
	assert.Equal(t, map[string]int{"executed": 1, "replayed": 2*each - 1}, marks)
	assert.EqualValues(t, 1, s.runs.Load())
}

func TestG26_AClientThatGoesAwayFindsItsAnswer(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	s := newStage(t, setting{wait: 10 * time.Second, create: func(context.Context) error {
		close(running)
		<-finish
		return nil
	}})
	key := rand.Text()
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := send(ctx, direct(), request{url: s.urls[0], keys: []string{key}})
		gone <- err
	}()
	<-running
	hangUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	close(finish)
	requireMark(t, s.post(t, key), "replayed")
	assert.EqualValues(t, 1, s.runs.Load())
}

// The marks are what our own HTTP client goes by.
func TestG26_OurHTTPClientRetriesThroughAGateway(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	s := newStage(t, setting{wait: 50 * time.Millisecond, create: func(context.Context) error {
		close(running)
		<-finish
		return nil
	}})
	key := rand.Text()
	first := make(chan answer, 1)
	go func() {
		a, err := send(t.Context(), direct(), request{url: s.urls[0], keys: []string{key}})
		assert.NoError(t, err)
		first <- a
	}()
	<-running
	tries := make(chan int, 10)
	counting := roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := direct().Transport.RoundTrip(r)
		if err == nil && resp.StatusCode == http.StatusConflict {
			tries <- resp.StatusCode
		}
		return resp, err
	})
	transport, err := idemhttp.NewTransport(counting)
	require.NoError(t, err)
	second := make(chan answer, 1)
	go func() {
		a, err := send(t.Context(), &http.Client{Transport: transport}, request{url: s.urls[0], keys: []string{key}})
		assert.NoError(t, err)
		second <- a
	}()
	assert.Equal(t, http.StatusConflict, <-tries)
	close(finish)
	requireMark(t, <-first, "executed")
	requireMark(t, <-second, "replayed")
	assert.EqualValues(t, 1, s.runs.Load())
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
