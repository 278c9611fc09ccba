package redisconn

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// undeterred hides failed dials from the pool behind them. A go-redis pool
// counts them, and once there were as many as it has connections it refuses to
// dial at all until a probe of its own succeeds, once a second: renewals would
// stay blocked for up to a second after Redis is back, which is the whole of a
// short lease. A failed dial therefore becomes a connection whose first use
// fails with the same error.
func undeterred(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			conn = stillborn{err: err}
		}
		return conn, nil
	}
}

// dialerOf returns the dialer that a client with these options uses.
func dialerOf(o *redis.Options) dialer {
	if o.Dialer != nil {
		return o.Dialer
	}
	return redis.NewDialer(o)
}

// stillborn is a connection that never was.
type stillborn struct{ err error }

func (c stillborn) Read([]byte) (int, error)       { return 0, c.err }
func (c stillborn) Write([]byte) (int, error)      { return 0, c.err }
func (stillborn) Close() error                     { return nil }
func (stillborn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (stillborn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (stillborn) SetDeadline(time.Time) error      { return nil }
func (stillborn) SetReadDeadline(time.Time) error  { return nil }
func (stillborn) SetWriteDeadline(time.Time) error { return nil }
