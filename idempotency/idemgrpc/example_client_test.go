package idemgrpc_test

import (
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
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
