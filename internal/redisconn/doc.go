// Package redisconn holds what a backend in Redis needs beside a go-redis
// client: a few connections that busy requests cannot starve ([Reserve]), one
// connection on which notifications are heard ([Listener]), prompt re-routing
// after a crash in a cluster ([Clusters]), a look at what is wrong with a server
// ([Examination]), and the meaning of errors.
//
// It knows neither records nor locks; the stores and the locks are built on it.
package redisconn
