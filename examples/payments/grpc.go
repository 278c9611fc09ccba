package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

// newGRPC builds the server with the chain of routes in server.go: recovery, the
// gate of the drain, authentication, idempotency, handler. What is protected, and
// how, is declared in the .proto.
func newGRPC(c config, guard *idempotency.Guard, s *service, g *gate) (*grpc.Server, error) {
	protect, err := idemgrpc.New(guard, idemgrpc.Scope(tenantScope), idemgrpc.Wait(waitOf(c.grpcWait)))
	if err != nil {
		return nil, err
	}
	err = protect.Protect(paymentspb.File_payments_proto.Services().ByName("PaymentService"))
	if err != nil {
		return nil, err
	}
	outer := interceptors{gate: g, log: s.log}
	server := grpc.NewServer(
		grpc.KeepaliveParams(deadAfter()),
		grpc.ChainUnaryInterceptor(outer.recoverUnary, outer.admitUnary, authenticateUnary, protect.Unary()),
		grpc.ChainStreamInterceptor(outer.recoverStream, outer.admitStream, authenticateStream, protect.Stream()),
	)
	paymentspb.RegisterPaymentServiceServer(server, grpcPayments{service: s})
	grpc_health_v1.RegisterHealthServer(server, &grpcHealth{guard: guard, gate: g, log: s.log})
	reflection.Register(server)
	return server, protect.Check(server)
}

// deadAfter has the server ask silent connections for a sign of life: a client whose
// network is gone would keep the handler of a stream waiting for it for two hours.
func deadAfter() keepalive.ServerParameters {
	return keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}
}

// public are the services that ask for no tenant and have nothing to protect.
func public(fullMethod string) bool {
	return strings.HasPrefix(fullMethod, "/grpc.health.v1.") || strings.HasPrefix(fullMethod, "/grpc.reflection.")
}

// interceptors stand outside of authentication and idempotency.
type interceptors struct {
	gate *gate
	log  *slog.Logger
}

// recoverUnary turns a panic into INTERNAL, outside of idempotency for the reason
// that [recoverPanics] has.
func (i interceptors) recoverUnary(
	ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, i.panicked(info.FullMethod, p)
		}
	}()
	return next(ctx, in)
}

func (i interceptors) recoverStream(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = i.panicked(info.FullMethod, p)
		}
	}()
	return next(srv, stream)
}

func (i interceptors) panicked(method string, p any) error {
	i.log.Error("panic in a handler", "method", method, "panic", p, "stack", string(debug.Stack()))
	return statusOf(errInternal).Err()
}

func (i interceptors) admitUnary(
	ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	leave, err := i.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer leave()
	return next(ctx, in)
}

func (i interceptors) admitStream(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	leave, err := i.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer leave()
	return next(srv, stream)
}

// admit refuses every call of a draining server in the library's words. Public
// streams are not waited for: they last as long as their clients like.
func (i interceptors) admit(ctx context.Context, method string) (leave func(), err error) {
	if !i.gate.enter() {
		return nil, draining(ctx)
	}
	if public(method) {
		i.gate.leave()
		return func() {}, nil
	}
	return i.gate.leave, nil
}

func draining(ctx context.Context) error {
	return idemgrpc.Refuse(ctx, &idempotency.Error{Code: idempotency.ErrDraining})
}

func authenticateUnary(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := authenticated(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, in)
}

func authenticateStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := authenticated(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &tenantStream{stream, ctx})
}

// tenantStream is a stream whose caller is known.
type tenantStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // as a stream has one
}

// Context implements [grpc.ServerStream].
func (s *tenantStream) Context() context.Context { return s.ctx }

// authenticated is [authenticate] for gRPC: the tenant comes in the metadata.
func authenticated(ctx context.Context, method string) (context.Context, error) {
	if public(method) {
		return ctx, nil
	}
	sent := metadata.ValueFromIncomingContext(ctx, "authorization")
	tenant, ok := tenantOf(strings.Join(sent, ",")) // two are none
	if !ok {
		return nil, statusOf(errUnauthenticated).Err()
	}
	return withTenant(ctx, tenant), nil
}
