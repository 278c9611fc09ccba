package redisconn

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// NoScript reports a script that the server does not know.
func NoScript(err error) bool {
	return err != nil && (errors.Is(err, redis.ErrNoScript) || redis.HasErrorPrefix(err, "NOSCRIPT"))
}

// IsReply reports an error that a server answered, as against one of the way
// to it.
func IsReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// Denied reports that a server answered and does not permit, or know, the
// command. Some replies are about the server or the connection instead and say
// nothing about the command.
func Denied(err error) bool {
	if !IsReply(err) {
		return false
	}
	for _, code := range [...]string{"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "max number"} {
		if redis.HasErrorPrefix(err, code) {
			return false
		}
	}
	return true
}

// EndOf returns why a context ended. A deadline that ends a command is a network
// timeout to go-redis, which does not match context.DeadlineExceeded, and which
// may come a moment before the context's own timer.
func EndOf(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
