package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
	"github.com/reprise-go/reprise/internal/testpb"
)

// grpcLevels are the ways of declaring protected methods: in Go, with the tenant in the
// metadata, and in the .proto, with the tenant in the request.
func grpcLevels() []level {
	inGo := grpcWay{declare: declareInGo, scope: idemgrpc.Scope(grpcTenant)}
	inProto := grpcWay{declare: declareInProto, scope: idemgrpc.GlobalScope()}
	all := []level{
		{
			name: "policy of a gRPC method", open: inGo.open, unscoped: inGo.openUnscoped,
			mistakes: []mistake{
				{"a field that there is not", wrongMethod("Create", idemgrpc.Exclude("nought")), []string{"Create", `"nought"`}},
				{"a method that there is not", wrongMethod("Craete"), []string{"Craete"}},
				{"a policy's word", wrongMethod("Create", requierd()), []string{"Create", "Key", `"requierd"`}},
			},
		},
		{
			name: "policy in the .proto", open: inProto.open, unscoped: inProto.openUnscoped,
			mistakes: []mistake{
				{"a field that there is not", wrongProto(&policypb.Policy{Exclude: []string{"meta.nought"}}), []string{"Create", `"meta.nought"`}},
				{"a key field that there is not", wrongProto(&policypb.Policy{KeyField: "nought"}), []string{"Create", `"nought"`}},
				{"a scope field that there is not", wrongProto(&policypb.Policy{ScopeField: "nought"}), []string{"Create", `"nought"`}},
				{"a value", wrongProto(&policypb.Policy{Key: 99}), []string{"Create", "key", "99"}},
			},
		},
	}
	for i := range all {
		all[i].operation = grpcOperation
		all[i].passing = troubles(codes.Unavailable, codes.ResourceExhausted, codes.Aborted,
			codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented)
		all[i].fatal = troubles(codes.Unknown, codes.Internal, codes.DataLoss, codes.Canceled, codes.DeadlineExceeded)
	}
	return all
}

func troubles(of ...codes.Code) (all []trouble) {
	for _, code := range of {
		all = append(all, trouble(code))
	}
	return all
}

// grpcWay is one way of declaring an order desk.
type grpcWay struct {
	// declare declares it; without a scope if scoped is false.
	declare func(t *testing.T, protect *idemgrpc.Interceptor, policy idempotency.Policy, scoped bool) error
	scope   idemgrpc.Option
}

func (g grpcWay) open(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	call, err := g.serve(t, desk, true, g.scope)
	require.NoError(t, err)
	return call
}

func (g grpcWay) openUnscoped(t *testing.T, desk orderDesk, openly bool) (callFunc, error) {
	t.Helper()
	if openly {
		return g.serve(t, desk, false, idemgrpc.GlobalScope())
	}
	return g.serve(t, desk, false)
}

func (g grpcWay) serve(t *testing.T, desk orderDesk, scoped bool, scope ...idemgrpc.Option) (callFunc, error) {
	t.Helper()
	protect, err := idemgrpc.New(desk.guard, scope...)
	if err != nil {
		return nil, err
	}
	if err := g.declare(t, protect, desk.parsed(t), scoped); err != nil {
		return nil, err
	}
	conn := serveGRPC(t, protect, func(server *grpcgo.Server) {
		testpb.RegisterOrdersServer(server, orderMethods{run: desk.run})
	})
	client := testpb.NewOrdersClient(conn)
	return func(ctx context.Context, in orderInput) (answered, error) { return orderGRPC(ctx, client, in) }, nil
}

// declareInGo says everything by options.
func declareInGo(_ *testing.T, protect *idemgrpc.Interceptor, policy idempotency.Policy, _ bool) error {
	return protect.Protect(ordersService(), idemgrpc.Method("Create", policy, idemgrpc.Exclude("note", "meta")))
}

// declareInProto says everything in the method's declaration.
func declareInProto(t *testing.T, protect *idemgrpc.Interceptor, policy idempotency.Policy, scoped bool) error {
	t.Helper()
	declared := inProto(t, policy)
	declared.KeyField, declared.Exclude = "request_id", []string{"note", "meta"}
	if scoped {
		declared.ScopeField = "meta.merchant"
	}
	return protect.Protect(declaredOrders(t, map[string]*policypb.Policy{"Create": declared}))
}

// inProto is a policy in the spelling of a .proto, as far as the levels need it.
func inProto(t *testing.T, policy idempotency.Policy) *policypb.Policy {
	t.Helper()
	declared := &policypb.Policy{Key: map[idempotency.KeyRule]policypb.Key{
		idempotency.KeyRequired: policypb.Key_KEY_REQUIRED, idempotency.KeyShadow: policypb.Key_KEY_SHADOW,
	}[policy.Key]}
	switch {
	case policy.Wait == idempotency.NoWait:
		declared.Waiting = &policypb.Policy_NoWait{NoWait: true}
	case policy.Wait > 0:
		declared.Waiting = &policypb.Policy_Wait{Wait: durationpb.New(policy.Wait)}
	}
	if policy.Lease > 0 {
		declared.Lease = durationpb.New(policy.Lease)
	}
	if policy.MaxHold > 0 {
		declared.MaxHold = durationpb.New(policy.MaxHold)
	}
	rest := policy
	rest.Key, rest.Wait, rest.Lease, rest.MaxHold = "", 0, 0, 0
	require.Equal(t, idempotency.Policy{}, rest, "what the rules say must be said here, too")
	return declared
}

// orderMethods is the order desk as a service. A receipt carries its answer as JSON.
type orderMethods struct {
	testpb.UnimplementedOrdersServer

	run func(context.Context, orderInput) (orderOutput, error)
}

func (m orderMethods) Create(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	out, err := m.run(ctx, orderInput{
		ID: order.GetRequestId(), Tenant: order.GetMeta().GetMerchant(), Amount: int(order.GetAmount()), TraceID: order.GetNote(),
	})
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(out)
	return &testpb.Receipt{Run: out.Run, Data: data}, err
}

// orderGRPC sends an order, with the key and the tenant in the metadata as well.
func orderGRPC(ctx context.Context, client testpb.OrdersClient, in orderInput) (got answered, err error) {
	ctx = keyed(metadata.AppendToOutgoingContext(ctx, "x-tenant", in.Tenant), in.ID)
	how := createOn(ctx, client, &testpb.Order{
		RequestId: in.ID, Amount: int64(in.Amount), Note: &in.TraceID, Meta: &testpb.Meta{Merchant: in.Tenant},
	})
	if how.Status.Code() != codes.OK {
		return got, orderError(how.Status)
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(how.Receipt)
	got.Wire, got.Replayed = how.Status.Code().String()+string(wire), how.replayed()
	return got, errors.Join(err, json.Unmarshal(how.Receipt.GetData(), &got.orderOutput))
}

// orderError is a refusal, or the trouble that the handler had.
func orderError(refused *status.Status) error {
	err := idemgrpc.CheckError(refused.Err())
	if _, ok := errors.AsType[*idemgrpc.CallError](err); ok {
		return err
	}
	return trouble(refused.Code())
}

func wrongMethod(name string, options ...idempotency.OperationOption) func(*testing.T, *idempotency.Guard) error {
	return func(t *testing.T, g *idempotency.Guard) error {
		t.Helper()
		protect, err := idemgrpc.New(g, idemgrpc.GlobalScope())
		require.NoError(t, err)
		return protect.Protect(ordersService(), idemgrpc.Method(name, options...))
	}
}

func wrongProto(declared *policypb.Policy) func(*testing.T, *idempotency.Guard) error {
	return func(t *testing.T, g *idempotency.Guard) error {
		t.Helper()
		protect, err := idemgrpc.New(g, idemgrpc.GlobalScope())
		require.NoError(t, err)
		return protect.Protect(declaredOrders(t, map[string]*policypb.Policy{"Create": declared}))
	}
}
