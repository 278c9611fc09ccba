package idemhttp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// able is a writer with the optional interfaces that a Go client cannot drive.
type able struct {
	*httptest.ResponseRecorder

	pushed []string
	gone   chan bool
}

func (w *able) Push(target string, _ *http.PushOptions) error {
	w.pushed = append(w.pushed, target)
	return nil
}

func (w *able) CloseNotify() <-chan bool { return w.gone }

func TestZ6_PushAndCloseNotifyReachTheServer(t *testing.T) {
	t.Parallel()
	for _, mode := range []captureMode{bufferResponse, passResponse} {
		under := &able{httptest.NewRecorder(), nil, make(chan bool, 1)}
		w := newCapture(under, mode, 10).Writer()
		require.NoError(t, w.(http.Pusher).Push("/style.css", nil))
		assert.Equal(t, []string{"/style.css"}, under.pushed)
		under.gone <- true
		assert.True(t, <-w.(http.CloseNotifier).CloseNotify()) //nolint:staticcheck // deprecated, and still in use
	}
}

// A handler may keep the header map and change it after it has returned, while
// its answer is being recorded.
func TestZ10_HeaderMapOfALeftoverGoroutineIsItsOwn(t *testing.T) {
	t.Parallel()
	under := httptest.NewRecorder()
	c := newCapture(under, bufferResponse, 100)
	c.Writer().Header().Set("Trailer", "X-Sum")
	header := c.Writer().Header()
	_, _ = io.WriteString(c.Writer(), "body")
	header.Set("X-Sum", "1")
	a, _ := c.finish(recordedHeaders(nil))

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				header.Set("X-Sum", "2")
				header.Set(http.TrailerPrefix+strconv.Itoa(n%100), "late")
				header.Set("Location", "/elsewhere")
			}
		}
	}()
	for range 100 {
		require.NoError(t, c.send(nil))
	}
	close(stop)
	<-stopped
	assert.Equal(t, []field{{"X-Sum", "1"}}, a.trailer)
	assert.Equal(t, http.Header{"X-Sum": {"1"}}, under.Result().Trailer)
	assert.Empty(t, under.Result().Header.Get("Location"))
}

// A client that was told "executed" gets the replay: what never flowed is known.
func TestZ5_PassingAnswerThatNeverFlowedIsRecordedWhole(t *testing.T) {
	t.Parallel()
	_, _, a, flags := served(t, passResponse, 1, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/jobs/1")
	})
	assert.False(t, flags.flowed)
	assert.Equal(t, answer{status: 200, header: []field{{"Location", "/jobs/1"}}, omitted: store.BodyKept}, a)
}

// TestF47_StreamsEqualABareServer holds a passing capture, and a buffering one
// whose limit is passed by the first byte, to what a bare server sends.
func TestF47_StreamsEqualABareServer(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		b := newBench(t, proto == "HTTP/2")
		for name, p := range programs() {
			if proto == "HTTP/2" && (name == "declared length exceeded" || name == "declared 0") {
				continue // its server notices the excess later, and differently
			}
			for _, path := range []string{"/pass", "/over"} {
				t.Run(proto+path+" "+name, func(t *testing.T) { b.checkStream(t, path, p) })
			}
		}
	}
}

func (b *bench) checkStream(t *testing.T, path string, p program) {
	t.Helper()
	bare := b.ask(t, http.MethodPost, "/bare", p)
	streamed := b.ask(t, http.MethodPost, path, p)
	require.Equal(t, bare.failed, streamed.failed)
	if bare.failed {
		return
	}
	assert.Equal(t, bare.log, streamed.log, "what the handler's calls returned")
	assert.Equal(t, bare.status, streamed.status, "status")
	assert.Equal(t, without(bare.header), without(streamed.header), "header")
	assert.Equal(t, bare.informed, streamed.informed, "informational responses")
	assert.Equal(t, bare.cut, streamed.cut, "the body is cut for both or none")
	assert.Equal(t, bare.body, streamed.body, "body")
	if len(bare.trailer) > 0 {
		assert.Equal(t, bare.trailer, streamed.trailer, "trailers")
	}
}
