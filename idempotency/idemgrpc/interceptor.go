package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reprise-go/reprise/idempotency"
)

// Interceptor protects gRPC methods on one guard. Safe for concurrent use.
type Interceptor struct {
	guard *idempotency.Guard
	opts  options

	mu       sync.RWMutex
	services map[protoreflect.FullName]bool
	methods  map[string]*method // by full name, with the leading slash

	askedUnary, askedStream atomic.Bool
}

// New returns an interceptor that protects nothing yet: see
// [Interceptor.Protect]. A scope must be chosen: [Scope] or [GlobalScope].
// Errors name the option that is wrong.
func New(guard *idempotency.Guard, opts ...Option) (*Interceptor, error) {
	if guard == nil {
		return nil, errors.New("idemgrpc: the guard is nil")
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("idemgrpc: %w", err)
	}
	if err := guard.Policy().Override(o.waitPolicy(guard.Policy())).Validate(); err != nil {
		return nil, fmt.Errorf("idemgrpc: %w", err)
	}
	return &Interceptor{
		guard:    guard,
		opts:     o,
		services: make(map[protoreflect.FullName]bool),
		methods:  make(map[string]*method),
	}, nil
}

// Protect protects a service, as its generated code describes it:
//
//	err := interceptor.Protect(paymentspb.File_payments_proto.Services().ByName("PaymentService"),
//		idemgrpc.Method("CreatePayment", idempotency.Policy{Retention: time.Hour}, idemgrpc.KeyField("request_id")))
//
// Methods that are declared with idempotency_level = NO_SIDE_EFFECTS are not
// protected; all others are, those that are not named by the guard's policy. What
// a method's declaration says by options and what is said here add up, and may
// not contradict each other. Client- and bidi-streaming methods cannot be
// protected: they must be [Off], or their policy says [idempotency.StreamPass].
// Services that nobody names, such as reflection and health, are left alone.
//
// An operation's name is the method's full name without a leading slash,
// "payments.v1.PaymentService/CreatePayment".
//
// Errors name every method that something is wrong with: an unknown method or
// field path, a key field of a type without a text form, a contradiction. Then
// nothing is protected. Call it before the server serves, and [Interceptor.Check]
// once the services are registered.
func (i *Interceptor) Protect(service protoreflect.ServiceDescriptor, methods ...ServiceMethod) error {
	if service == nil {
		return errors.New("idemgrpc: Protect: the service is nil")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.services[service.FullName()] {
		return fmt.Errorf("idemgrpc: %s is protected already", service.FullName())
	}
	plans, err := i.plan(service, methods)
	if err != nil {
		return linesError{"idemgrpc: ", err}
	}
	if err := i.register(plans); err != nil {
		return linesError{"idemgrpc: ", err}
	}
	for _, m := range plans {
		i.methods["/"+m.name] = m
	}
	i.services[service.FullName()] = true
	return nil
}

// plan checks what is said about a service's methods.
func (i *Interceptor) plan(service protoreflect.ServiceDescriptor, methods []ServiceMethod) ([]*method, error) {
	plans := make([]*method, 0, service.Methods().Len())
	var errs []error
	for _, said := range methods {
		if service.Methods().ByName(protoreflect.Name(said.name)) == nil {
			errs = append(errs, fmt.Errorf("%s has no method %q%s", service.FullName(), said.name, nearestMethod(service, said.name)))
		}
	}
	for n := range service.Methods().Len() {
		md := service.Methods().Get(n)
		planned, err := i.planMethod(md, methods)
		if err != nil {
			errs = append(errs, linesError{operationName(md) + ": ", err})
		}
		plans = append(plans, planned)
	}
	return plans, errors.Join(errs...)
}

// linesError is an error each of whose lines begins alike, so that one of many can be
// read by itself.
type linesError struct {
	prefix string
	err    error
}

func (l linesError) Error() string {
	return l.prefix + strings.ReplaceAll(l.err.Error(), "\n", "\n"+l.prefix)
}

func (l linesError) Unwrap() error { return l.err }

func (i *Interceptor) planMethod(md protoreflect.MethodDescriptor, methods []ServiceMethod) (*method, error) {
	declared, err := methodOptions(md)
	if err != nil {
		return nil, err
	}
	var said ServiceMethod
	for _, m := range methods {
		switch {
		case m.name != string(md.Name()):
			continue
		case said.name != "":
			return nil, errors.New("it is named twice")
		case errors.Join(m.errs...) != nil:
			return nil, errors.Join(m.errs...)
		}
		said = m
	}
	set, err := declared.merge(said.set)
	if err != nil {
		return nil, err
	}
	return i.newMethod(md, set)
}

// Unary returns the interceptor for unary methods. Put it inside of what
// recovers, logs and authenticates, and outside of what validates: an
// interceptor inside that turns a panic into an error turns an unknown outcome
// into one that the error's code tells, and one inside that answers for the
// handler is recorded like it.
func (i *Interceptor) Unary() grpc.UnaryServerInterceptor {
	i.askedUnary.Store(true)
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		m := i.method(info.FullMethod)
		if m == nil {
			return handler(ctx, request)
		}
		return m.now().unary(ctx, request, handler)
	}
}

// Stream returns the interceptor for streaming methods. Its place is that of
// [Interceptor.Unary].
func (i *Interceptor) Stream() grpc.StreamServerInterceptor {
	i.askedStream.Store(true)
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		m := i.method(info.FullMethod)
		if m == nil {
			return handler(srv, stream)
		}
		return m.now().stream(stream, info, func(ss grpc.ServerStream) error { return handler(srv, ss) })
	}
}

func (i *Interceptor) method(fullMethod string) *method {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.methods[fullMethod]
}

// keySent reports whether the caller sent a key.
func (i *Interceptor) keySent(ctx context.Context) bool {
	return slices.ContainsFunc(i.opts.keyNames, func(name string) bool {
		return len(incoming(ctx).Get(name)) > 0
	})
}
