package idemgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// Every call of a method that is declared with the policy option goes out under a
// key.
func ExampleNewClient() {
	keys, err := idemgrpc.NewClient()
	if err != nil {
		panic(err)
	}
	conn, err := grpc.NewClient("dns:///payments.internal:9090",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(keys.Unary()),
		grpc.WithChainStreamInterceptor(keys.Stream()))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Println(conn.Target())
	// Output: dns:///payments.internal:9090
}

func ExampleCheckError() {
	// What a server says while another call with the key is running.
	err := idemgrpc.StatusOf(&idempotency.Error{Code: idempotency.ErrInProgress}, idemgrpc.DefaultDomain, "").Err()

	err = idemgrpc.CheckError(err)
	refused, ok := errors.AsType[*idemgrpc.CallError](err)
	switch {
	case err == nil:
		fmt.Println("done")
	case !ok:
		fmt.Println("the service's answer, or the network's:", err)
	case errors.Is(refused, idempotency.ErrOutcomeUnknown):
		fmt.Println("find out by other means")
	case refused.Retryable:
		fmt.Println("the same call again, under its key, in", refused.RetryAfter)
	}
	// Output: the same call again, under its key, in 1s
}

// Every error of Recv may be a refusal, io.EOF is the end.
func ExampleCheckError_stream() {
	client, stop := serveOrders()
	defer stop()
	create := func(ctx context.Context, batch *testpb.Batch) error {
		stream, err := client.CreateMany(ctx, batch)
		if err != nil {
			return idemgrpc.CheckError(err)
		}
		for {
			receipt, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return idemgrpc.CheckError(err)
			}
			fmt.Println("run", receipt.GetRun(), receipt.GetId())
		}
	}

	ctx := idemgrpc.WithKey(context.Background(), "batch-17") // stored before the first try
	fmt.Println(create(ctx, &testpb.Batch{Orders: make([]*testpb.Order, 2)}))
	fmt.Println(create(ctx, &testpb.Batch{Orders: make([]*testpb.Order, 2)})) // a retry
	fmt.Println(errors.Is(create(ctx, &testpb.Batch{}), idempotency.ErrKeyReused))
	// Output:
	// run 1 order-1
	// run 1 order-2
	// <nil>
	// run 1 order-1
	// run 1 order-2
	// <nil>
	// true
}
