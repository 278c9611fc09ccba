// Package clients holds tests that lead clients which retry by themselves to a
// protected service that loses answers. Every one of them must end with one
// execution under one key, and with a success.
//
//   - hashicorp/go-retryablehttp, with a key of its own and over
//     [idemhttp.Transport], and loops written by hand, as idempotency/docs/clients.md
//     shows them. Its snippets are the examples here and those of package idemhttp.
//   - What knows nothing of the service, and sends a POST again by its own design:
//     stripe-go, go-retryablehttp by its default policy, net/http on a connection
//     that broke. Two instances on one Redis stand behind, whose duplicates wait.
//   - grpc-go's retries over two processes of the payment service, one of which
//     dies, and hedges on both of them.
//
// [idemhttp.Transport]: https://pkg.go.dev/github.com/reprise-go/reprise/idempotency/idemhttp#Transport
package clients
