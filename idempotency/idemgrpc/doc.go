// Package idemgrpc makes gRPC methods safe to retry.
//
//	guard, err := idempotency.New(store)
//	protect, err := idemgrpc.New(guard, idemgrpc.Scope(tenant)) // func(context.Context) (string, error)
//	err = protect.Protect(paymentspb.File_payments_proto.Services().ByName("PaymentService"),
//		idemgrpc.Method("CreatePayment", idemgrpc.KeyField("request_id")))
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(authenticate, protect.Unary()),
//		grpc.ChainStreamInterceptor(authenticateStream, protect.Stream()))
//
// A call carries its key in the metadata entry idempotency-key, by the rules of
// the HTTP header, or in a field of the request, which may have a format of its
// own ([KeyFieldFormat]). The first call with a key runs the handler; duplicates
// get its answer: message, status with details, and the metadata that
// [RecordMetadata] lists. A duplicate of a running call waits, up to
// [DefaultWait], so that hedged calls all get the one success. What gRPC itself
// says about its retries (grpc-previous-rpc-attempts) is counted, see
// [idempotency.Stats], and decides nothing.
//
// # Which answers are final
//
// Recorded: OK, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS,
// FAILED_PRECONDITION, OUT_OF_RANGE. UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED,
// UNAUTHENTICATED, PERMISSION_DENIED and UNIMPLEMENTED say that nothing happened:
// a retry runs the handler again, unless an effect was marked. After CANCELLED,
// DEADLINE_EXCEEDED, UNKNOWN (any plain Go error), INTERNAL, DATA_LOSS, a panic
// or a crash nobody knows: duplicates get FAILED_PRECONDITION, reason
// OUTCOME_UNKNOWN, unless the policy says otherwise. The refusals of another
// service of this library, passed on by a handler, are not taken for answers.
//
// # What callers see
//
// Refusals are statuses with an ErrorInfo of [DefaultDomain], whose reason is
// the [idempotency.Code] in upper case; see [StatusOf]. They come as trailers
// only, so that clients which retry by a service config may, and with
// grpc-retry-pushback-ms where a retry makes sense. RESULT_UNAVAILABLE, of an answer
// whose messages were not kept, has its recorded metadata in the trailer. Replays carry
// idempotent-replayed: true, and every answer idempotency-status: in the header of
// successes, in the trailer of errors, and in the trailer of streams that are not
// replays.
//
// A handler's header is sent with its answer, once that is recorded, also if it
// calls [grpc.SendHeader]; then an error comes with a header, too, and is not
// retried by gRPC itself. Under [idempotency.StreamPass], and in streams, it is
// sent at once.
//
// # Streams
//
// The messages of a server stream are passed on as they are sent, and recorded
// up to the policy's MaxResponseBody; a longer answer is recorded without them.
// A caller who goes away does not stop the handler. An attempt that loses its
// claim in the midst of its stream ends it with ABORTED, reason LEASE_LOST.
// Client and bidi streams cannot be protected.
//
// # What it does not promise
//
// Beyond what package idempotency says: the order of unknown fields with
// different numbers is not part of a request's identity, and a request is
// compared as the server decodes it. Policy.MaxRequestBody is not used: the
// server's own limit holds. Within a protected handler, [grpc.SetSendCompressor] and
// [grpc.ClientSupportedCompressors] return an error: grpc-go lets nobody stand
// between them and the connection. [SetSendCompressor] and
// [ClientSupportedCompressors] of this package work in every handler.
package idemgrpc
