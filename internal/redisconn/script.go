package redisconn

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Exec runs a pipeline and sees to it that each command has its own error.
// go-redis sets none when it could not log in to the server, which would make
// the commands look as if they had brought nothing.
func Exec(ctx context.Context, pipe redis.Pipeliner) {
	cmds, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return
	}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}

// Run runs a script. A server that does not know it, because it has been
// started, flushed or promoted since, gets its text, once; loads counts those.
func Run(
	ctx context.Context, c redis.Scripter, loads *atomic.Int64, script *redis.Script, keys []string, args ...any,
) *redis.Cmd {
	cmd := script.EvalSha(ctx, c, keys, args...)
	if !NoScript(cmd.Err()) {
		return cmd
	}
	loads.Add(1)
	return script.Eval(ctx, c, keys, args...)
}
