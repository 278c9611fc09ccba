package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	lease     = 30 * time.Second
	retention = 24 * time.Hour
)

// getting reads a value of so many bytes, which is the least that a replay costs.
func getting(b *testing.B, rdb *redis.Client, size int) way {
	b.Helper()
	key := fmt.Sprint("bench:get:", size)
	require.NoError(b, rdb.Set(b.Context(), key, bytes.Repeat([]byte("x"), size), 0).Err())
	return each("GET", func() error { return rdb.Get(b.Context(), key).Err() })
}

// sent are the commands of a claim and of its completion as a store sends them.
type sent struct {
	claim, get, complete []any
	id                   store.ID
	idText, ownerText    string
}

// captured takes a first execution's commands down.
func captured(b *testing.B, rdb *redis.Client, size int) *sent {
	b.Helper()
	spy := &spy{}
	tapped := redis.NewClient(rdb.Options())
	tapped.AddHook(spy)
	st, err := redisstore.New(tapped)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()); require.NoError(b, tapped.Close()) })
	id := store.NewID("s", "bench", freshKey())
	claim := store.Claim{
		Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: "sha256-1"},
		Operation: "bench", Lease: lease, Retention: retention,
	}
	execute := func(id store.ID, claim store.Claim) {
		reply, err := st.Apply(b.Context(), id, claim)
		require.NoError(b, err)
		attempt := store.Attempt{
			Owner: claim.Owner, Token: reply.Token, Number: 1, Lease: lease, Fingerprint: claim.Fingerprint,
			Operation: "bench", Started: reply.Started, Retention: retention,
		}
		_, err = st.Apply(b.Context(), id, store.Complete{
			Attempt: attempt, Adoption: store.Adoption{Confirmed: reply.Now, Within: retention},
			Answer: store.Answer{Codec: "http1", Meta: bytes.Repeat([]byte("m"), 60), Body: bytes.Repeat([]byte("x"), size)},
		})
		require.NoError(b, err)
	}
	first := claim
	first.Owner = store.NewOwner()
	execute(store.NewID("s", "bench", freshKey()), first) // the server knows the scripts now
	spy.commands = nil
	execute(id, claim)
	require.GreaterOrEqual(b, len(spy.commands), 3) // a large answer is set before the script
	return &sent{spy.commands[0], spy.commands[1], spy.commands[len(spy.commands)-1], id, id.String(), claim.Owner.String()}
}

// spy is a hook that takes down what is sent.
type spy struct{ commands [][]any }

func (*spy) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.commands = append(s.commands, cmd.Args())
		return next(ctx, cmd)
	}
}

func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			s.commands = append(s.commands, cmd.Args())
		}
		return next(ctx, cmds)
	}
}

// like returns a command of another request. It costs next to nothing, as it is part
// of what is measured.
func (s *sent) like(args []any, id store.ID, owner store.Owner) []any {
	all := slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			all[i] = strings.Replace(arg, s.idText, id.String(), 1)
		case []byte:
			other := bytes.Clone(arg)
			overwrite(other, s.idText, id.String())
			overwrite(other, s.ownerText, owner.String())
			all[i] = other
		}
	}
	return all
}

func overwrite(b []byte, old, text string) {
	if at := bytes.Index(b, []byte(old)); at >= 0 {
		copy(b[at:], text)
	}
}

// barePipeline sends a claim of a completed record and the GET, and looks at
// nothing.
func barePipeline(b *testing.B, rdb *redis.Client, size int) way {
	b.Helper()
	s := captured(b, rdb, size)
	return way{"claim+GET bare", func(int) func() error {
		claim := s.like(s.claim, s.id, store.NewOwner())
		return func() error { return claimAndGet(b, rdb, claim, s.get) }
	}}
}

func claimAndGet(b *testing.B, rdb *redis.Client, claim, get []any) error {
	b.Helper()
	pipe := rdb.Pipeline()
	pipe.Do(b.Context(), claim...)
	pipe.Do(b.Context(), get...)
	if _, err := pipe.Exec(b.Context()); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}

// bareScripts sends the two scripts of a first execution, and looks at nothing.
func bareScripts(b *testing.B, rdb *redis.Client, size int) way {
	b.Helper()
	s := captured(b, rdb, size)
	return each("scripts bare", func() error {
		id, owner := store.NewID("s", "bare", freshKey()), store.NewOwner()
		if err := claimAndGet(b, rdb, s.like(s.claim, id, owner), s.like(s.get, id, owner)); err != nil {
			return err
		}
		return rdb.Do(b.Context(), s.like(s.complete, id, owner)...).Err()
	})
}

// locking is what many write by hand: a lock of redsync, a look whether there is
// an answer, and the answer. A replay is the same without the SET.
func locking(b *testing.B, rdb *redis.Client, size int, replay bool) way {
	b.Helper()
	rs := redsync.New(redsyncgo.NewPool(rdb))
	body := bytes.Repeat([]byte("x"), size)
	return way{"redsync", func(int) func() error {
		own := "bench:redsync:" + freshKey()
		require.NoError(b, rdb.Set(b.Context(), own, body, time.Hour).Err())
		return func() error {
			key := own
			if !replay {
				key = "bench:redsync:" + freshKey()
			}
			mutex := rs.NewMutex("bench:lock:"+key, redsync.WithExpiry(lease))
			if err := mutex.LockContext(b.Context()); err != nil {
				return err
			}
			if err := lookOrSet(b, rdb, key, body); err != nil {
				return err
			}
			_, err := mutex.UnlockContext(b.Context())
			return err
		}
	}}
}

func lookOrSet(b *testing.B, rdb *redis.Client, key string, body []byte) error {
	b.Helper()
	err := rdb.Get(b.Context(), key).Err()
	if errors.Is(err, redis.Nil) {
		return rdb.Set(b.Context(), key, body, time.Hour).Err()
	}
	return err
}

// setting is the same with SET NX and a compare-and-delete.
func setting(b *testing.B, rdb *redis.Client, size int) way {
	b.Helper()
	body := bytes.Repeat([]byte("x"), size)
	unlock := redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end`)
	return each("SET NX", func() error {
		key, owner := "bench:nx:"+freshKey(), store.NewOwner().String()
		if err := rdb.SetNX(b.Context(), key+":lock", owner, lease).Err(); err != nil {
			return err
		}
		if err := lookOrSet(b, rdb, key, body); err != nil {
			return err
		}
		return unlock.Run(b.Context(), rdb, []string{key + ":lock"}, owner).Err()
	})
}
