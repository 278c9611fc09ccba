package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// ClientOption configures a [Client].
type ClientOption func(*clientOptions) error

type clientOptions struct {
	metadata string
	field    string // where keys are put instead; "" for the metadata
	methods  []string
	where    func(method string) bool
	draw     func(ctx context.Context, method string, req any) (string, error) // nil for a fresh UUID
}

func defaultClientOptions() clientOptions {
	return clientOptions{metadata: "idempotency-key"}
}

// SendKeyIn names the metadata that carries the key. Default "idempotency-key".
func SendKeyIn(name string) ClientOption {
	return func(o *clientOptions) error {
		name = strings.ToLower(name)
		if !isMetadataName(name) || notForKeys(name) {
			return fmt.Errorf("SendKeyIn: %q is no name of text metadata, or has another meaning", name)
		}
		o.metadata = name
		return nil
	}
}

// SendKeyInField puts keys into a string field of the request, such as
// "request_id" (https://google.aip.dev/155), instead of the metadata. A path is
// made of the names in the .proto, joined by dots. It is a fallback, for methods
// whose policy option names no key field: those that name one have the key there,
// and those without this field have it in the metadata. A server that was not told
// of the field ([KeyField], or key_field in the .proto) does not look there. Keys that are drawn follow the field's declared format; those of
// [WithKey] and [SendKeyFrom] must follow it, too. Default: the metadata.
func SendKeyInField(path string) ClientOption {
	return func(o *clientOptions) error {
		for name := range strings.SplitSeq(path, ".") {
			if !protoreflect.Name(name).IsValid() {
				return fmt.Errorf("SendKeyInField: %q is no path of field names", path)
			}
		}
		o.field = path
		return nil
	}
}

// SendKeysFor names services ("payments.v1.PaymentService") and methods
// ("payments.v1.PaymentService/CreatePayment") that want keys, beside those whose
// .proto says so: for services without the policy option.
func SendKeysFor(names ...string) ClientOption {
	return func(o *clientOptions) error {
		for _, name := range names {
			name = strings.TrimPrefix(name, "/")
			service, method, one := strings.Cut(name, "/")
			if !protoreflect.FullName(service).IsValid() || one && !protoreflect.Name(method).IsValid() {
				return fmt.Errorf("SendKeysFor: %q is no service and no method", name)
			}
			o.methods = append(o.methods, name)
		}
		return nil
	}
}

// SendKeysWhere lets a function decide which methods want keys, in place of the
// policy option and of [SendKeysFor]. It is called with the full name,
// "/payments.v1.PaymentService/CreatePayment", at the first calls of a method,
// from any number of goroutines, and must always say the same. It is not asked
// about methods without side effects or with KEY_OFF.
func SendKeysWhere(wants func(fullMethod string) bool) ClientOption {
	return func(o *clientOptions) error {
		if wants == nil {
			return errors.New("SendKeysWhere: the function is nil")
		}
		o.where = wants
		return nil
	}
}

// SendKeyFrom sets where the key of a call comes from that has none of its own or in
// its context, instead of a fresh UUID. It is called once per call, from any
// number of goroutines, and must not change the request, which is nil for
// streams. An error or a key that cannot be sent fails the call, and nothing is
// sent.
func SendKeyFrom(key func(ctx context.Context, fullMethod string, req any) (string, error)) ClientOption {
	return func(o *clientOptions) error {
		if key == nil {
			return errors.New("SendKeyFrom: the function is nil")
		}
		o.draw = key
		return nil
	}
}
