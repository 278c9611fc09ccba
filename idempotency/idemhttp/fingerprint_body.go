package idemhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

var (
	errBodyTooLarge   = errors.New("request body too large")
	errBodyUnreadable = errors.New("request body unreadable")
)

// readBody reads the whole request body. It holds as much memory as the body is
// long, however high the limit or the announced length. The caller gives the
// bytes back to the request for the handler.
//
// Errors: errBodyTooLarge, without a read when the announced length already
// tells; errBodyUnreadable for everything else, wrapping the cause.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, fmt.Errorf("%w: announced as %d bytes, the limit is %d", errBodyTooLarge, r.ContentLength, limit)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if 0 < r.ContentLength && r.ContentLength <= atOnce {
		return readAnnounced(r)
	}
	// MaxBytesReader also tells the server not to keep a connection on which
	// the rest of an oversized body is still to come.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, unreadable(err)
	}
	return body, nil
}

// unreadable says what is wrong with a body. The limit may also be that of a
// middleware outside.
func unreadable(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: the limit is %d bytes", errBodyTooLarge, tooLarge.Limit)
	}
	return fmt.Errorf("%w: %w", errBodyUnreadable, err)
}

// atOnce is the longest body that memory is set aside for because a client
// announces it.
const atOnce = 64 << 10

// readAnnounced reads a body of a length that is announced, and is within the limit.
// A longer one, which net/http does not let through, ends one byte later.
func readAnnounced(r *http.Request) ([]byte, error) {
	body := make([]byte, r.ContentLength+1)
	read := 0
	for read < len(body) {
		n, err := r.Body.Read(body[read:])
		read += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, unreadable(err)
		}
	}
	return body[:read:read], nil
}
