package idemgrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// method is a method of a protected service.
type method struct {
	in      *Interceptor
	name    string // the operation's
	options []idempotency.OperationOption
	live    *idempotency.Operation // follows overrides
	op      *idempotency.Operation // does not, nor does policy
	policy  idempotency.Policy

	input, output protoreflect.MessageType
	clientStreams bool
	serverStreams bool
	keyField      fieldPath // nil: there is none
	fieldFormat   idempotency.KeyFormat
	scopeField    fieldPath
	keyFrom       KeyFunc
	fingerprinter fingerprinter
	recorded      []string // metadata that is recorded
}

func (i *Interceptor) newMethod(md protoreflect.MethodDescriptor, set methodSettings) (*method, error) {
	base := i.guard.Policy()
	said := i.opts.waitPolicy(base).Override(set.policy)
	m := &method{
		in: i, name: operationName(md), policy: base.Override(said), keyFrom: set.keyFrom,
		options: append([]idempotency.OperationOption{said}, set.others...),
		input:   messageType(md.Input()), output: messageType(md.Output()),
		clientStreams: md.IsStreamingClient(), serverStreams: md.IsStreamingServer(),
		recorded: recordedNames(i.opts.metadata, sendable(lower(base.Headers)), set.policy.Headers),
	}
	if set.readOnly {
		return m.readOnly(set)
	}
	if err := errors.Join(set.check(), m.policy.Validate(), m.checkStreams(set.policy.Stream)); err != nil {
		return nil, err
	}
	var errs [6]error
	m.keyField, errs[0] = optionalPath(md.Input(), set.keyField)
	m.scopeField, errs[1] = optionalPath(md.Input(), set.scopeField)
	m.fingerprinter, errs[2] = newFingerprinter(md, m.policy, set.uncounted())
	m.fingerprinter.former, errs[3] = formerFingerprinters(md, set.former)
	errs[4] = checkFieldFormat(m.keyField, set.keyFieldFormat, m.policy.KeyFormat)
	m.fieldFormat, errs[5] = fieldFormat(m.keyField, set.keyFieldFormat)
	m.fieldFormat = cmp.Or(m.fieldFormat, m.policy.KeyFormat)
	return m, errors.Join(errs[:]...)
}

// uncounted are the paths of what is no part of the fingerprint.
func (s methodSettings) uncounted() []string {
	if s.keyField == "" {
		return s.exclude
	}
	return append(slices.Clone(s.exclude), s.keyField)
}

// checkFieldFormat knows the format that no key in the field could have.
func checkFieldFormat(field fieldPath, said, inherited idempotency.KeyFormat) error {
	format := cmp.Or(said, inherited)
	if field == nil || format == "" || format == idempotency.KeyAny || isWritable(field) {
		return nil
	}
	last := field[len(field)-1]
	if said == "" {
		return fmt.Errorf("KeyFormat is %q, and the KeyField %s is never a UUID: its type is %v: give it the KeyFieldFormat KeyAny", format, last.Name(), last.Kind())
	}
	return fmt.Errorf("KeyFieldFormat is %q, and %s is never a UUID: its type is %v", format, last.Name(), last.Kind())
}

// fieldFormat puts together what is said of keys in the field and what the .proto
// says of the field itself.
func fieldFormat(field fieldPath, said idempotency.KeyFormat) (idempotency.KeyFormat, error) {
	if !isWritable(field) || !isUUID4(field[len(field)-1]) {
		return said, nil
	}
	if said == idempotency.KeyUUIDv7 {
		return said, fmt.Errorf("KeyFieldFormat is %q, and %s is declared a UUID4 by google.api.field_info", said, field[len(field)-1].Name())
	}
	return cmp.Or(said, idempotency.KeyUUIDv4), nil
}

// readOnly is a method that is declared as free of side effects.
func (m *method) readOnly(set methodSettings) (*method, error) {
	if set.said && set.policy.Key != idempotency.KeyOff {
		return nil, errors.New("it is declared NO_SIDE_EFFECTS, and is not protected for that, but something is said about its protection")
	}
	m.policy.Key = idempotency.KeyOff
	m.options = append(m.options, Off())
	return m, nil
}

// check finds what cannot be meant.
func (s methodSettings) check() error {
	var errs []error
	if s.keyFrom != nil && s.keyField != "" {
		errs = append(errs, errors.New("KeyFrom and KeyField exclude each other: a key comes from one place"))
	}
	if s.keyField != "" && s.keyField == s.scopeField {
		errs = append(errs, fmt.Errorf("KeyField and ScopeField are both %q: every key would have a scope of its own", s.keyField))
	}
	if s.keyFieldFormat != "" && s.keyField == "" {
		errs = append(errs, errors.New("KeyFieldFormat is said, and there is no KeyField that it could be about"))
	}
	if s.policy.Fingerprint == idempotency.FingerprintJSON || len(s.policy.FingerprintOnly)+len(s.policy.FingerprintExclude) > 0 {
		errs = append(errs, errors.New("Policy.Fingerprint: JSON is for HTTP; messages are always compared by what they say, and Exclude leaves fields out"))
	}
	if c := s.policy.Conflict; c != "" && c != idempotency.Conflict409 {
		errs = append(errs, fmt.Errorf("Policy.Conflict is %q, which is for HTTP: gRPC has ABORTED", c))
	}
	if s.policy.MaxRequestBody != 0 {
		errs = append(errs, errors.New("Policy.MaxRequestBody is for HTTP: gRPC servers have a limit of their own, grpc.MaxRecvMsgSize"))
	}
	if err := checkMetadataNames(s.policy.Headers); err != nil {
		errs = append(errs, fmt.Errorf("Policy.Headers: %w", err))
	}
	return errors.Join(errs...)
}

// checkStreams wants it said of the method itself that a client stream runs
// unprotected: what a guard says of all of them is about their answers.
func (m *method) checkStreams(said idempotency.StreamRule) error {
	if !m.clientStreams || m.policy.Key == idempotency.KeyOff || said == idempotency.StreamPass {
		return nil
	}
	return errors.New("a client stream cannot be protected: if it is to run unprotected, say `key: KEY_OFF` in the .proto or Off(), " +
		"or `stream: STREAM_PASS` or Policy.Stream: StreamPass; the guard's policy does not say it for one method")
}

func optionalPath(md protoreflect.MessageDescriptor, path string) (fieldPath, error) {
	if path == "" {
		return nil, nil
	}
	return valuePath(md, path)
}

// messageType returns the generated type, or a dynamic one if there is none in
// this program for just this descriptor.
func messageType(md protoreflect.MessageDescriptor) protoreflect.MessageType {
	if mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName()); err == nil && mt.Descriptor() == md {
		return mt
	}
	return dynamicpb.NewMessageType(md)
}

// protected reports whether calls are protected at all.
func (m *method) protected() bool { return !m.clientStreams && m.policy.Key != idempotency.KeyOff }

// prepared is a call that can be executed.
type prepared struct {
	call idempotency.Call
	// unkeyed says that there is no key, and need not be.
	unkeyed bool
	ctx     context.Context //nolint:containedctx // the call's own, for as long as it lasts
}

// prepare finds key, scope and fingerprint of a call, or says what is wrong.
func (m *method) prepare(ctx context.Context, request proto.Message) (prepared, error) {
	request, err := m.known(request)
	if err != nil {
		return prepared{}, err
	}
	key, err := m.key(ctx, request)
	if keyCode(err) == idempotency.ErrKeyMissing && err != nil && m.policy.Key == idempotency.KeyOptional {
		return prepared{unkeyed: true}, nil
	}
	if err != nil {
		return prepared{}, m.op.Reject(ctx, keyCode(err), err)
	}
	scope, err := m.scope(ctx, request)
	if err != nil || scope == "" {
		return prepared{}, m.op.Reject(ctx, idempotency.ErrScopeMissing, err)
	}
	within := mount{m.live, key}
	if ctx.Value(mountKey{}) == within {
		return prepared{}, misplaced("the interceptor is in the chain of %s twice", m.name)
	}
	md := incoming(ctx)
	fingerprint, err := m.fingerprinter.of(request.ProtoReflect(), md)
	if err != nil {
		return prepared{}, m.op.Reject(ctx, idempotency.ErrBodyUnreadable, err)
	}
	return prepared{ctx: context.WithValue(ctx, mountKey{}, within), call: idempotency.Call{
		Scope:       scope,
		Key:         key,
		Fingerprint: fingerprint,
		FingerprintBy: func(algorithm string) (store.Fingerprint, bool) {
			return m.fingerprinter.by(algorithm, request.ProtoReflect(), md)
		},
		MayReplay:      m.mayReplay(ctx),
		CallerDeadline: true, // grpc-go makes the context's of what the client says
		Retry:          previousAttempts(md),
	}}, nil
}

// known returns a request as the descriptor knows it that the service was
// protected by. That is what it is already, but for servers that make types of
// their own.
func (m *method) known(request proto.Message) (proto.Message, error) {
	if request.ProtoReflect().Descriptor() == m.input.Descriptor() {
		return request, nil
	}
	given, err := proto.Marshal(request)
	if err != nil {
		return nil, misplaced("the request of %s cannot be read", m.name)
	}
	converted := m.input.New().Interface()
	if err := proto.Unmarshal(given, converted); err != nil {
		return nil, misplaced("the request of %s is a %s", m.name, request.ProtoReflect().Descriptor().FullName())
	}
	return converted, nil
}

// mount is a call that the interceptor is around of already.
type mount struct {
	live *idempotency.Operation
	key  string
}

type mountKey struct{}

func (m *method) scope(ctx context.Context, request proto.Message) (string, error) {
	scope, err := m.in.opts.scope(ctx)
	if err != nil || scope == "" || m.scopeField == nil {
		return scope, err
	}
	value, there := m.scopeField.text(request.ProtoReflect())
	if !there {
		return "", errors.New("the request's field for the scope is not set")
	}
	return ScopeWithin(scope, value), nil
}

// ScopeWithin is the scope of a call to a method with a [ScopeField] of that
// value, for [idempotency.Guard.ID].
func ScopeWithin(scope, value string) string {
	return strconv.Itoa(len(scope)) + ":" + scope + value // no two pairs are spelled alike
}

func (m *method) mayReplay(ctx context.Context) func(idempotency.Recorded) error {
	guard := m.in.opts.replayGuard
	if guard == nil {
		return nil
	}
	return func(recorded idempotency.Recorded) error { return guard(ctx, "/"+m.name, recorded) }
}

// refuse returns what a refusal is on the wire: an error, and the trailer that
// goes with it.
func (m *method) refuse(err error) (metadata.MD, error) {
	refused, ok := errors.AsType[*idempotency.Error](err)
	if !ok {
		return metadata.Pairs(markStatus, markRejected), err
	}
	trailer := metadata.Join(refusalTrailer(refused), keptBeside(refused))
	return trailer, StatusOf(refused, m.in.opts.domain, placeOf(refused.Err)).Err()
}

// keptBeside is what was recorded of an answer whose messages were not: such as
// where the result is to be found.
func keptBeside(refused *idempotency.Error) metadata.MD {
	if refused.Code != idempotency.ErrResultUnavailable || refused.Answer == nil {
		return nil
	}
	a, err := decodeAnswer(*refused.Answer)
	if err != nil { // another transport's, or damaged: then there is just the refusal
		return nil
	}
	return metadata.Join(toMetadata(a.header), toMetadata(a.trailer))
}

// misplaced tells the developer of a mistake that cannot be found at
// construction.
func misplaced(format string, args ...any) error {
	return status.Errorf(codes.Internal, "idempotency: "+format, args...)
}

// decode reads a recorded answer for this method.
func (m *method) decode(recorded store.Answer) (answer, []proto.Message, error) {
	a, err := decodeAnswer(recorded)
	if err != nil {
		return answer{}, nil, err
	}
	if len(a.messages) > 0 && a.typeName != string(m.output.Descriptor().FullName()) {
		return a, nil, errOtherType
	}
	messages := make([]proto.Message, len(a.messages))
	for i, encoded := range a.messages {
		messages[i] = m.output.New().Interface()
		if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(encoded, messages[i]); err != nil {
			return answer{}, nil, fmt.Errorf("%w: message %d is not a %s", errCorruptAnswer, i, a.typeName)
		}
	}
	return a, messages, nil
}

// undecodable tells an answer of another transport, type or newer version,
// which is done and not available here, from a damaged one.
func undecodable(err error) idempotency.Code {
	if errors.Is(err, errUnknownCodec) || errors.Is(err, errOtherType) {
		return idempotency.ErrResultUnavailable
	}
	return idempotency.ErrRecordUnreadable
}

func incoming(ctx context.Context) metadata.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}
