package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
)

// Gateway lets HTTP clients of a protected service, behind a grpc-gateway, see
// what they would see of the HTTP middleware: the key in a header field, the
// marks in header fields, and the HTTP status of each refusal. Its methods have
// the types that grpc-gateway's runtime package wants, which this package does
// not import:
//
//	gateway, err := idemgrpc.NewGateway()
//	mux := runtime.NewServeMux(
//		runtime.WithMetadata(gateway.Metadata),
//		runtime.WithOutgoingHeaderMatcher(gateway.HeaderMatcher(nil)),
//		runtime.WithOutgoingTrailerMatcher(gateway.TrailerMatcher(nil)),
//		runtime.WithForwardResponseOption(func(ctx context.Context, w http.ResponseWriter, answer proto.Message) error {
//			told, _ := runtime.ServerMetadataFromContext(ctx)
//			gateway.DescribeAnswer(w.Header(), told.HeaderMD, answer)
//			return nil
//		}),
//		runtime.WithErrorHandler(func(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
//			told, _ := runtime.ServerMetadataFromContext(ctx)
//			if code, ok := gateway.DescribeError(w.Header(), told.TrailerMD, err); ok {
//				err = &runtime.HTTPStatusError{HTTPStatus: code, Err: err}
//			}
//			runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
//		}))
//	err = paymentspb.RegisterPaymentServiceHandler(ctx, mux, conn)
//
// The interceptors run in the gRPC server, so a gateway must call one. The
// RegisterXxxHandlerServer functions call the service's methods themselves:
// behind those, nothing is protected.
//
// One key is one operation, whether it comes over HTTP or gRPC. A server
// stream's error before its first message gets its status and header from
// grpc-gateway alone, which asks no error handler: FAILED_PRECONDITION is 400
// there.
//
// A Gateway does not change, and is safe for concurrent use.
type Gateway struct {
	keyNames []string // in lower case
	domains  []string
}

// GatewayOption configures a [Gateway].
type GatewayOption func(*Gateway) error

// GatewayKeyHeader names the header field that carries the key, and further
// ones. Each becomes the metadata entry of the same name, which the service must
// look for: see [KeyMetadata]. Default Idempotency-Key.
func GatewayKeyHeader(name string, more ...string) GatewayOption {
	return func(g *Gateway) error {
		g.keyNames = nil
		for _, n := range lower(append([]string{name}, more...)) {
			if !isMetadataName(n) || notForKeys(n) {
				return fmt.Errorf("GatewayKeyHeader: %q cannot be a metadata name, or has another meaning", n)
			}
			if slices.Contains(g.keyNames, n) {
				return fmt.Errorf("GatewayKeyHeader: %s is named twice", n)
			}
			g.keyNames = append(g.keyNames, n)
		}
		return nil
	}
}

// GatewayErrorDomain names the domains of services with [ErrorDomain], beside
// [DefaultDomain], whose refusals are told by [Gateway.DescribeError].
func GatewayErrorDomain(domains ...string) GatewayOption {
	return func(g *Gateway) error {
		if len(domains) == 0 || slices.Contains(domains, "") {
			return errors.New("GatewayErrorDomain: it names none, or an empty one")
		}
		g.domains = append(g.domains, domains...)
		return nil
	}
}

// NewGateway returns a gateway's part in idempotency. Errors name the option and
// what is wrong with it.
func NewGateway(options ...GatewayOption) (*Gateway, error) {
	g := &Gateway{keyNames: []string{"idempotency-key"}}
	for _, option := range options {
		if option == nil {
			return nil, errors.New("idemgrpc: NewGateway: a nil option")
		}
		if err := option(g); err != nil {
			return nil, fmt.Errorf("idemgrpc: NewGateway: %w", err)
		}
	}
	return g, nil
}

// Metadata returns the metadata with which a request goes to the service: for
// runtime.WithMetadata. Every line of the key's field goes there as it is, bare
// or quoted, so that the service judges it. A line that gRPC cannot carry goes
// as an empty one, which no service takes for a key: dropped, it would let a
// method on which keys are optional run unprotected.
//
// What only gRPC itself may say about its own retries is taken out, whichever
// header matcher let it in.
//
// grpc-gateway v2.33 replaces with this what its header matcher let in under the
// same names. v2.27 adds it: there a matcher that passes the key on, too, makes two
// of one, which the service refuses with INVALID_ARGUMENT.
func (g *Gateway) Metadata(_ context.Context, r *http.Request) metadata.MD {
	md := metadata.MD{
		// Nobody is heard under a name without values, and the gateway replaces
		// what came in under each name that it is given here.
		"grpc-previous-rpc-attempts": nil,
		"grpc-retry-pushback-ms":     nil,
	}
	for _, name := range g.keyNames {
		for _, line := range r.Header.Values(name) {
			if checkSent(line) != nil {
				line = ""
			}
			md.Append(name, line)
		}
	}
	return md
}

// HeaderMatcher returns a matcher for runtime.WithOutgoingHeaderMatcher: the
// marks stay behind, and other metadata goes by rest; nil does as a gateway
// without a matcher, which puts Grpc-Metadata- before each name.
//
// A gateway puts what came in the header on errors, too. One that lost its
// connection after the header of a success would say of its own 503 or 504 that it
// was executed or replayed. So marks are set by [Gateway.DescribeAnswer] and
// [Gateway.DescribeError] alone.
func (g *Gateway) HeaderMatcher(rest func(name string) (string, bool)) func(name string) (string, bool) {
	if rest == nil {
		rest = func(name string) (string, bool) { return "Grpc-Metadata-" + name, true }
	}
	return func(name string) (string, bool) {
		if slices.Contains(marks(), strings.ToLower(name)) {
			return "", false
		}
		return rest(name)
	}
}

// DescribeAnswer sets the marks of an answer that came whole, or of a stream whose
// first message did: the header fields Idempotent-Replayed, Idempotency-Status and
// Idempotency-Recorded-At. It is for runtime.WithForwardResponseOption, whose last
// argument answer is. While that is nil, which means that a stream has only begun,
// nothing is set; so a stream that ends without a message has no marks.
//
// header is the call's, and may be nil. The owner of h must not use it at the same
// time.
func (g *Gateway) DescribeAnswer(h http.Header, header metadata.MD, answer proto.Message) {
	if answer != nil {
		setMarks(h, header)
	}
}

// TrailerMatcher returns a matcher for runtime.WithOutgoingTrailerMatcher, which
// counts where a client says "TE: trailers": what gRPC itself says in trailers
// stays behind, and the rest goes by rest; nil does as a gateway without a
// matcher, which puts Grpc-Trailer- before each name. Such a gateway sends on the
// details of an error, too, in bytes that are no HTTP, and every refusal has
// details.
func (g *Gateway) TrailerMatcher(rest func(name string) (string, bool)) func(name string) (string, bool) {
	if rest == nil {
		rest = func(name string) (string, bool) { return "Grpc-Trailer-" + name, true }
	}
	return func(name string) (string, bool) {
		if strings.HasPrefix(strings.ToLower(name), "grpc-") {
			return "", false
		}
		return rest(name)
	}
}

// DescribeError sets the header fields of an error's answer: the marks, which
// for errors come in the trailer, and Retry-After if the status has RetryInfo. If
// the error is a refusal of the library, it returns the HTTP status that the HTTP
// middleware gives it, and ok.
//
// Marks that are there are taken out: they are those of an answer that the gateway
// could not write down.
//
// err is what the call returned, also wrapped; trailer is the call's, and may be
// nil. The header's owner must not use it at the same time.
func (g *Gateway) DescribeError(h http.Header, trailer metadata.MD, err error) (code int, ok bool) {
	for _, name := range marks() {
		h.Del(name)
	}
	refused, isRefusal := errors.AsType[*CallError](CheckError(err, g.domains...))
	if isRefusal {
		if r, known := refusalByReason(reasonOf(refused.Code)); known {
			h.Set("Idempotency-Status", r.mark)
		}
		code, ok = httpStatusOf(refused.Code)
	}
	setMarks(h, trailer)
	if wait := retryDelay(err); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds())))) // who comes back early is refused again
	}
	return code, ok
}

func setMarks(h http.Header, md metadata.MD) {
	for _, name := range marks() {
		if values := valuesOf(md, name); len(values) > 0 {
			h.Set(name, values[0])
		}
	}
}

func marks() []string { return []string{markReplayedName, markStatus, markRecordedAt} }

// retryDelay is what a status says of a retry, the service's own statuses
// included; 0 if nothing.
func retryDelay(err error) time.Duration {
	st, _ := status.FromError(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// httpStatusOf is the HTTP middleware's status of a refusal. A code that this
// version of the library does not know has none.
func httpStatusOf(code idempotency.Code) (int, bool) {
	switch code {
	case idempotency.ErrKeyMissing, idempotency.ErrKeyInvalid, idempotency.ErrBodyUnreadable:
		return http.StatusBadRequest, true
	case idempotency.ErrReplayDenied:
		return http.StatusForbidden, true
	case idempotency.ErrInProgress, idempotency.ErrOutcomeUnknown, idempotency.ErrResultUnavailable:
		return http.StatusConflict, true
	case idempotency.ErrBodyTooLarge:
		return http.StatusRequestEntityTooLarge, true
	case idempotency.ErrKeyReused:
		return http.StatusUnprocessableEntity, true
	case idempotency.ErrScopeBusy:
		return http.StatusTooManyRequests, true
	case idempotency.ErrScopeMissing:
		return http.StatusInternalServerError, true
	case idempotency.ErrOverloaded, idempotency.ErrNotStarted, idempotency.ErrStoreUnavailable,
		idempotency.ErrDraining, idempotency.ErrLeaseLost, idempotency.ErrRecordUnreadable:
		return http.StatusServiceUnavailable, true
	}
	return 0, false
}
