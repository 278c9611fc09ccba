// Package store is the contract between the idempotency engine and the place
// where its records live.
//
// One [Record] stands for one operation: a scope (tenant or caller), the name
// of a protected operation, and an idempotency key, hashed together into an
// [ID]. Everything that can happen to a record is an [Event], and [Step] says
// what each event does to it:
//
//	absent ───claim───▶ running ──complete──▶ completed ──retention──▶ absent
//	released ─claim───▶ running ──release───▶ released
//	                    running ──fail──────▶ unknown
//	                    running, lease lapsed: read as unknown, rewritten by nobody
//	unknown or lapsed ─claim that may take over─▶ running (larger token, attempt+1)
//	unknown ──complete by its own owner, or settle──▶ completed | released
//
// [Step] is a pure function, so it is the specification and an implementation
// at once: memstore calls it under a mutex, a store over a transactional
// database would call it between SELECT … FOR UPDATE and UPDATE, and the Lua
// scripts of redisstore mirror it. The suite in storetest holds all of them to
// the same rules; run it on your own store.
//
// # What the protocol promises
//
//   - The claim is the lock. There is no second lock key.
//   - The lease is a field of the record and never its time to live, so that a
//     handler which died stays visible until somebody decides what that means.
//   - Every event is idempotent per owner. A client that sends an event again
//     because the reply got lost gets the same answer again.
//   - Tokens grow with every start of an operation, for use as fencing tokens.
//   - Time is the store's own ([Instant]); callers' clocks play no part.
//   - A record that cannot be read is an error ([ErrUnreadable]), never absent.
//
// Keys and scopes never reach a store in the clear, only digests do.
package store
