// Package teeth shows that the proofs can bite: eight cores, each wrong in one way
// that idempotency libraries have been wrong in, run on the same harnesses as the
// right one, and each must be caught.
//
//   - no owner check: everybody ends everybody's attempt;
//   - claim not idempotent per owner: a repeated claim finds itself in its way;
//   - early lapse: a lease ends for others before it ends for its owner;
//   - deposed owner answers: what was not recorded is given as final;
//   - lease = TTL: a crash leaves no trace;
//   - fail open: the handler runs when the store cannot say;
//   - scope missing: tenants share their keys;
//   - cookie replayed: one caller's session is handed to the next.
//
// The package has tests only.
package teeth
