// Package gateway holds tests that lead HTTP requests through a real
// grpc-gateway to a protected gRPC service on a real Redis: a key is one
// operation whichever way it comes, and an HTTP client sees of the service what
// it would see of the HTTP middleware. The gateway's handlers, in testpb, are
// generated from the service's .proto and orders.http.yaml.
package gateway
