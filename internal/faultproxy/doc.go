// Package faultproxy puts faults between a Redis client and a real Redis
// server, in tests.
//
//	srv := redistest.Start(t)
//	proxy := faultproxy.Start(t, srv.Addr())
//	rdb := srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() })
//
//	lost := proxy.LoseReply("evalsha", 1) // the script runs, its answer gets lost
//	// …
//	require.Equal(t, 1, lost.Fired())
//
// The proxy reads requests and replies as whole RESP frames, so that it can
// hit exactly one of them, and counts round trips: everything that a client
// sends before it has its replies is one, a pipeline included.
//
// What a client sends to set up a connection (HELLO, AUTH, SELECT, CLIENT, …)
// is neither counted nor hit by the faults that look for a word; it suffers
// only from what befalls the whole line (delay, partition, refusal).
//
// A word, wherever one is asked for, matches a request that is the command of
// this name, in any case, or has it inside an argument, exactly.
//
// All methods may be called concurrently, while traffic flows.
package faultproxy
