// Package model is a model of the protocol in Promela, searched by Spin.
//
// What the other proofs try often, Spin tries in every order: two requests for one
// operation side by side, and a third when the faults are over. Each configuration
// of the model has an expected verdict, "ok" or the property that must be violated,
// and model_test.go holds Spin to it. The configurations that must fail are the
// worth of those that must not: a rule of the protocol is taken out, and the search
// has to find what the rule is there for.
//
//	protocol.pml     the record and its transitions, as in package store
//	world.pml        the wire, the store, and what the properties are judged by
//	engine.pml       requests, the clock, faults, an operator
//	transitions.pml  every record with every event, to be compared with store.Step
//
// # What is modelled
//
//   - The protocol: claim, renew, mark, complete, fail, release (void ones, too) and
//     settle, with owner, token, attempt, lease, mark, void and take-over. A test
//     compares more than 40,000 transitions with store.Step, and the names with those of
//     package store, so that the model cannot drift from the code.
//   - The engine: the claim, the look at the lease before the handler starts, the
//     handler with or without MarkEffect, which ignores cancellation, renewals beside
//     it, the ending, the recorded answer instead of a deposed one, the release of a
//     claim that was not answered.
//   - Time: a lease is counted down in ticks, by the store from the execution of a
//     command, by its owner from before the command was sent. A tick may pass between
//     any two steps, so that everything may stand still for longer than a lease.
//   - The wire: a command is executed at any later time, or never; twice, if COPIES
//     says so; its reply is heard or not.
//   - A crash at any point, the store's clock set ahead or back, a store that loses
//     its record, an operator who settles.
//
// # What is not
//
//   - Fingerprints, retention (nothing expires), reconcile callbacks and their
//     backoff, waiting crowds, large bodies, Purge. Mixed policies: all requests of
//     a configuration have the same.
//   - The order of clocks within a tick, clocks that drift, more than one operation.
//   - The guard against a store that loses its memory: what is modelled is a
//     design, of which there is no code yet. Its quarantine never ends.
//
// A copy of a claim that was answered does not outlive what it was sent for. Without
// that assumption (LATE_COPIES) the model shows its price: a copy that arrives after
// its request has gone, and finds a record that was released since, starts an attempt
// that nobody runs, and the key answers outcome_unknown. Nothing runs twice.
//
// # Properties
//
//   - I1_one_effect: an operation has at most one effect.
//   - I1_one_holder: no claim starts an attempt while another owner relies on its
//     lease by its own clock.
//   - I2_one_answer: all final answers are equal.
//   - I4_owner_only: nothing but a claim or a settlement changes another's record.
//   - I6: every request ends. The model has no cycle and no end but the wanted ones
//     ("non-progress cycle", "invalid end state"); I6_nothing_left_behind: an outcome
//     is unknown only if a handler was started or a process died; I6_a_retry_runs.
//   - I11_tokens_grow: each start has a larger token than all before.
//
// A configuration judges all of them but those that it names with IGNORE_.
//
// # Reading a trail
//
// A violation that was not expected is told in the test's log, one line for each
// thing that happened. The same by hand, with the configuration's flags; -DBFS
// finds the shortest story:
//
//	spin -a -DMODE=TakeOverAlways engine.pml
//	gcc -DSAFETY -DBFS -o pan pan.c && ./pan -m100000
//	spin -t -DMODE=TakeOverAlways engine.pml       # what happened
//	spin -t -p -g -DMODE=TakeOverAlways engine.pml # every step, every variable
//
// Numbers are owners: 1 and 2 the requests side by side, 3 the last one, 4 the
// operator. An answer goes by the number of its owner.
package model
