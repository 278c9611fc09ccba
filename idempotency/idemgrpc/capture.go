package idemgrpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
)

// The marks of answers: in the header of successes and of streams that have
// messages, in the trailer of errors, whose header would keep gRPC clients from
// retrying.
const (
	markReplayedName = "idempotent-replayed"
	markStatus       = "idempotency-status"
	markRecordedAt   = "idempotency-recorded-at"
)

// The values of idempotency-status.
const (
	markExecuted    = "executed"
	markReplayed    = "replayed"
	markUnrecorded  = "unrecorded"
	markUnprotected = "unprotected"
	markIgnored     = "ignored"
	markConflict    = "conflict"
	markMismatch    = "mismatch"
	markUnknown     = "unknown"
	markUnavailable = "unavailable"
	markRejected    = "rejected"
)

// capture is the transport stream that a handler sees through
// [grpc.SetHeader], [grpc.SendHeader] and [grpc.SetTrailer]. It keeps what the
// handler sets until it is known whether its answer counts. Safe for concurrent
// use, also after the handler's end.
type capture struct {
	method  string
	outside context.Context //nolint:containedctx // of the call, as long as that lasts
	// flow sends a header at once; nil if headers are held back.
	flow func(metadata.MD) error

	mu      sync.Mutex
	header  metadata.MD
	trailer metadata.MD
	sent    bool // the handler has sent the header, or a message
	flowed  bool // it is on the wire
	over    bool
}

var _ grpc.ServerTransportStream = (*capture)(nil)

var errHeaderSent = status.Error(codes.Internal, "idempotency: the header has been sent, or the call is over")

// Method implements [grpc.ServerTransportStream].
func (c *capture) Method() string { return c.method }

// SetHeader implements [grpc.ServerTransportStream].
func (c *capture) SetHeader(md metadata.MD) error {
	md, err := normalized(md)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent || c.over {
		return errHeaderSent
	}
	c.header = metadata.Join(c.header, md)
	return nil
}

// SendHeader implements [grpc.ServerTransportStream].
func (c *capture) SendHeader(md metadata.MD) error {
	md, err := normalized(md)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent || c.over {
		return errHeaderSent
	}
	header := metadata.Join(c.header, md)
	if c.flow != nil {
		if err := c.flow(withoutMarks(header)); err != nil {
			return err
		}
		c.flowed = true
	}
	c.header, c.sent = header, true
	return nil
}

// beforeMessage sends the header with a stream's first message. The error is for
// what the handler has left running after its end.
func (c *capture) beforeMessage(set func(metadata.MD) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return errHeaderSent
	case c.flowed:
		return nil
	}
	c.sent, c.flowed = true, true
	_ = set(withoutMarks(c.header)) // of what was checked, it fails only for a call that is over, as sending then does
	return nil
}

// SetTrailer implements [grpc.ServerTransportStream].
func (c *capture) SetTrailer(md metadata.MD) error {
	md, err := normalized(md)
	if err != nil {
		return err
	}
	return c.addTrailer(md)
}

// setStreamTrailer is [capture.SetTrailer] for who gets no error: as in grpc-go,
// what is wrong is logged, and takes nothing else with it.
func (c *capture) setStreamTrailer(md metadata.MD) {
	md, err := normalized(md)
	if err != nil {
		grpclog.Errorf("idempotency: a part of the trailer of %s is not sent: %v", c.method, err)
	}
	_ = c.addTrailer(md) // it fails after the handler's end, when there is nobody to tell
}

func (c *capture) addTrailer(md metadata.MD) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errHeaderSent
	}
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// finish ends the handler's access; what it left running changes nothing.
func (c *capture) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// withoutMarks drops marks that a handler has passed on from another service.
func withoutMarks(md metadata.MD) metadata.MD {
	md = md.Copy()
	for _, name := range []string{markReplayedName, markStatus, markRecordedAt} {
		for _, key := range slices.Collect(keysOf(md, name)) {
			delete(md, key)
		}
	}
	return md
}

func replayMarks(result idempotency.Result) metadata.MD {
	return metadata.Pairs(
		markReplayedName, "true",
		markStatus, markReplayed,
		markRecordedAt, result.RecordedAt.UTC().Format(time.RFC3339),
	)
}

func executedMark(result idempotency.Result) metadata.MD {
	switch {
	case result.Outcome == idempotency.Unprotected:
		return metadata.Pairs(markStatus, markUnprotected)
	case result.Recorded:
		return metadata.Pairs(markStatus, markExecuted)
	}
	return metadata.Pairs(markStatus, markUnrecorded)
}
