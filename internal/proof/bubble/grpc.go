package bubble

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// GRPC is grpc-go's server and client.
type GRPC struct{}

func (GRPC) operation() string { return "reprise.test.v1.Orders/Create" }

func (GRPC) serve(p *process) (service, error) {
	protect, err := idemgrpc.New(p.guard, idemgrpc.Scope(func(ctx context.Context) (string, error) {
		return p.world.core.scope(entry(ctx, "x-tenant")), nil
	}))
	if err != nil {
		return nil, err
	}
	err = protect.Protect(testpb.File_orders_proto.Services().ByName("Orders"),
		idemgrpc.Method("Create", p.world.core.policy(p.world.plan.policy(p.orphan))))
	if err != nil {
		return nil, err
	}
	s := &grpcService{process: p}
	s.server = grpc.NewServer(grpc.ChainUnaryInterceptor(recovery, protect.Unary()))
	testpb.RegisterOrdersServer(s.server, s)
	listener := bufconn.Listen(wireBuffer)
	p.world.links.Go(func() { _ = s.server.Serve(listener) })
	s.client, err = grpc.NewClient("passthrough:///service",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	return s, err
}

// recovery stands outside of the protection, where panics are to be recovered.
func recovery(
	ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, status.Error(codes.Internal, "panic")
		}
	}()
	return handler(ctx, req)
}

type grpcService struct {
	testpb.UnimplementedOrdersServer

	process *process
	server  *grpc.Server
	client  *grpc.ClientConn
}

func (s *grpcService) stop() {
	_ = s.client.Close()
	s.server.Stop()
}

// Create is the handler.
func (s *grpcService) Create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	number, _ := strconv.Atoi(entry(ctx, "x-call"))
	a := s.process.handle(ctx, s.process.world.call(number))
	switch a.ending {
	case declines:
		return nil, status.Error(codes.FailedPrecondition, a.body)
	case fails:
		return nil, status.Error(codes.Unavailable, a.body)
	case wavers:
		return nil, status.Error(codes.Internal, a.body)
	}
	return &testpb.Receipt{Id: a.body}, nil
}

func entry(ctx context.Context, name string) string {
	if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (s *grpcService) ask(ctx context.Context, c *call) heard {
	k := s.process.world.keys[c.key]
	ctx = metadata.AppendToOutgoingContext(ctx,
		"idempotency-key", k.name, "x-tenant", k.scope, "x-call", strconv.Itoa(c.number))
	var header, trailer metadata.MD
	receipt, err := testpb.NewOrdersClient(s.client).Create(ctx,
		&testpb.Order{Note: new(fmt.Sprint("variant ", c.variant))}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err == nil {
		return heard{mark: first(header), status: "OK", body: receipt.GetId()}
	}
	st, _ := status.FromError(err)
	h := heard{mark: first(trailer), status: st.Code().String(), body: st.Message()}
	refusal := new(idemgrpc.CallError)
	if errors.As(idemgrpc.CheckError(err), &refusal) {
		h.mark = markOf(refusal.Code)
	}
	if h.mark == "" {
		h.err = err
	}
	return h
}

// markOf is how the HTTP transport marks a refusal.
func markOf(code idempotency.Code) string {
	switch code {
	case idempotency.ErrInProgress:
		return "conflict"
	case idempotency.ErrOutcomeUnknown, idempotency.ErrLeaseLost:
		return "unknown"
	case idempotency.ErrKeyReused:
		return "mismatch"
	}
	return "rejected"
}

func first(md metadata.MD) string {
	if marks := md.Get("idempotency-status"); len(marks) > 0 {
		return marks[0]
	}
	return ""
}
