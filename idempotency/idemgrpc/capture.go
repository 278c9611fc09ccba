package idemgrpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent || c.over {
		return errHeaderSent
	}
	c.header, c.sent = metadata.Join(c.header, md), true
	if c.flow == nil {
		return nil
	}
	c.flowed = true
	return c.flow(withoutMarks(c.header))
}

// beforeMessage sends the header with a stream's first message.
func (c *capture) beforeMessage(set func(metadata.MD) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flowed || c.over {
		return
	}
	c.sent, c.flowed = true, true
	_ = set(withoutMarks(c.header)) // it fails only for a call that is over, as sending then does
}

// SetTrailer implements [grpc.ServerTransportStream].
func (c *capture) SetTrailer(md metadata.MD) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errHeaderSent
	}
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// whileOpen runs f unless the handler's access has ended: a goroutine that it
// left behind must not change its answer any more.
func (c *capture) whileOpen(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		f()
	}
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
