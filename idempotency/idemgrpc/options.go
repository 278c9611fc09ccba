package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// DefaultDomain is the domain of the library's ErrorInfo details, unless
// [ErrorDomain] says otherwise.
const DefaultDomain = "idempotency.reprise-go.dev"

// DefaultWait is how long duplicates wait for a running attempt where neither
// the guard, [Wait] nor the method says how long: hedged calls all get the one
// success.
const DefaultWait = 5 * time.Second

// GlobalScopeName is the scope of every call under [GlobalScope], for
// [idempotency.Guard.ID]. It is no possible tenant's name by accident: it holds
// a NUL.
const GlobalScopeName = "\x00global"

// Option configures an [Interceptor].
type Option func(*options) error

type options struct {
	scope       func(context.Context) (string, error)
	keyNames    []string
	metadata    []string
	domain      string
	wait        time.Duration
	replayGuard ReplayGuardFunc
}

func newOptions(opts []Option) (options, error) {
	o := options{keyNames: []string{"idempotency-key"}, domain: DefaultDomain}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("a nil option")
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	if o.scope == nil {
		return o, errors.New("no scope: choose Scope(func) or, openly, GlobalScope()")
	}
	return o, nil
}

// Scope sets how the scope of a call is found: the tenant or caller that its
// key belongs to, as authentication has established it (metadata, the peer's
// certificate, what an interceptor outside put into the context). An empty scope
// or an error is answered with INTERNAL, reason SCOPE_MISSING; the handler does
// not run. Called on the call's goroutine, and at once for different calls.
func Scope(scope func(context.Context) (string, error)) Option {
	return func(o *options) error {
		if scope == nil {
			return errors.New("Scope: the function is nil")
		}
		return o.setScope(scope)
	}
}

// GlobalScope says openly that all callers share one scope: whoever sends
// another's key and request gets the other's answer.
func GlobalScope() Option {
	return func(o *options) error {
		return o.setScope(func(context.Context) (string, error) { return GlobalScopeName, nil })
	}
}

func (o *options) setScope(scope func(context.Context) (string, error)) error {
	if o.scope != nil {
		return errors.New("the scope is set twice")
	}
	o.scope = scope
	return nil
}

// KeyMetadata names the metadata entry that carries the key, and further ones
// that are accepted for it. Default idempotency-key. A call that has two of
// them with different keys is rejected with INVALID_ARGUMENT.
func KeyMetadata(name string, aliases ...string) Option {
	return func(o *options) error {
		o.keyNames = nil
		for _, n := range append([]string{name}, aliases...) {
			n = strings.ToLower(n)
			if !isMetadataName(n) || notForKeys(n) {
				return fmt.Errorf("KeyMetadata: %q is not a metadata name, or has another meaning", n)
			}
			if slices.Contains(o.keyNames, n) {
				return fmt.Errorf("KeyMetadata: %s is named twice", n)
			}
			o.keyNames = append(o.keyNames, n)
		}
		return nil
	}
}

// RecordMetadata adds header and trailer entries to those that are recorded and
// replayed, on every method; names ending in -bin, too. A method's own go into
// [idempotency.Policy].Headers. Default none. Unsafe names (credentials, what
// belongs to one connection or trace, grpc-…) are an error.
func RecordMetadata(names ...string) Option {
	return func(o *options) error {
		o.metadata = append(o.metadata, lower(names)...)
		if err := checkMetadataNames(names); err != nil {
			return fmt.Errorf("RecordMetadata: %w", err)
		}
		return nil
	}
}

// ErrorDomain sets the domain of the ErrorInfo details by which clients tell
// this library's refusals from the service's own errors. Default
// [DefaultDomain].
func ErrorDomain(domain string) Option {
	return func(o *options) error {
		if domain == "" {
			return errors.New("ErrorDomain: it is empty")
		}
		o.domain = domain
		return nil
	}
}

// Wait sets how long duplicates wait for a running attempt on methods that do
// not say so themselves, or that they do not ([idempotency.NoWait]). 1 ms to 10
// min. Default: the guard's, if it waits, else [DefaultWait].
func Wait(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 && d != idempotency.NoWait {
			return fmt.Errorf("Wait: %v is not a time to wait", d)
		}
		o.wait = d
		return nil
	}
}

// ReplayGuardFunc decides whether the caller may have a recorded answer. The
// context is the call's; fullMethod is spelled as grpc-go spells it, with a
// leading slash. It is called on the call's goroutine, before anything of the
// record is sent. Its error is for the log and the trace hooks; the client gets
// PERMISSION_DENIED, reason REPLAY_DENIED, and the record stays as it is.
type ReplayGuardFunc func(ctx context.Context, fullMethod string, recorded idempotency.Recorded) error

// ReplayGuard sets a function that is asked before every replay, on all
// methods: for what must be checked again about the operation, such as a grant
// that was revoked.
func ReplayGuard(guard ReplayGuardFunc) Option {
	return func(o *options) error {
		if guard == nil {
			return errors.New("ReplayGuard: the function is nil")
		}
		if o.replayGuard != nil {
			return errors.New("the replay guard is set twice")
		}
		o.replayGuard = guard
		return nil
	}
}

// waitPolicy is what the transport's default adds to the guard's policy.
func (o *options) waitPolicy(base idempotency.Policy) idempotency.Policy {
	switch {
	case o.wait != 0:
		return idempotency.Policy{Wait: o.wait}
	case base.Wait == idempotency.NoWait: // which is what a guard has that nobody told anything
		return idempotency.Policy{Wait: DefaultWait}
	}
	return idempotency.Policy{}
}
