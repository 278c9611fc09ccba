// Package broken holds cores of the protocol that are wrong on purpose, each in
// one way that a library of this kind was seen to be wrong in. The proofs run
// against them to show that they would notice.
package broken
