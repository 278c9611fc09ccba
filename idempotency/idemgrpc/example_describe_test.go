package idemgrpc_test

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

// The answer is made here; one in use comes from [idempotency.Guard.Answer].
func ExampleAnswerLines() {
	recorded, err := idemgrpc.NewAnswer(idemgrpc.Settled{
		Status:  status.New(codes.FailedPrecondition, "the card was declined"),
		Trailer: metadata.Pairs("x-cost", "2"),
	})
	if err != nil {
		panic(err)
	}
	lines, err := idemgrpc.AnswerLines(recorded, true)
	if err != nil {
		panic(err)
	}
	for _, line := range lines {
		fmt.Printf("%s: %s\n", line[0], line[1])
	}
	// Output:
	// gRPC status: FAILED_PRECONDITION
	// Status message: the card was declined
	// Messages: none
	// Trailer x-cost: 2
}
