package idemgrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
)

// unary answers a call from the record, or runs the handler, or refuses.
func (m *method) unary(ctx context.Context, request any, handler grpc.UnaryHandler) (any, error) {
	if !m.protected() {
		if m.in.keySent(ctx) {
			_ = grpc.SetTrailer(ctx, metadata.Pairs(markStatus, markIgnored))
		}
		return handler(ctx, request)
	}
	message, ok := request.(proto.Message)
	if !ok && m.shadowed() {
		return handler(ctx, request)
	}
	if !ok {
		return nil, misplaced("the request of %s is no protobuf message but a %T", m.name, request)
	}
	p, err := m.prepare(ctx, message)
	switch {
	case err != nil && m.shadowed():
		_ = grpc.SetTrailer(ctx, metadata.Pairs(markStatus, markUnprotected))
		return handler(ctx, request)
	case err != nil:
		return m.refuseUnary(ctx, err)
	case p.unkeyed:
		_ = grpc.SetTrailer(ctx, metadata.Pairs(markStatus, markIgnored))
		return handler(ctx, request)
	}
	c := &unaryCall{m: m, ctx: ctx, request: request, handler: handler}
	result, err := m.op.Execute(p.ctx, p.call, c.run)
	return c.respond(result, err)
}

// unaryCall is one call of a handler.
type unaryCall struct {
	m       *method
	ctx     context.Context //nolint:containedctx // of the call, as long as that lasts
	request any
	handler grpc.UnaryHandler

	capture  *capture // nil: the handler was not started
	response any
	err      error
}

// run runs the handler and says what its answer means.
func (c *unaryCall) run(ctx context.Context) idempotency.Answer {
	c.capture = &capture{method: "/" + c.m.name, outside: c.ctx}
	if c.m.policy.Stream == idempotency.StreamPass || c.m.shadowed() {
		c.capture.flow = c.sendHeader
	}
	defer c.capture.finish() // after a panic, too
	c.response, c.err = c.handler(grpc.NewContextWithServerTransportStream(ctx, c.capture), c.request)
	c.capture.finish()
	return c.m.unaryAnswer(c.capture, c.response, c.err)
}

// sendHeader does not tell a detached handler that its caller has gone.
func (c *unaryCall) sendHeader(md metadata.MD) error {
	err := grpc.SendHeader(c.ctx, md)
	if c.ctx.Err() != nil && c.m.detached() {
		return nil
	}
	return err
}

func (m *method) unaryAnswer(c *capture, response any, err error) idempotency.Answer {
	if err != nil {
		st := statusOf(err)
		if st.Code() == codes.OK { // there is no message, so it is no success, and whoever reads it cannot know more
			st = status.New(codes.Unknown, "an error that says OK")
		}
		return m.answer(c, st, answer{})
	}
	message, ok := response.(proto.Message)
	if !ok {
		return m.answer(c, status.New(codes.Internal, "no message"), answer{})
	}
	encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(message)
	if err != nil { // the client gets INTERNAL from grpc-go for the same reason
		return m.answer(c, status.New(codes.Internal, "unencodable"), answer{})
	}
	return m.answer(c, status.New(codes.OK, ""), answer{messages: [][]byte{encoded}})
}

// answer completes what a handler answered, and says what it means for the
// record.
func (m *method) answer(c *capture, st *status.Status, a answer) idempotency.Answer {
	class := classBehind(classify(st.Code(), m.policy.Record), st, m.in.opts.domain)
	a.code, a.typeName = st.Code(), string(m.output.Descriptor().FullName())
	a.header, a.trailer = pickEntries(c.header, m.recorded), pickEntries(c.trailer, m.recorded)
	if st.Code() != codes.OK {
		encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(st.Proto())
		if err != nil && class == idempotency.ClassRecord { // a message that is no valid UTF-8 cannot be given again as it was
			class = idempotency.ClassUnknown
		}
		a.status = encoded
	}
	return idempotency.Answer{Class: class, Answer: a.encode(m.policy.MaxResponseBody)}
}

// respond sends what the engine decided.
func (c *unaryCall) respond(result idempotency.Result, err error) (any, error) {
	switch {
	case err != nil:
		return c.m.refuseUnary(c.ctx, err)
	case result.Outcome == idempotency.Replayed:
		return c.m.replayUnary(c.ctx, result)
	}
	return c.deliver(executedMark(result))
}

// deliver sends the handler's own answer. A call that is over by now, whose
// header cannot be set any more, has nobody who waits for it.
func (c *unaryCall) deliver(mark metadata.MD) (any, error) {
	header, trailer := withoutMarks(c.capture.header), withoutMarks(c.capture.trailer)
	if c.err == nil && !c.capture.flowed {
		header = metadata.Join(header, mark)
	} else {
		trailer = metadata.Join(trailer, mark)
	}
	switch {
	case c.capture.flowed:
	case c.capture.sent: // as the handler wanted: then not even an error comes without a header
		_ = grpc.SendHeader(c.ctx, header)
	case len(header) > 0:
		_ = grpc.SetHeader(c.ctx, header)
	}
	_ = grpc.SetTrailer(c.ctx, trailer)
	return c.response, c.err
}

func (m *method) refuseUnary(ctx context.Context, err error) (any, error) {
	trailer, refusal := m.refuse(err)
	_ = grpc.SetTrailer(ctx, trailer)
	return nil, refusal
}

// replayUnary sends a recorded answer on the way of a fresh one, so that the
// server's limits hold for it, too.
func (m *method) replayUnary(ctx context.Context, result idempotency.Result) (any, error) {
	a, messages, err := m.decode(result.Answer.Answer)
	if err == nil {
		err = m.checkCount(a, len(messages))
	}
	if err != nil {
		return m.refuseUnary(ctx, m.op.Reject(ctx, undecodable(err), err))
	}
	header, trailer := toMetadata(a.header), toMetadata(a.trailer)
	if a.code == codes.OK {
		header = metadata.Join(header, replayMarks(result))
	} else {
		trailer = metadata.Join(trailer, replayMarks(result))
	}
	if len(header) > 0 {
		_ = grpc.SetHeader(ctx, header)
	}
	_ = grpc.SetTrailer(ctx, trailer)
	if a.code != codes.OK {
		return nil, a.statusError()
	}
	return messages[0], nil
}
