// Package grpcurl holds the calls of the README as a user types them: stock
// grpcurl, in the version of this module's go.mod, against the example service as
// a process of its own. It learns everything from the server's reflection, the
// policies included.
package grpcurl
