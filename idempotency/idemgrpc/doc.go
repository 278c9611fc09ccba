// Package idemgrpc makes gRPC methods safe to retry.
//
//	guard, err := idempotency.New(store)
//	protect, err := idemgrpc.New(guard, idemgrpc.Scope(tenant)) // func(context.Context) (string, error)
//	err = protect.Protect(paymentspb.File_payments_proto.Services().ByName("PaymentService"),
//		idemgrpc.Method("CreatePayment", idemgrpc.KeyField("request_id")))
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(authenticate, protect.Unary()),
//		grpc.ChainStreamInterceptor(authenticateStream, protect.Stream()))
//	paymentspb.RegisterPaymentServiceServer(server, payments)
//	err = protect.Check(server) // what was forgotten
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
// OUTCOME_UNKNOWN, unless the policy says otherwise.
//
// A handler may pass on what another service of this library refused it. One that
// does not know its outcome, or has it and does not tell (OUTCOME_UNKNOWN,
// LEASE_LOST, RESULT_UNAVAILABLE, REPLAY_DENIED), makes the outcome unknown here,
// too, whatever the code, and RECORD_UNREADABLE does where the code would be
// recorded. A refusal that is retryable, such as IN_PROGRESS, is not recorded under
// any code. All others are what their code means.
//
// # Callers who go away
//
// A gRPC client goes away by cancelling its call or, most often, by its deadline.
// Neither reaches the handler, unless the policy says [idempotency.CallerAttached]:
// it finishes, its answer is recorded, and the client's next try gets it. Waiting
// heeds the deadline, and no handler is started after it. What bounds a handler is
// the policy's MaxHold, or a limit of the server's own: an interceptor that sets one
// with context.WithTimeout belongs inside of this one. Outside, its deadline looks
// like the client's.
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
// up to the policy's MaxResponseBody; a longer answer is recorded without them. A
// message that cannot be sent, such as one above the server's limit, is an error
// for the handler and ends the call. What the handler then answers is recorded if it
// is a success, for the retry; after an error the outcome is unknown.
// A caller who goes away does not stop the handler. An attempt that loses its
// claim in the midst of its stream ends it with ABORTED, reason LEASE_LOST.
// A message that was encoded before ([grpc.PreparedMsg]) is sent, and the answer
// recorded without messages. What a goroutine sends after the handler's end is an
// error. Client and bidi streams cannot be protected; where [grpc.UnknownServiceHandler]
// stands in for a protected method, a call with more than one request message is
// refused with INTERNAL.
//
// A caller who does not read, or whose network is dead without a word, blocks a handler
// in Send once its window is full, as gRPC has it, and there its context cannot reach
// it, not even when the claim is lost: its duplicates find a running call, and after
// MaxHold an unknown outcome. The caller's deadline ends that, and for dead connections
// keepalive.ServerParameters, whose default is two hours:
//
//	grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second})
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
