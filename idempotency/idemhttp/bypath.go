package idemhttp

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/reprise-go/reprise/idempotency"
)

// ProtectByPath returns a middleware that goes around a whole router. There is
// one registered operation, which names the policy and is the label in metrics,
// but to callers every method and path is an operation of its own: the same key
// on another path is independent.
//
// Prefer [Middleware.Handle], or [Middleware.Protect] for each route: there the
// values in a path are no part of the operation, so that a key which comes back
// with another path value is told as idempotency_key_reused, where here it runs.
// Each route has a policy of its own, and a renamed parameter or a moved router
// keeps its keys. ProtectByPath is for routers that cannot be taken apart, such
// as generated ones, reverse proxies and services that are moved to idempotency
// keys step by step, mostly with [idempotency.KeyOptional].
//
// The path counts as URL.EscapedPath spells it where the middleware stands:
// /a%2Fb, /a/b and /a/b/ are three operations. The host does not count. A router
// that serves several hosts needs a scope that tells them apart. Answers to
// requests that the router knows no route for are recorded like others.
//
// Requests that are not protected pass through: those of methods that change
// nothing, gRPC, and where keys are optional those without. If they carry a key
// all the same, their answers say Idempotency-Status: ignored. A route inside
// must not be protected once more; that is told at its first request.
//
// Errors are those of [Middleware.Protect], and an operation that has a
// [Middleware.Status] already.
func (m *Middleware) ProtectByPath(
	name string, opts ...idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	protect, err := m.protect(name, partByPath, opts)
	if err != nil {
		return nil, err
	}
	if err := m.uses.take(name, usedByPath); err != nil {
		return nil, fmt.Errorf("idemhttp: ProtectByPath: %w", err)
	}
	return protect, nil
}

// operationUses remember what operations are used for, where one use excludes
// another: the records of an operation with parts are not found by its name, so
// that a status of it would say "absent" of what has run. Safe for concurrent
// use.
type operationUses struct {
	mu sync.Mutex
	by map[string]operationUse
}

type operationUse uint8

const (
	usedByPath operationUse = iota + 1
	usedByStatus
	usedByScopeField
)

// check says why an operation cannot have a use beside that which it has.
func (u *operationUses) check(operation string, use operationUse) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.excludes(operation, use)
}

func (u *operationUses) take(operation string, use operationUse) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.excludes(operation, use); err != nil {
		return err
	}
	if u.by == nil {
		u.by = make(map[string]operationUse)
	}
	u.by[operation] = use
	return nil
}

// excludes is called under the lock.
func (u *operationUses) excludes(operation string, use operationUse) error {
	was, taken := u.by[operation]
	switch {
	case !taken || was == use:
		return nil
	case was == usedByScopeField || use == usedByScopeField:
		return fmt.Errorf("operation %q has a scope from the fields of its requests, so that neither Status nor "+
			"ProtectByPath would find its records", operation)
	default:
		return fmt.Errorf("operation %q cannot have both Status and ProtectByPath: "+
			"by path, each method and path has records of its own", operation)
	}
}

// partFunc says which part of an operation a request is for, as
// [idempotency.Call].Part has it.
type partFunc func(*http.Request) string

func noParts(*http.Request) string { return "" }

func partByPath(r *http.Request) string { return r.Method + " " + r.URL.EscapedPath() }
