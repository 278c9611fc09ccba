// Package paymentspb is the generated form of payments.proto, the gRPC service of
// the example.
package paymentspb
