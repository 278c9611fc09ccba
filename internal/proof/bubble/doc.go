// Package bubble runs whole services in a testing/synctest bubble and judges what
// their clients saw: net/http and gRPC servers with their middleware, the engine,
// go-redis, and the Lua scripts on miniredis, all connected by memory.
//
// A scenario is drawn from a seed: two or three processes on one Redis, a few
// clients that send duplicates of one or two operations to any of them, short
// leases, handlers that take less or more than one. Between go-redis and the
// server lies a wire that knows where a command and a reply begin and end. It loses
// both, delays them beyond their caller's patience, cuts replies in the middle,
// resets connections, and hands the reply of one caller, or of an earlier command,
// to another. Processes stand still (nothing goes over their wires, no handler goes
// on), are cut off from Redis, are drained, and die. Then the faults stop, and each
// operation must become answerable.
//
// The rules are those of package simulation, whose world has no network and no
// scripts, and in exchange faults that no network has. The judge sees what clients
// see, each command that Redis executes with the records before and after it, and a
// ledger of the effects that happened.
//
// All chance comes from the seed, except where libraries draw for themselves or let
// the scheduler choose (select, the order of goroutines that wake together). A seed
// therefore gives the same faults at the same places, and four times of five the
// same counts of all that happened: repeat a seed a few times.
package bubble
