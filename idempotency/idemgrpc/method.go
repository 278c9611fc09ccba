package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reprise-go/reprise/idempotency"
)

// ServiceMethod says how one method of a service is protected. Made by
// [Method], for [Interceptor.Protect].
type ServiceMethod struct {
	name string
	set  methodSettings
	errs []error
}

// Method names a method of a service, without the service's name, and says how
// it is protected: by policies, which are applied over the guard's from left to
// right; by [idempotency.Reconcile]; and by the options of this package.
func Method(name string, opts ...idempotency.OperationOption) ServiceMethod {
	m := ServiceMethod{name: name, set: methodSettings{said: true}}
	for _, opt := range opts {
		switch opt := opt.(type) {
		case nil:
			m.errs = append(m.errs, errors.New("a nil option"))
		case methodOption:
			m.errs = append(m.errs, opt.set(&m.set))
		case idempotency.Policy:
			m.set.policy = m.set.policy.Override(opt)
		default:
			m.set.others = append(m.set.others, opt)
		}
	}
	return m
}

// methodSettings is what one source says about a method: its declaration in the
// .proto, or the Go code.
type methodSettings struct {
	// said says that there was something, even if it was empty.
	said bool
	// readOnly: declared as free of side effects.
	readOnly bool
	policy   idempotency.Policy
	// keyField is a field of the request that carries the key.
	keyField string
	// keyFieldFormat is that of keys in keyField; "" for the policy's.
	keyFieldFormat idempotency.KeyFormat
	// scopeField is a field of the request that is part of the scope.
	scopeField string
	exclude    []string
	keyFrom    KeyFunc
	// former are configurations of the fingerprint that records may still name.
	former []formerSettings
	others []idempotency.OperationOption
}

// KeyFunc finds the key of a call; "" if there is none.
type KeyFunc func(ctx context.Context, request proto.Message) (string, error)

// methodOption is an option that is for methods only. What is embedded makes it fit
// into a list with the engine's options.
type methodOption struct {
	idempotency.OperationOption
	set func(*methodSettings) error
}

func newMethodOption(name string, set func(*methodSettings) error) idempotency.OperationOption {
	return methodOption{idempotency.NoOperationOption("idemgrpc."+name, "idemgrpc.Method"), set}
}

// KeyField names the field of the request that carries the key, beside the
// metadata: "request_id" (AIP-155), or a path such as "meta.request_id" through
// messages that are neither repeated nor maps. It is a string, an integer or an
// enum. A call that has both must have them equal. The field does not count in
// the fingerprint. If the .proto says of a string field that it is a UUID4
// (google.api.field_info, https://google.aip.dev/155), that is its
// [KeyFieldFormat] unless one is said.
func KeyField(path string) idempotency.OperationOption {
	return newMethodOption("KeyField", func(set *methodSettings) error { return setPath(&set.keyField, path, "KeyField") })
}

// KeyFieldFormat says what a key may look like that comes in the [KeyField], such
// as [idempotency.KeyUUIDv4] for a request_id of AIP-155. It is for that field
// alone: a key in the metadata follows the policy's KeyFormat, by default any,
// and may be of another form. One UUID is one key in both places, in upper and
// lower case; so where this is new, UUIDs that were sent in upper case before are
// new keys. Default: what the .proto says of the field by google.api.field_info, else
// the policy's KeyFormat. The formats of UUIDs need a field that is a string.
func KeyFieldFormat(format idempotency.KeyFormat) idempotency.OperationOption {
	return newMethodOption("KeyFieldFormat", func(set *methodSettings) error {
		switch format {
		case idempotency.KeyAny, idempotency.KeyUUID, idempotency.KeyUUIDv4, idempotency.KeyUUIDv7:
			return setOnce(&set.keyFieldFormat, format, "KeyFieldFormat")
		default:
			return fmt.Errorf("KeyFieldFormat is %q, which is no format of keys", format)
		}
	})
}

// ScopeField names a field of the request whose value is part of the scope,
// within that of [Scope]: the same key with another value is another operation.
// It is a path as that of [KeyField]. A call without the field has no scope.
func ScopeField(path string) idempotency.OperationOption {
	return newMethodOption("ScopeField", func(set *methodSettings) error { return setPath(&set.scopeField, path, "ScopeField") })
}

func setPath(field *string, path, name string) error {
	if path == "" {
		return fmt.Errorf("%s: the path is empty", name)
	}
	return setOnce(field, path, name)
}

func setOnce[T ~string](field *T, value T, name string) error {
	if *field != "" {
		return fmt.Errorf("%s is given twice", name)
	}
	*field = value
	return nil
}

// Exclude names fields of the request that do not count when a key is presented
// again, such as the time of sending: paths, also through repeated messages and
// the values of maps. A message is left out with all that it holds.
func Exclude(paths ...string) idempotency.OperationOption {
	return newMethodOption("Exclude", func(set *methodSettings) error {
		set.exclude = append(set.exclude, paths...)
		return nil
	})
}

// FormerFingerprint names a configuration that the method's requests were compared
// by before it was changed: the policy's FingerprintHeaders, [Exclude] and
// [KeyField], of which the policy's other fields and all other options are no
// part. Records name their configuration by a digest only, so that without this
// the keys in use at the change are answered with FAILED_PRECONDITION, reason
// RECORD_UNREADABLE, until their records expire. May be given more than once.
//
//	idemgrpc.Method("CreatePayment",
//		idemgrpc.KeyField("request_id"), idemgrpc.Exclude("sent_at", "trace"),
//		idemgrpc.FormerFingerprint(idemgrpc.KeyField("request_id"), idemgrpc.Exclude("sent_at")))
//
// It says the configuration in full: what the .proto declared then and the
// guard's FingerprintHeaders included. Requests that were compared as a whole,
// without any of the three, are always known. Deploy a change in two steps: first
// every process learns the new configuration as if it were a former one, then
// they use it.
//
// Errors of [Interceptor.Protect] name what cannot have been a configuration,
// such as a path that the request no longer has.
func FormerFingerprint(config ...idempotency.OperationOption) idempotency.OperationOption {
	former := Method("", config...)
	return newMethodOption("FormerFingerprint", func(set *methodSettings) error {
		set.former = append(set.former, formerSettings{former.set})
		return errors.Join(former.errs...)
	})
}

// Off says that a method is not protected: calls pass through.
func Off() idempotency.OperationOption { return idempotency.Policy{Key: idempotency.KeyOff} }

// KeyFrom sets a function that finds a call's key, in place of metadata and
// field. The key must have 1 to 255 characters of 0x20 to 0x7E and follow the
// policy's KeyFormat; an empty one means that there is none. An error is
// answered with INVALID_ARGUMENT; its text goes to the trace hooks and never to
// the client. Called on the call's goroutine, and at once for different calls;
// the request must not be changed or kept.
func KeyFrom(key KeyFunc) idempotency.OperationOption {
	return newMethodOption("KeyFrom", func(set *methodSettings) error {
		if key == nil {
			return errors.New("KeyFrom: the function is nil")
		}
		if set.keyFrom != nil {
			return errors.New("KeyFrom is given twice")
		}
		set.keyFrom = key
		return nil
	})
}

// merge puts together what the .proto and the Go code say. What both say must
// be the same.
func (s methodSettings) merge(code methodSettings) (methodSettings, error) {
	errs := contradictions(s.policy, code.policy)
	merged := methodSettings{
		said:           s.said || code.said,
		readOnly:       s.readOnly,
		policy:         s.policy.Override(code.policy),
		keyField:       both(&errs, "KeyField", s.keyField, code.keyField),
		keyFieldFormat: both(&errs, "KeyFieldFormat", s.keyFieldFormat, code.keyFieldFormat),
		scopeField:     both(&errs, "ScopeField", s.scopeField, code.scopeField),
		exclude:        append(slices.Clone(s.exclude), code.exclude...),
		keyFrom:        code.keyFrom,
		former:         code.former,
		others:         append(slices.Clone(s.others), code.others...),
	}
	return merged, errors.Join(errs...)
}

func both[T ~string](errs *[]error, name string, declared, code T) T {
	if declared != "" && code != "" && declared != code {
		*errs = append(*errs, fmt.Errorf("%s is %q in the .proto and %q in the code", name, declared, code))
	}
	if declared != "" {
		return declared
	}
	return code
}

// contradictions compares two policies field by field. Lists add up.
func contradictions(declared, code idempotency.Policy) []error {
	var errs []error
	a, b := reflect.ValueOf(declared), reflect.ValueOf(code)
	for i := range a.NumField() {
		x, y := a.Field(i), b.Field(i)
		if x.Kind() == reflect.Slice || x.IsZero() || y.IsZero() || x.Equal(y) {
			continue
		}
		errs = append(errs, fmt.Errorf("Policy.%s is %v in the .proto and %v in the code", a.Type().Field(i).Name, x, y))
	}
	return errs
}

// operationName is a method's name without the leading slash that grpc-go puts
// before it.
func operationName(md protoreflect.MethodDescriptor) string {
	return string(md.Parent().FullName()) + "/" + string(md.Name())
}
