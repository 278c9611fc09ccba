package conformance_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
)

// twice sends the same call two times and asserts that the second answer is a
// replay and that the handler ran once.
func twice(t *testing.T, s *service, c call) (first, second response) {
	t.Helper()
	if c.key == "" {
		c.key = newKey()
	}
	before := s.Runs()
	first = send(t, s.URL, c)
	second = send(t, s.URL, c)
	requireExecuted(t, first)
	requireReplay(t, first, second)
	assert.Equal(t, before+1, s.Runs())
	return first, second
}

func TestR1_R3_DuplicateGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	first, second := twice(t, s, call{body: "B"})
	assert.Equal(t, 201, second.Status)
	assert.Equal(t, "/orders/1", first.Header.Get("Location"))
	assert.Equal(t, `"v1"`, second.Header.Get("ETag"))
}

func TestR2_BodyIsReplayedToTheByte(t *testing.T) {
	t.Parallel()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, body := range map[string]string{
		"white space, number forms, newline": " {\"a\" : 1.0, \"b\":1e2}\r\n\n",
		"binary":                             string(every),
		"just under the script limit":        strings.Repeat("x", 4000),
		"over the script limit":              strings.Repeat("y", 5000),
		"large":                              strings.Repeat("z\x00", 400_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, body)
			}})
			first, _ := twice(t, s, call{})
			assert.Equal(t, body, first.Body, "the first answer is the handler's")
		})
	}
}

func TestR3_DescribingFieldsAreReplayed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Language", "de")
		h.Set("Content-Location", "/orders/7/v1")
		h.Set("Content-Disposition", `attachment; filename="a, \"b\".txt"`)
		h.Set("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
		h.Add("Link", "</a>; rel=next")
		h.Add("Link", "</b>; rel=prev")
		h.Set("X-Request-Cost", "7")
		_, _ = io.WriteString(w, "text")
	}, policy: idempotency.Policy{Headers: []string{"X-Request-Cost"}}})
	_, second := twice(t, s, call{})
	assert.Equal(t, []string{"</a>; rel=next", "</b>; rel=prev"}, second.Header["Link"])
	assert.Equal(t, "7", second.Header.Get("X-Request-Cost"), "on the route's own list")
	assert.Equal(t, "text/plain; charset=utf-8", second.Header.Get("Content-Type"))
}

func TestR4_F72_CredentialsAndConnectionFieldsAreNotReplayed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Set-Cookie", "session=secret")
		h.Set("WWW-Authenticate", "Bearer")
		h.Set("Server", "original")
		h.Set("Date", "Sun, 01 Jan 2023 00:00:00 GMT")
		h.Set("X-Other", "1")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(201)
	}})
	first, second := twice(t, s, call{})
	assert.Equal(t, "session=secret", first.Header.Get("Set-Cookie"), "the first caller gets all of it")
	for _, name := range []string{"Set-Cookie", "Www-Authenticate", "Server", "X-Other", "Keep-Alive", "Proxy-Authenticate"} {
		assert.NotEmpty(t, first.Header.Get(name))
		assert.Empty(t, second.Header[name], name)
	}
	date, err := http.ParseTime(second.Header.Get("Date"))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), date, time.Minute, "Date is fresh")
}

func TestR4_F72_UnsafeNamesAreRefusedAtConstruction(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	for _, name := range []string{"Set-Cookie", "Authorization", "www-authenticate", "Connection", "Transfer-Encoding", "Date", "X y"} {
		_, err := s.MW.Protect("op-"+name, idempotency.Policy{Headers: []string{name}})
		require.Error(t, err)
		assert.Contains(t, strings.ToLower(err.Error()), strings.ToLower(name))
		_, err = idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.RecordHeaders(name))
		require.Error(t, err)
	}
}

func TestR6_R7_EmptyAnswersStayEmpty(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"R6 204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"R6 304": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"R6 205": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(205) },
		"R6 204 with a forbidden body": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := io.WriteString(w, "no")
			if err == nil {
				panic("a 204 took a body")
			}
		},
		"R7 nothing written": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{handler: handler})
			first, second := twice(t, s, call{})
			assert.Empty(t, second.Body)
			assert.Equal(t, first.Header["Content-Length"], second.Header["Content-Length"])
			assert.Equal(t, first.Header["Content-Type"], second.Header["Content-Type"])
			assert.Empty(t, second.Header["Content-Type"])
		})
	}
}

func TestR8_FirstStatusWins(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"two WriteHeaders": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "x")
		},
		"Write before WriteHeader": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.WriteHeader(500)
		},
		"Flush before WriteHeader": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "x")
		},
		"103 is not final": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(201)
			_, _ = io.WriteString(w, "x")
		},
		"io.Copy": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("x")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{handler: handler})
			first, _ := twice(t, s, call{})
			assert.Less(t, first.Status, 300)
			assert.Equal(t, "x", first.Body)
		})
	}
}

func TestR10_TrailersAreReplayed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Checksum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Checksum", "abc")
		w.Header().Set(http.TrailerPrefix+"X-Late", "def")
	}})
	_, second := twice(t, s, call{})
	assert.Equal(t, "abc", second.Trailer.Get("X-Checksum"))
	assert.Equal(t, "def", second.Trailer.Get("X-Late"))
}

func TestR11_CompressionOutsideServesBothKindsOfClients(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{wrap: compress})
	key := newKey()
	zipped := send(t, s.URL, call{key: key, header: http.Header{"Accept-Encoding": {"gzip"}}})
	plain := send(t, s.URL, call{key: key})
	assert.Equal(t, "gzip", zipped.Header.Get("Content-Encoding"))
	assert.Empty(t, plain.Header.Get("Content-Encoding"))
	assert.Equal(t, "true", plain.Header.Get("Idempotent-Replayed"))
	assert.Equal(t, gunzip(t, zipped.Body), plain.Body)
	assert.Equal(t, 1, s.Runs())
}

func TestR12_CompressionInsideKeepsItsCoding(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "content")
		})).ServeHTTP(w, r)
	}})
	key := newKey()
	first := send(t, s.URL, call{key: key, header: http.Header{"Accept-Encoding": {"gzip"}}})
	second := send(t, s.URL, call{key: key}) // would not accept gzip: it gets the recorded answer all the same
	requireReplay(t, first, second)
	assert.Equal(t, "gzip", second.Header.Get("Content-Encoding"))
	assert.Equal(t, "Accept-Encoding", second.Header.Get("Vary"))
	assert.Equal(t, "content", gunzip(t, second.Body))
}

func TestR13_R14_ReplayIsTheOriginalAnswerWhateverHappenedSince(t *testing.T) {
	t.Parallel()
	var resource atomic.Pointer[string]
	created, changed := "created", "changed"
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		resource.CompareAndSwap(nil, &created)
		_, _ = io.WriteString(w, *resource.Load())
	}})
	c := call{key: newKey()}
	first := send(t, s.URL, c)
	resource.Store(&changed)
	requireReplay(t, first, send(t, s.URL, c))
	resource.Store(nil) // deleted
	requireReplay(t, first, send(t, s.URL, c))
	assert.Equal(t, 1, s.Runs())
}

func TestR16_F76_ReplaySaysWhenItWasRecordedAndIsNotCached(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	first, second := twice(t, s, call{})
	recorded, err := time.Parse(time.RFC3339, second.Header.Get("Idempotency-Recorded-At"))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), recorded, time.Minute)
	assert.Equal(t, "no-store", first.Header.Get("Cache-Control"))
	assert.Equal(t, "no-store", second.Header.Get("Cache-Control"))
}

func TestR17_MarksAreExposedToScripts(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{http: []idemhttp.Option{idemhttp.GlobalScope(), idemhttp.ExposeMarks()}})
	c := call{key: newKey(), header: http.Header{"Origin": {"https://shop.example"}}}
	for range 2 {
		exposed := send(t, s.URL, c).Header.Get("Access-Control-Expose-Headers")
		assert.Contains(t, exposed, "Idempotent-Replayed")
		assert.Contains(t, exposed, "Idempotency-Status")
	}
	assert.Empty(t, send(t, s.URL, call{key: c.key}).Header.Get("Access-Control-Expose-Headers"))
}

func TestR18_AcceptedAnswerStaysAccepted(t *testing.T) {
	t.Parallel()
	var jobs atomic.Int64
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", fmt.Sprintf("/jobs/%d", jobs.Add(1)))
		w.WriteHeader(202)
	}})
	c := call{key: newKey()}
	first := send(t, s.URL, c)
	jobs.Add(10) // the job is done, others came
	second := send(t, s.URL, c)
	requireReplay(t, first, second)
	assert.Equal(t, 202, second.Status)
	assert.Equal(t, "/jobs/1", second.Header.Get("Location"))
}

func TestR19_SecretBodyIsNeverStored(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newService(t, setup{redis: srv.Client(t), handler: func(w http.ResponseWriter, r *http.Request) {
		idempotency.OmitBody(r.Context())
		w.Header().Set("Location", "/tokens/1")
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "canary-secret-token-R19")
	}})
	c := call{key: newKey()}
	first := send(t, s.URL, c)
	requireExecuted(t, first)
	assert.Equal(t, "canary-secret-token-R19", first.Body)
	second := send(t, s.URL, c)
	p := requireProblem(t, second, 409, "result_unavailable")
	assert.Equal(t, "/tokens/1", second.Header.Get("Location"))
	assert.False(t, *p.SafeNewKey)
	assert.Equal(t, 1, s.Runs())
	assert.Empty(t, srv.Holding("canary-secret-token-R19"))
}

// compress is what a compressing middleware does, in short.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Header.Get("Accept-Encoding") != "gzip" {
			next.ServeHTTP(w, r)
			return
		}
		zipper := gzip.NewWriter(w)
		defer func() { _ = zipper.Close() }()
		next.ServeHTTP(&zipWriter{ResponseWriter: w, zipper: zipper}, r)
	})
}

type zipWriter struct {
	http.ResponseWriter
	zipper *gzip.Writer
}

func (z *zipWriter) WriteHeader(status int) {
	z.Header().Set("Content-Encoding", "gzip")
	z.ResponseWriter.WriteHeader(status)
}

func (z *zipWriter) Write(p []byte) (int, error) {
	if z.Header().Get("Content-Encoding") == "" {
		z.WriteHeader(http.StatusOK)
	}
	return z.zipper.Write(p)
}

func gunzip(t *testing.T, body string) string {
	t.Helper()
	unzipper, err := gzip.NewReader(bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	plain, err := io.ReadAll(unzipper)
	require.NoError(t, err)
	return string(plain)
}
