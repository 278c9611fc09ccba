// Package topology holds the tests of what happens to running protection and to
// locks when a Redis master dies, comes back empty, or hands a slot to another: on
// real servers, behind Sentinel and in a cluster, under load. It exports nothing.
package topology
