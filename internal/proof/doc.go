// Package proof holds the proofs that need more than one package's tests: they
// run the engine and the stores as they are, break the world around them, and
// judge what came out.
//
//   - simulation: the engine on a simulated store and network, under virtual
//     time, one seed after the other.
//   - linearizability: histories of redisstore and redislock on a real server under
//     faults, judged by porcupine with [store.Step], and the protocol of a lock, as
//     the sequential models.
//   - model: the protocol in Promela, searched through by Spin, and compared with
//     [store.Step] transition by transition.
//   - chaos: several processes of the reference service on a Redis, a Sentinel or a
//     Cluster, everything around them killed, stopped, cut off and wiped, with the
//     ledger of effects as the judge.
//   - proxies, clients, browser, grpcurl, gateway: other people's software around
//     the service. nginx and HAProxy send requests again, HTTP clients retry,
//     Chromium drives the operator's page, grpcurl types what the README shows,
//     and grpc-gateway translates.
//   - locks: benchmarks of the lock beside other Go locks on Redis.
//   - teeth: eight broken cores, and which of the others catches each.
//
// The first four must catch cores that are wrong on purpose (storetest/broken,
// scripts that are edited on their way to Redis, variants of the model), or their silence about the
// right core means nothing.
//
// It is a module of its own, so that its dependencies stay out of the
// library's.
//
// [store.Step]: https://pkg.go.dev/github.com/reprise-go/reprise/store#Step
package proof
