package idemhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// resendable returns a request whose body can be sent again, and whether it
// can. The request must be a copy. On an error the body is closed, and nothing
// has been sent.
func (t *Transport) resendable(req *http.Request) (*http.Request, bool, error) {
	switch {
	case t.opts.attempts == 1:
		return req, false, nil
	case req.Body == nil || req.Body == http.NoBody || req.GetBody != nil:
		return req, true, nil
	case req.ContentLength > t.opts.maxBody:
		return req, false, nil
	}
	return t.buffered(req)
}

// buffered reads the body into memory. One that is longer than the limit is
// sent once, what has been read of it first.
func (t *Transport) buffered(req *http.Request) (*http.Request, bool, error) {
	data, err := io.ReadAll(io.LimitReader(req.Body, t.opts.maxBody+1))
	if err != nil {
		closeBody(req)
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

func unknownLength(req *http.Request) bool { return req.ContentLength <= 0 }

// rewound returns the request for another try: a copy, because the try before
// may still be closing its body.
func rewound(req *http.Request) (*http.Request, error) {
	again := req.WithContext(req.Context())
	if req.GetBody == nil {
		return again, nil
	}
	var err error
	again.Body, err = req.GetBody()
	return again, err
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

func discard(resp *http.Response) {
	if resp == nil || resp.Body == nil {
		return
	}
	if resp.ContentLength <= maxDiscard {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	}
	_ = resp.Body.Close()
}
