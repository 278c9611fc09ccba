// Command payments is a small payment API whose effects happen once, however
// often a request is sent. It is the pattern to copy: see routes in routes.go for
// the order of the middleware, newGRPC in grpc.go for that of the interceptors,
// effect in payments.go for what a handler does before it moves money, and drain
// in drain.go for how an instance stops.
//
//	go run ./examples/payments
//
// runs it on an in-process Redis, with nothing to install;
//
//	go run ./examples/payments -redis redis://127.0.0.1:6379/0 -ledger ledger.jsonl
//
// on a real one, next to any number of further instances. -help lists the flags.
// With -min-replicas 1 a request runs only when a replica of that Redis knows of
// it; with -memory-guard 24h a Redis that came back empty means 503 for new keys
// until somebody who knows better blesses it (redisstore.MemoryGuard).
//
//	curl -i http://127.0.0.1:8080/v1/payments \
//	  -H 'Authorization: Bearer sk_test_acme' \
//	  -H 'Idempotency-Key: order-1001' \
//	  -d '{"amount":1999,"currency":"EUR","source":"tok_visa"}'
//
// Sent again it gives the same payment, with Idempotent-Replayed: true, and the
// card is not charged again. The same over gRPC, whose policies are declared in
// paymentspb/payments.proto:
//
//	grpcurl -plaintext -H 'authorization: Bearer sk_test_acme' \
//	  -H 'idempotency-key: order-1001' \
//	  -d '{"amount":1999,"currency":"EUR","source":"tok_visa"}' \
//	  127.0.0.1:9090 payments.v1.PaymentService/CreatePayment
//
// The source of a payment decides what happens, as with a card processor's test
// cards: tok_declined, tok_slow_2s, tok_panic, and so on; sources.go has them
// all. GET /v1/ledger shows what was charged.
package main
