package idemgrpc

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
	"github.com/reprise-go/reprise/internal/testpb"
)

// leftOutOfGood is what is said of a declared service that is not protected.
func leftOutOfGood() string {
	var lines []string
	for _, method := range []string{"Empty", "FieldOnly", "Full", "Listed", "NoWait", "Shadow", "Talk"} {
		lines = append(lines, "idemgrpc: optiontest.v1.Good/"+method+": its .proto has the policy option, and its service was not given to Protect")
	}
	return strings.Join(lines, "\n")
}

func TestCheckNamesWhatWasForgotten(t *testing.T) {
	t.Parallel()
	const unary, stream = "it is unary, and the server does not have the interceptor of Unary()", "it is a stream, and the server does not have the interceptor of Stream()"
	const method = "idemgrpc: reprise.test.v1.Orders/"
	all := func(in *Interceptor) { in.Unary(); in.Stream() }
	registerOrders := func(s *grpc.Server) { testpb.RegisterOrdersServer(s, testpb.UnimplementedOrdersServer{}) }
	tests := []struct {
		name     string
		protect  bool
		register func(*grpc.Server)
		ask      func(*Interceptor)
		want     string // "" if nothing was
	}{
		{"nothing at all", false, func(*grpc.Server) {}, func(*Interceptor) {}, ""},
		{"all is well", true, registerOrders, all, ""},
		{"undeclared, and left alone", false, registerOrders, func(*Interceptor) {}, ""},
		{"declared, and not protected", false, func(s *grpc.Server) {
			optionpb.RegisterGoodServer(s, optionpb.UnimplementedGoodServer{})
		}, all, leftOutOfGood()},
		{"not registered", true, func(*grpc.Server) {}, all, "idemgrpc: reprise.test.v1.Orders is protected, and not registered"},
		{"no interceptor", true, registerOrders, func(*Interceptor) {}, method + "Change: " + unary + "\n" + method + "Create: " + unary + "\n" + method + "CreateMany: " + stream},
		{"no interceptor of streams", true, registerOrders, func(in *Interceptor) { in.Unary() }, method + "CreateMany: " + stream},
		{"no interceptor of unary methods", true, registerOrders, func(in *Interceptor) { in.Stream() }, method + "Change: " + unary + "\n" + method + "Create: " + unary},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, err := New(newGuard(t), GlobalScope())
			require.NoError(t, err)
			if test.protect {
				require.NoError(t, in.Protect(ordersService()))
			}
			server := grpc.NewServer()
			test.register(server)
			test.ask(in)
			err = in.Check(server)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.want)
		})
	}
	in, err := New(newGuard(t), GlobalScope())
	require.NoError(t, err)
	require.ErrorContains(t, in.Check(nil), "the server is nil")
}
