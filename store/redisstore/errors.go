package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

var (
	// errReply: a script's reply is not what the script returns.
	errReply = errors.New("redis answered something else than was asked")
	// errForeignReply: the reply belongs to another request. Whatever mixed up
	// the connection, what it says is about somebody else.
	errForeignReply = errors.New("redis answered another request")
	// errMoved: the record changed between a script and the GET after it.
	errMoved = errors.New("the record changed while it was read")
)

// unavailable is a call that brought no definite answer. Its text leaves out
// whatever a server may quote of a request; its causes stay reachable by
// errors.Is and errors.As.
type unavailable struct {
	event  string
	id     store.ID
	causes []error // store.ErrUnavailable first
	text   string
}

// Error says what failed and why, without any part of a request.
func (u *unavailable) Error() string {
	if u.id == (store.ID{}) { // it was about no record in particular
		return fmt.Sprintf("redisstore: %s: %v: %s", u.event, store.ErrUnavailable, u.text)
	}
	return fmt.Sprintf("redisstore: %s of %s: %v: %s", u.event, u.id.Short(), store.ErrUnavailable, u.text)
}

// Unwrap returns [store.ErrUnavailable], the cause, and the context's error if
// that ended the call.
func (u *unavailable) Unwrap() []error { return u.causes }

func (s *Store) unavailable(ctx context.Context, event string, id store.ID, cause error) error {
	causes := []error{store.ErrUnavailable, cause}
	if ended := redisconn.EndOf(ctx); ended != nil && !errors.Is(cause, ended) {
		causes = append(causes, ended)
	}
	if event == (store.Claim{}).Name() && outOfMemory(cause) {
		causes = append(causes, store.ErrNotExecuted)
	}
	return &unavailable{event: event, id: id, causes: causes, text: discreet(id, cause)}
}

// outOfMemory recognises the reply of a full server, which a claim gets before
// it has written anything.
func outOfMemory(cause error) bool {
	return redisconn.IsReply(cause) && strings.Contains(cause.Error(), "OOM command not allowed")
}

// failed turns the error of a command into one of the contract's, and has a
// cluster's map loaded again where that may be the reason.
func (s *Store) failed(ctx context.Context, event string, id store.ID, cause error) error {
	if wrongType(cause) {
		return unreadableRecord(event, id, unreadable("type"))
	}
	s.clusters.Suspect(ctx, cause, s.log)
	return s.unavailable(ctx, event, id, cause)
}

func unreadableRecord(event string, id store.ID, field error) error {
	return fmt.Errorf("redisstore: %s of %s: %w: %w", event, id.Short(), store.ErrUnreadable, field)
}

// discreet returns an error's text without what a server quotes of a request:
// the arguments of a command that it does not know, the name of a key.
func discreet(id store.ID, err error) string {
	text, _, _ := strings.Cut(err.Error(), ", with args beginning with")
	return strings.ReplaceAll(text, id.String(), id.Short())
}

// wrongType reports a value of another type under a record's name. Redis before
// 7 puts the code into the middle of a script's error.
func wrongType(err error) bool {
	return redisconn.IsReply(err) && strings.Contains(err.Error(), "WRONGTYPE")
}
