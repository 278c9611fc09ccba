// Package clients holds tests that lead HTTP clients which retry by themselves
// to a protected service that loses answers: hashicorp/go-retryablehttp, with a
// key of its own and over [idemhttp.Transport], and loops written by hand. Every
// one of them must end with one execution under one key. The snippets of
// idempotency/docs/clients.md are its examples and those of package idemhttp.
//
// [idemhttp.Transport]: https://pkg.go.dev/github.com/reprise-go/reprise/idempotency/idemhttp#Transport
package clients
