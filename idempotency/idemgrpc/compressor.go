package idemgrpc

import (
	"context"

	"google.golang.org/grpc"
)

// SetSendCompressor is [grpc.SetSendCompressor] for a protected handler, in which
// that one returns an error: grpc-go lets nobody stand between it and the
// connection. In any other handler it is the same, so that it can be called
// wherever a handler runs. It is for this call's own answer: a replay is
// compressed as the call asks that gets it. When the caller has gone it does
// nothing.
//
// Errors: those of grpc.SetSendCompressor; an INTERNAL status after the handler
// has sent its header or ended.
func SetSendCompressor(ctx context.Context, name string) error {
	c, ok := grpc.ServerTransportStreamFromContext(ctx).(*capture)
	if !ok {
		return grpc.SetSendCompressor(ctx, name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.sent || c.over:
		return errHeaderSent
	case c.outside.Err() != nil:
		return nil
	}
	return SetSendCompressor(c.outside, name)
}

// ClientSupportedCompressors is [grpc.ClientSupportedCompressors] for a protected
// handler, in which that one returns an error, and the same in any other.
func ClientSupportedCompressors(ctx context.Context) ([]string, error) {
	c, ok := grpc.ServerTransportStreamFromContext(ctx).(*capture)
	if !ok {
		return grpc.ClientSupportedCompressors(ctx)
	}
	return ClientSupportedCompressors(c.outside)
}
