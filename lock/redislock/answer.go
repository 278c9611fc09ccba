package redislock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/lock"
)

// ErrUnreadable: there is something under the lock's name in Redis that this
// version does not understand. It stays untouched, and the lock cannot be taken.
var ErrUnreadable = errors.New("not a lock that can be read")

// The letters of the scripts.
const (
	wordAcquired   = 'R' // of the record
	wordHeld       = 'H'
	wordEnded      = 'E'
	wordDone       = 'D'
	wordLost       = 'L'
	wordUnreadable = 'U'
)

// answer is what a script returns about one lock.
type answer struct {
	word   byte
	detail string
}

// Where the fields of a record lie that a claim returns.
const (
	recordLen             = 119
	tokenFrom, tokenUntil = 7, 23
	ownerFrom, ownerUntil = 55, 87
)

// parse reads an answer, and makes sure that it is not another request's.
func parse(text, owner string) (answer, error) {
	if len(text) == recordLen && text[0] == wordAcquired {
		if text[ownerFrom:ownerUntil] != owner {
			return answer{}, errForeign
		}
		return answer{word: wordAcquired, detail: text[tokenFrom:tokenUntil]}, nil
	}
	if len(text) < 1+len(owner) {
		return answer{}, errReply
	}
	a := answer{word: text[0], detail: text[1+len(owner):]}
	switch {
	case text[1:1+len(owner)] != owner:
		return answer{}, errForeign
	case a.word == wordUnreadable:
		return answer{}, fmt.Errorf("%w: its %s is wrong", ErrUnreadable, a.detail)
	}
	return a, nil
}

func (a answer) reply() (lock.Reply, error) {
	if a.word == wordEnded {
		return lock.Reply{Verdict: lock.Ended}, nil
	}
	n, err := strconv.ParseInt(a.detail, 10, 64)
	if err != nil || n <= 0 {
		return lock.Reply{}, errReply
	}
	switch a.word {
	case wordAcquired:
		return lock.Reply{Verdict: lock.Acquired, Token: lock.Token(n)}, nil
	case wordHeld:
		// A damaged record can tell of a lease that no duration holds.
		n = min(n, math.MaxInt64/int64(time.Microsecond))
		return lock.Reply{Verdict: lock.Held, Left: time.Duration(n) * time.Microsecond}, nil
	}
	return lock.Reply{}, errReply
}

// callError is a call that brought no definite answer. Its text leaves out
// whatever a server may quote of a request; its causes stay reachable by
// errors.Is and errors.As.
type callError struct {
	call   string
	id     lock.ID
	causes []error
}

// Error says what failed and why, without any part of a request.
func (e *callError) Error() string {
	return fmt.Sprintf("redislock: %s of %s: %s", e.call, e.id.Short(), discreet(e.id, e.causes[0]))
}

// Unwrap returns the causes.
func (e *callError) Unwrap() []error { return e.causes }

func notExecuted(call string, id lock.ID, cause error) error {
	return &callError{call: call, id: id, causes: []error{cause, lock.ErrNotExecuted}}
}

// failed turns the error of a call into one that says what is known, and has a
// cluster's map loaded again where that may be the reason.
func (b *Backend) failed(ctx context.Context, call string, id lock.ID, cause error) error {
	if errors.Is(cause, ErrUnreadable) {
		return notExecuted(call, id, cause)
	}
	b.clusters.Suspect(ctx, cause, b.log)
	causes := []error{cause}
	if ended := redisconn.EndOf(ctx); ended != nil && !errors.Is(cause, ended) {
		causes = append(causes, ended)
	}
	return &callError{call: call, id: id, causes: causes}
}

// discreet returns an error's text without what a server quotes of a request: the
// arguments of a command that it does not know, the name of a key.
func discreet(id lock.ID, err error) string {
	text, _, _ := strings.Cut(err.Error(), ", with args beginning with")
	return strings.ReplaceAll(text, id.String(), id.Short())
}
