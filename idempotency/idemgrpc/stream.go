package idemgrpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/framing"
	"github.com/reprise-go/reprise/store"
)

// stream answers a streaming call from the record, or runs the handler, or
// refuses.
func (m *method) stream(ss grpc.ServerStream, info *grpc.StreamServerInfo, handler func(grpc.ServerStream) error) error {
	ctx := ss.Context()
	if !m.protected() {
		if m.in.keySent(ctx) {
			ss.SetTrailer(metadata.Pairs(markStatus, markIgnored))
		}
		return handler(ss)
	}
	request, err := m.receive(ss, info.IsClientStream && !m.shadowed())
	if err != nil {
		return err // as the generated code does
	}
	p, err := m.prepare(ctx, request)
	switch {
	case err != nil && m.shadowed():
		ss.SetTrailer(metadata.Pairs(markStatus, markUnprotected))
		return handler(&givenStream{ServerStream: ss, ctx: ctx, request: request})
	case err != nil:
		return m.refuseStream(ss, err)
	case p.unkeyed:
		ss.SetTrailer(metadata.Pairs(markStatus, markIgnored))
		return handler(&givenStream{ServerStream: ss, ctx: ctx, request: request})
	}
	c := &streamCall{m: m, ss: ss, request: request, handler: handler}
	result, err := m.op.Execute(p.ctx, p.call, c.run)
	return c.respond(result, err)
}

// receive returns the request. Alone says to make sure that it is the only one, as
// grpc-go does for methods that it knows: where a handler for unknown services stands
// in for a protected one, every call is a stream of requests to it, and one with
// another second message would get the answer to the first.
func (m *method) receive(ss grpc.ServerStream, alone bool) (proto.Message, error) {
	request := m.input.New().Interface()
	err := ss.RecvMsg(request)
	switch {
	case alone && errors.Is(err, io.EOF):
		return nil, misplaced("a call of %s has one request message, and there is none", m.name)
	case err != nil || !alone:
		return request, err
	}
	err = ss.RecvMsg(m.input.New().Interface())
	switch {
	case err == nil:
		return nil, misplaced("a call of %s has one request message, and there is another", m.name)
	case errors.Is(err, io.EOF):
		return request, nil
	}
	return nil, err
}

// givenStream is a stream whose request has been received already.
type givenStream struct {
	grpc.ServerStream
	ctx     context.Context //nolint:containedctx // as a stream has one
	request proto.Message   // nil once it was handed out
}

// Context implements [grpc.ServerStream].
func (s *givenStream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream].
func (s *givenStream) RecvMsg(into any) error {
	if s.request == nil {
		return s.ServerStream.RecvMsg(into)
	}
	request := s.request
	s.request = nil
	message, ok := into.(proto.Message)
	if !ok {
		return misplaced("the handler wants a request that is no protobuf message but a %T", into)
	}
	// By the wire, which keeps everything: proto.Merge makes a -0 a 0.
	encoded, err := proto.Marshal(request)
	if err != nil {
		return misplaced("the request cannot be handed on")
	}
	return proto.Unmarshal(encoded, message)
}

// streamCall is one call of a streaming handler. Messages are passed on as they
// come, and recorded up to the policy's limit.
type streamCall struct {
	m       *method
	ss      grpc.ServerStream
	request proto.Message
	handler func(grpc.ServerStream) error

	capture *capture // nil: the handler was not started
	err     error
	answer  answer
	size    int64
	broken  bool // a message could not be recorded
	failed  bool // one could not be sent although the caller was there, such as one above the server's limit

	sending sync.Mutex // held while a message is sent and recorded
}

// run runs the handler and says what its answer means.
func (c *streamCall) run(ctx context.Context) idempotency.Answer {
	c.capture = &capture{method: "/" + c.m.name, outside: c.ss.Context(), flow: c.sendHeader}
	if c.m.policy.Stream == idempotency.StreamPass {
		c.answer.omitted = store.BodyStreamed
	}
	defer c.finish() // after a panic, too
	ctx = grpc.NewContextWithServerTransportStream(ctx, c.capture)
	c.err = c.handler(&recordedStream{givenStream{c.ss, ctx, c.request}, c})
	c.finish()
	st := status.New(codes.OK, "")
	if c.err != nil {
		st = statusOf(c.err)
	}
	a := c.m.answer(c.capture, st, c.answer)
	if c.broken || c.failed && c.err != nil { // its error may be about the sending, and says nothing of what was done
		a.Class = idempotency.ClassUnknown
	}
	return a
}

// finish ends the handler's access. A message that a goroutine it left behind is
// just sending still belongs to its answer; one that comes later reaches neither the
// caller nor the record.
func (c *streamCall) finish() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.capture.finish()
}

// sendHeader takes a caller who has gone as [recordedStream.SendMsg] does.
func (c *streamCall) sendHeader(md metadata.MD) error {
	err := c.ss.SendHeader(md)
	if c.ss.Context().Err() != nil && c.m.detached() {
		return nil
	}
	return err
}

// recordedStream is what the handler of a protected method sends to.
type recordedStream struct {
	givenStream
	call *streamCall
}

// SetHeader implements [grpc.ServerStream].
func (s *recordedStream) SetHeader(md metadata.MD) error { return s.call.capture.SetHeader(md) }

// SendHeader implements [grpc.ServerStream].
func (s *recordedStream) SendHeader(md metadata.MD) error { return s.call.capture.SendHeader(md) }

// SetTrailer implements [grpc.ServerStream].
func (s *recordedStream) SetTrailer(md metadata.MD) { s.call.capture.setStreamTrailer(md) }

// SendMsg implements [grpc.ServerStream]. A caller who has gone is no reason to
// stop, unless the policy says so: the answer is recorded for when it asks again. A
// message that cannot be sent for another reason is an error for the handler: its
// call is over then, and if the handler returns an error, too, the outcome is unknown.
func (s *recordedStream) SendMsg(message any) error {
	c := s.call
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.capture.beforeMessage(c.ss.SetHeader); err != nil {
		return err
	}
	before := c.ss.Context().Err() // a send that fails ends the context, whatever it fails for
	err := c.ss.SendMsg(message)
	gone := hasGone(before, err) && !c.failed
	c.failed = c.failed || err != nil && !gone
	c.record(message)
	if gone && c.m.detached() {
		return nil
	}
	return err
}

// hasGone tells from a send that failed, and the end of the call's context before
// it, whether that is because the caller has gone: that may also be in between.
func hasGone(before, err error) bool {
	if err == nil || before != nil {
		return err != nil
	}
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return true
	default:
		return false
	}
}

// record keeps a message, as long as the answer may be kept at all.
func (c *streamCall) record(message any) {
	if c.answer.omitted != store.BodyKept {
		return
	}
	m, ok := message.(proto.Message)
	if !ok { // a grpc.PreparedMsg, or one for another codec, which is sent and cannot be read
		c.answer.messages, c.answer.omitted = nil, store.BodyStreamed
		return
	}
	encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(m)
	if err != nil { // the caller is gone and did not get it either
		c.broken = true
		return
	}
	c.size += int64(framing.Size(len(encoded)))
	if c.size > c.m.policy.MaxResponseBody {
		c.answer.messages, c.answer.omitted = nil, store.BodyTooLarge
		return
	}
	c.answer.messages = append(c.answer.messages, encoded)
}

// respond sends what the engine decided and the handler has not sent yet.
func (c *streamCall) respond(result idempotency.Result, err error) error {
	flowed := c.capture != nil && c.capture.flowed
	switch {
	case err != nil:
		return c.m.refuseStream(c.ss, err)
	case result.Outcome != idempotency.Replayed:
		return c.deliver(flowed, executedMark(result))
	case flowed: // another's answer stands, and this one has begun
		return c.m.refuseStream(c.ss, &idempotency.Error{Code: idempotency.ErrLeaseLost, Operation: c.m.name})
	}
	return c.m.replayStream(c.ss, result)
}

// deliver ends the handler's own answer. The mark comes in the trailer: when the
// header was sent, nobody could know.
func (c *streamCall) deliver(flowed bool, mark metadata.MD) error {
	header := withoutMarks(c.capture.header)
	if !flowed && len(header) > 0 {
		_ = c.ss.SetHeader(header) // fails only for a call that is over
	}
	c.ss.SetTrailer(metadata.Join(withoutMarks(c.capture.trailer), mark))
	return c.err
}

func (m *method) refuseStream(ss grpc.ServerStream, err error) error {
	trailer, refusal := m.refuse(err)
	ss.SetTrailer(trailer)
	return refusal
}

// replayStream sends a recorded answer: its messages in order, then its status.
func (m *method) replayStream(ss grpc.ServerStream, result idempotency.Result) error {
	a, messages, err := m.decode(result.Answer.Answer)
	if err != nil {
		return m.refuseStream(ss, m.op.Reject(ss.Context(), undecodable(err), err))
	}
	header, trailer := toMetadata(a.header), toMetadata(a.trailer)
	if a.code == codes.OK || len(messages) > 0 {
		header = metadata.Join(header, replayMarks(result))
	}
	if a.code != codes.OK {
		trailer = metadata.Join(trailer, replayMarks(result))
	}
	if len(header) > 0 {
		if err := ss.SetHeader(header); err != nil {
			return err
		}
	}
	ss.SetTrailer(trailer)
	for _, message := range messages {
		if err := ss.SendMsg(message); err != nil {
			return err
		}
	}
	if a.code != codes.OK {
		return a.statusError()
	}
	return nil
}
