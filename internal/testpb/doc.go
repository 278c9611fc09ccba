// Package testpb is the gRPC service of the interceptors' tests, generated
// from orders.proto.
package testpb
