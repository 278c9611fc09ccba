package idemgrpc

import (
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// ID is [idempotency.Guard.ID] for a call of a method, whose full name is spelled
// with a leading slash, as in generated code and in grpc-go, or without one, as the
// operation is. The scope is what the [Scope] function returned, within
// [ScopeWithin] where the method has a [ScopeField]. The key is in the form that
// counts: unquoted, and a UUID in lower case where its format is one of UUIDs. No
// round trip.
func ID(guard *idempotency.Guard, fullMethod, scope, key string) store.ID {
	return guard.ID(strings.TrimPrefix(fullMethod, "/"), scope, key)
}
