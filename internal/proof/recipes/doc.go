// Package recipes holds what cannot be shown without other people's software: each
// folder is one way of using the library, with a test that breaks it.
//
//   - consumer: messages from a queue that delivers at least once (NATS JetStream).
//
// Recipes that need nothing are in the examples folder of the library's module.
package recipes
