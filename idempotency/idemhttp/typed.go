package idemhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/tagged"
)

// JSON makes a handler of a function from a struct to an answer. The tags of the
// struct say where its members come from and, once the handler is mounted by
// [Middleware.Handle], [Middleware.Mount], [Middleware.Wrap] or [Middleware.Protect],
// where key and scope are and what counts when a retry is compared:
//
//		type CreatePayment struct {
//			RequestID string `json:"request_id" idempotency:"key"`
//			Merchant  string `json:"merchant"   idempotency:"scope"`
//			Amount    int64  `json:"amount"`
//			Comment   string `json:"comment"    idempotency:"-"`
//		}
//
//		create := idemhttp.JSON(func(ctx context.Context, req CreatePayment) (*Payment, error) { … })
//
//	  - key: the idempotency key. A key in the header is accepted as well; if both
//	    are there and differ, that is 400 idempotency_key_invalid;
//	  - scope: is added to the scope that the middleware finds ([ScopeWithin]), and
//	    never takes its place. If it is not set, that is 500 scope_missing;
//	  - "-": does not count. With fingerprint on some fields, only those count.
//
// Compared is the body itself, member by member, and not what the struct makes of
// it: how it is written does not count (RFC 8785), nor does Content-Type, but a
// member that is not there is another than one with the value zero, and one instant
// written in two time zones is two. A body with two names that differ in case only,
// or a name in another case than that of a tagged field, counts byte for byte. The
// method, the path and the query always count as well.
//
// A field without a tag can be added to the struct while keys are in use, because a
// retry does not set it. A change of its tags changes how requests are compared: a
// retry over that is 503 record_unreadable, unless there were no tags before, or
// [FormerFingerprints] has the former members as FingerprintExclude or
// FingerprintOnly, with that of the key among the excluded.
//
// Fields tagged path:"id" or query:"dry_run", with json:"-", come from the path
// ([http.Request.PathValue]) and the query: strings, integers, bools and types
// with UnmarshalText. All others come from the body, which is one JSON object that
// encoding/json can read (no interfaces with methods, channels or functions);
// unknown members, members that are given twice and what follows the object are
// refused. A request that cannot be read is answered with 400, and the function
// does not run. That is its recorded answer, as for any handler, if its key is in
// the header and no scope in the struct; else nothing is claimed, and its key is
// free for the request once it is put right.
//
// The answer is the result as JSON, with 200 or [JSONStatus]; or, for a status
// that has no body, without one. A result with a method HTTPStatus() int says its
// status itself, one with HTTPHeader() http.Header its header fields: a Location,
// an ETag. A result that is an [http.Handler] writes the answer itself. An error is
// answered as problem+json (RFC 9457): with its text and
// status if it, or one that it wraps, has HTTPStatus and that is below 500; an
// [*idempotency.Error] as the middleware tells it; any other with 500 and nothing
// of its text. HTTPHeader counts there, too. The status decides what is recorded,
// as for any handler.
//
// What is wrong with the struct or the options is an error of whatever mounts the
// handler ([Middleware.Protect] only logs it); without such, every request is answered
// with 500 and the reason. So is one whose path has no value for a field, because the
// router does not fill [http.Request.PathValue]: see [PathValue]. A middleware between JSON and what mounts it hides the tags: then requests to a
// struct with key or scope get 500, and the handler does not run. Without any
// middleware of this package, the handler serves unprotected.
//
// The function may be called at once for different requests.
func JSON[Req, Resp any](fn func(context.Context, Req) (Resp, error), opts ...JSONOption) http.Handler {
	h := &jsonHandler[Req, Resp]{fn: fn}
	h.requests, h.wrong = newRequestPlan(reflect.TypeFor[Req]())
	if answer := reflect.TypeFor[Resp](); !answer.Implements(reflect.TypeFor[http.Handler]()) {
		h.wrong = errors.Join(h.wrong, tagged.CheckWritten(answer))
	}
	if fn == nil {
		h.wrong = errors.Join(h.wrong, errors.New("the function is nil"))
	}
	h.wrong = errors.Join(h.wrong, h.opts.apply(opts))
	if h.wrong != nil {
		h.wrong = fmt.Errorf("JSON: %w", h.wrong)
	}
	return h
}

// jsonHandler is a typed handler.
type jsonHandler[Req, Resp any] struct {
	fn       func(context.Context, Req) (Resp, error)
	opts     jsonOptions
	requests *requestPlan
	wrong    error // what makes it no handler at all
}

func (h *jsonHandler[Req, Resp]) plan() (*requestPlan, error) { return h.requests, h.wrong }

func (h *jsonHandler[Req, Resp]) fail(w http.ResponseWriter, r *http.Request, err error) {
	if failed, ok := errors.AsType[interface {
		error
		HTTPHeader() http.Header
	}](err); ok {
		addHeader(w.Header(), failed.HTTPHeader())
	}
	h.opts.write(w, r, err)
}

// ServeHTTP implements [http.Handler].
func (h *jsonHandler[Req, Resp]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.wrong != nil {
		http.Error(w, "idempotency: "+h.wrong.Error(), http.StatusInternalServerError)
		return
	}
	if err := h.misplaced(r); err != nil {
		http.Error(w, "idempotency: "+err.Error(), http.StatusInternalServerError)
		return
	}
	value, err := h.value(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer, err := h.fn(r.Context(), h.argument(value))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if own, ok := any(answer).(http.Handler); ok {
		own.ServeHTTP(w, r)
		return
	}
	writeAnswer(w, h.opts.status, answer)
}

// argument is the value as the function takes it.
func (h *jsonHandler[Req, Resp]) argument(value reflect.Value) Req {
	if reflect.TypeFor[Req]().Kind() != reflect.Pointer {
		value = value.Elem()
	}
	req, _ := reflect.TypeAssert[Req](value)
	return req
}

// value returns what the middleware has decoded; or, without one, decodes it.
func (h *jsonHandler[Req, Resp]) value(w http.ResponseWriter, r *http.Request) (reflect.Value, error) {
	if given, ok := h.given(r.Context()); ok {
		return given.value, given.err
	}
	with := mountedIn(r.Context())
	body, err := readBody(w, r, max(h.opts.maxBody, with.maxBody))
	if errors.Is(err, errBodyTooLarge) {
		return reflect.Value{}, statusError{http.StatusRequestEntityTooLarge, err}
	}
	if err != nil {
		return reflect.Value{}, badRequest(err, "The body could not be read to its end.")
	}
	return h.requests.decode(r, body, with.pathValue)
}

// given returns what the middleware has decoded for this handler.
func (h *jsonHandler[Req, Resp]) given(ctx context.Context) (typedRequest, bool) {
	request, ok := ctx.Value(typedKey{}).(typedRequest)
	return request, ok && request.plan == h.requests
}

// misplaced says why a request cannot be served where the handler is mounted. What it
// was given is as it should be.
func (h *jsonHandler[Req, Resp]) misplaced(r *http.Request) error {
	if _, given := h.given(r.Context()); given {
		return nil
	}
	if h.hidden(r.Context()) {
		tellOuter(r.Context(), errHidden.Error())
		return errHidden
	}
	return h.requests.checkPath(r, mountedIn(r.Context()).pathValue)
}

// hidden reports whether a request that was not given is protected by a middleware
// that has not seen this handler's tags.
func (h *jsonHandler[Req, Resp]) hidden(ctx context.Context) bool {
	protected := idempotency.InAttempt(ctx)
	return protected && (h.requests.tags.HasKey() || h.requests.tags.HasScope())
}

// errHidden is told at the first request: a chain cannot be looked through.
var errHidden = errors.New("JSON: a middleware between it and the protected route hides its tags: " +
	"protect the handler itself, and put the middleware outside")

// JSONOption configures [JSON]. One that is given twice is an error.
type JSONOption func(*jsonOptions) error

type jsonOptions struct {
	status  int
	maxBody int64
	write   func(w http.ResponseWriter, r *http.Request, err error)
}

// apply reads the options, and fills in what none of them says.
func (o *jsonOptions) apply(opts []JSONOption) error {
	var errs []error
	for _, opt := range opts {
		if opt == nil {
			errs = append(errs, errors.New("a nil option"))
			continue
		}
		errs = append(errs, opt(o))
	}
	o.status, o.maxBody = cmp.Or(o.status, http.StatusOK), cmp.Or(o.maxBody, 1<<20)
	if o.write == nil {
		o.write = writeFailure
	}
	return errors.Join(errs...)
}

// JSONStatus sets the status of results that do not say theirs: 200 to 299.
// Default 200.
func JSONStatus(status int) JSONOption {
	return func(o *jsonOptions) error {
		switch {
		case status < 200 || status > 299:
			return fmt.Errorf("JSONStatus: %d is not within 200 and 299", status)
		case o.status != 0:
			return errors.New("JSONStatus is given twice")
		}
		o.status = status
		return nil
	}
}

// JSONErrors replaces the answers to errors: those of the function, and those of
// requests that cannot be read, which have HTTPStatus() 400 or 413.
func JSONErrors(write func(w http.ResponseWriter, r *http.Request, err error)) JSONOption {
	return func(o *jsonOptions) error {
		switch {
		case write == nil:
			return errors.New("JSONErrors: the function is nil")
		case o.write != nil:
			return errors.New("JSONErrors is given twice")
		}
		o.write = write
		return nil
	}
}

// JSONMaxBody bounds the body in bytes where the handler serves unprotected;
// where it is protected, [idempotency.Policy].MaxRequestBody does. On a protected
// route the greater of the two holds for requests whose key is missing, off or only
// watched. Above 0, default 1 MiB.
func JSONMaxBody(bytes int64) JSONOption {
	return func(o *jsonOptions) error {
		switch {
		case bytes <= 0:
			return fmt.Errorf("JSONMaxBody: %d is not above 0", bytes)
		case o.maxBody != 0:
			return errors.New("JSONMaxBody is given twice")
		}
		o.maxBody = bytes
		return nil
	}
}
