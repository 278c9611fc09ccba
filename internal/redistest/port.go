package redistest

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are drawn from below the range that kernels hand out for outgoing
// connections (32768 and up on Linux). From within it, a client that dials
// while its server is down may be given the server's own port as the local end
// and be connected to itself, and a restart may find the port taken.
const (
	firstPort = 20000
	lastPort  = 32000
)

// freePort returns a loopback port on which nothing listens right now. Another
// process may take it before its user does; the caller tries again then.
func freePort() int {
	for {
		port := firstPort + rand.IntN(lastPort-firstPort)
		ln, err := net.Listen("tcp", loopback(port)) //nolint:noctx // returns at once
		if err != nil {
			continue
		}
		_ = ln.Close()
		return port
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
