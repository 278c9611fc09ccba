package idemhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// resendable returns a request whose body can be sent again, and whether it
// can. The request must be a copy. On an error the body is closed, and nothing
// has been sent.
func (t *Transport) resendable(req *http.Request) (*http.Request, bool, error) {
	switch {
	case t.opts.attempts == 1:
		return req, false, nil
	case !hasBody(req) || req.GetBody != nil:
		return req, true, nil
	case req.ContentLength > t.opts.maxBody:
		return req, false, nil
	}
	return t.buffered(req)
}

// buffered reads the body into memory. One that is longer than the limit is
// sent once, what has been read of it first.
func (t *Transport) buffered(req *http.Request) (*http.Request, bool, error) {
	data, err := readWithin(req.Context(), req.Body, t.opts.maxBody+1)
	if err != nil {
		return nil, false, fmt.Errorf("idemhttp: reading the request body: %w", err)
	}
	if int64(len(data)) > t.opts.maxBody {
		req.Body = splice(data, req.Body)
		return req, false, nil
	}
	closeBody(req)
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	req.Body, _ = req.GetBody()
	if unknownLength(req) && len(req.Trailer) == 0 { // trailers need the chunked form
		req.ContentLength = int64(len(data))
	}
	if len(data) == 0 && req.ContentLength == 0 {
		req.Body, req.GetBody = http.NoBody, nil // a zero length with a body means unknown
	}
	return req, true, nil
}

// readWithin reads a body up to n bytes or the context's end, and closes it on
// an error. What a stuck Read holds up must not hold up the caller: neither the
// reading, nor a Close that waits for it, as that of a server's request does.
func readWithin(ctx context.Context, body io.ReadCloser, n int64) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1) // has room: the reader ends even if nobody waits
	go func() {
		data, err := io.ReadAll(io.LimitReader(body, n))
		done <- result{data, err}
	}()
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	defer stop()
	select {
	case <-ctx.Done():
		return nil, contextError(ctx)
	case read := <-done:
		if read.err != nil {
			_ = body.Close()
		}
		return read.data, read.err
	}
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func unknownLength(req *http.Request) bool { return req.ContentLength <= 0 }

// rewound returns the request for another try: a copy, because the try before
// may still be closing its body.
func rewound(req *http.Request) (*http.Request, error) {
	again := req.WithContext(req.Context())
	if !hasBody(req) {
		return again, nil
	}
	var err error
	again.Body, err = req.GetBody()
	return again, err
}

// onceOnly returns a copy that net/http sends once. It sends a request again by
// itself if it has GetBody or no body, and one of these fields, by the very
// spelling of the map's key.
func onceOnly(req *http.Request) *http.Request {
	sent := req.WithContext(req.Context())
	sent.GetBody = nil
	if hasBody(req) {
		return sent
	}
	sent.Header = req.Header.Clone()
	for _, name := range []string{headerKey, "X-Idempotency-Key"} {
		values := sent.Header[name]
		delete(sent.Header, name)
		if len(values) > 0 {
			lower := strings.ToLower(name)
			sent.Header[lower] = append(sent.Header[lower], values...)
		}
	}
	return sent
}

// splice puts what has been read of a body in front of its rest.
func splice(read []byte, body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), body), body}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing of it was sent
	}
}

// maxDiscard is what is read of an answer that nobody wants, so that its
// connection can be used again. More costs more than a new connection; net/http
// does the same with redirects.
const maxDiscard = 4 << 10

// maxDiscardTime is how long the rest of such an answer is waited for.
const maxDiscardTime = 100 * time.Millisecond

// discard closes an answer, and reads it before if its end is near. One of
// unknown length may have none.
func discard(resp *http.Response) {
	if resp == nil || resp.Body == nil {
		return
	}
	if 0 <= resp.ContentLength && resp.ContentLength <= maxDiscard {
		stalled := time.AfterFunc(maxDiscardTime, func() { _ = resp.Body.Close() })
		_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
		stalled.Stop()
	}
	_ = resp.Body.Close()
}
