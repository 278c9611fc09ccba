package conformance_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency"
)

// TestZ4_MemoryIsBoundedByTheLimitTimesWhatIsInFlight is not parallel: it looks
// at the heap of the whole process. Under the race detector there are fewer
// answers, of the same size.
func TestZ4_MemoryIsBoundedByTheLimitTimesWhatIsInFlight(t *testing.T) {
	const limit, size, inFlight = 1 << 20, 10 << 20, 8
	content := make([]byte, size)
	// It is about memory: collecting it all must not make a call too slow.
	patient := []idempotency.Option{idempotency.WithStoreTimeout(10 * time.Second)}
	s := newService(t, setup{
		guard:   patient,
		policy:  idempotency.Policy{MaxResponseBody: limit},
		handler: func(w http.ResponseWriter, r *http.Request) { writeLarge(w, r, content) },
	})
	kept := newService(t, setup{ // to see that the measure would notice
		guard:   patient,
		policy:  idempotency.Policy{MaxResponseBody: 2 * size},
		handler: func(w http.ResponseWriter, r *http.Request) { writeLarge(w, r, content) },
	})
	// While a kept body grows, its old and its new memory are there, and what is
	// given back during a collection counts until the next; the rest is for
	// connections.
	const bound = inFlight*6*limit + 8<<20

	peak, after := heapDuring(func() { download(t, s, largeAnswers, inFlight, size) })
	t.Logf("%d answers of %d MiB: at most %d KiB more on the heap, %d KiB afterwards", largeAnswers, size>>20, peak>>10, after>>10)
	assert.Less(t, peak, int64(bound))
	assert.Less(t, after, int64(8<<20), "nothing stays but idle connections")
	assert.Equal(t, largeAnswers, s.Runs())

	peak, _ = heapDuring(func() { download(t, kept, 2*inFlight, inFlight, size) })
	t.Logf("if all of it were kept: %d KiB", peak>>10)
	assert.Greater(t, peak, int64(bound), "whole bodies would show")
}

// writeLarge answers in one of the shapes in which handlers write.
func writeLarge(w http.ResponseWriter, r *http.Request, content []byte) {
	switch r.Header.Get("X-Shape") {
	case "0":
		_, _ = w.Write(content)
	case "1":
		for rest := content; len(rest) > 0; rest = rest[64<<10:] {
			_, _ = w.Write(rest[:64<<10])
		}
	default:
		_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader(content)})
	}
}

// download fetches answers, some at a time, each under a key of its own.
func download(t *testing.T, s *service, answers, inFlight, size int) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	turns := make(chan int)
	var clients sync.WaitGroup
	for range inFlight {
		clients.Go(func() {
			for turn := range turns {
				req := newRequest(t, s.URL, call{key: newKey(), header: http.Header{"X-Shape": {strconv.Itoa(turn % 3)}}})
				resp, err := client.Do(req)
				if !assert.NoError(t, err) {
					continue
				}
				n, err := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				assert.NoError(t, err)
				assert.EqualValues(t, size, n, "the first caller gets all of it")
			}
		})
	}
	for turn := range answers {
		turns <- turn
	}
	close(turns)
	clients.Wait()
}

// heapDuring returns by how much the live heap grows at most while f runs, and
// by how much it has grown when it has returned.
func heapDuring(f func()) (peak, after int64) {
	base := liveHeap()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				peak = max(peak, liveHeap()-base)
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return peak, liveHeap() - base
}

// liveHeap collects first, so that garbage does not count.
func liveHeap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
