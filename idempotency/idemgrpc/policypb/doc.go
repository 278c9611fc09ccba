// Package policypb is the generated form of reprise/idempotency/v1/policy.proto:
// the option by which a .proto says how a gRPC method is protected. The file
// itself stands in this folder, under that path; package idemgrpc reads the
// option.
package policypb
