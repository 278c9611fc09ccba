// Package tagged reads what the tags of a request struct say: which field is the
// idempotency key, which ones the scope, and what counts when a retry is compared
// with the first request.
//
//	type CreatePayment struct {
//		RequestID string `json:"request_id" idempotency:"key"`
//		Merchant  string `json:"merchant"   idempotency:"scope"`
//		Amount    int64  `json:"amount"`
//		Comment   string `json:"comment"    idempotency:"-"`
//	}
//
// [Of] makes a [Plan] once for a type and finds every mistake then. A plan holds
// the places of the fields: nothing is looked up by name or by type while requests
// are served.
//
// # The words
//
//	key          the idempotency key; one field at most
//	scope        the scope, or a part of it; several fields are joined
//	fingerprint  only fields with this word count
//	-            the field does not count
//
// Without "fingerprint" and "-" every exported field counts that JSON would write, or
// that has a tag path or query. The key never does. "scope" may stand beside "fingerprint" or "-", as in "scope,-".
// Fields of nested and embedded structs may have tags; what is below a slice, a
// map or an interface, or in a type that writes its own JSON, may not.
//
// # What counts
//
// The fingerprint is made of a JSON object in canonical form (RFC 8785) with what
// counts under its JSON names. A field with its type's zero value, a nil pointer
// among them, is left out: a Go struct cannot tell it from one that was not given.
// So a request means the same before and after a field is added to its struct,
// unless it sets that field: then it is not compared at all. Integers keep all their
// digits.
//
// A type whose JSON may say less than its values hold is a mistake, unless its field
// has "-": it has MarshalJSON or MarshalText and not the method that reads it again, or
// has it from a struct that it embeds beside other fields, or exports nothing. Fields
// that are not exported, beside others that are, do not count.
//
// # Results
//
// [CheckResult] looks at the other end of a function: whether what it returns can be
// recorded as JSON.
package tagged
