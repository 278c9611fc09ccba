package redistest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestHoldingFindsACanaryWhereverItIsStored(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb, ctx := srv.Client(t), t.Context()
	const canary = "canary-7f3a"
	// Long and repetitive, so that it would be compressed in a dump.
	long := strings.Repeat("x", 4096) + canary + strings.Repeat("x", 4096)
	require.NoError(t, rdb.Set(ctx, "string", long, 0).Err())
	require.NoError(t, rdb.HSet(ctx, "hash", "f", long).Err())
	require.NoError(t, rdb.RPush(ctx, "list", long).Err())
	require.NoError(t, rdb.SAdd(ctx, "set", canary).Err())
	require.NoError(t, rdb.Set(ctx, "name:"+canary, "v", 0).Err())
	require.NoError(t, rdb.Set(ctx, "clean", "v", 0).Err())

	assert.Equal(t, []string{"hash", "list", "name:" + canary, "set", "string"}, srv.Holding(canary))
	assert.Equal(t, "v", srv.Dump()["clean"])
	assert.Equal(t, []string{"name:" + canary}, srv.Keys("name:*"))
}

func TestCommandCountsGrowByWhatWasExecuted(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb, ctx := srv.Client(t), t.Context()
	before := srv.CommandCounts()
	require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
	require.NoError(t, rdb.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"k"}).Err())

	grown := srv.CommandCounts().Since(before)
	assert.Equal(t, 1, grown["set"])
	assert.Equal(t, 1, grown["eval"])
	assert.Equal(t, 1, grown["get"])
	assert.NotContains(t, grown, "del")
}

func TestAdministration(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb, ctx := srv.Client(t), t.Context()
	sha := srv.Do("script", "load", "return 1").(string)
	require.NoError(t, rdb.EvalSha(ctx, sha, nil).Err())

	srv.ScriptFlush()
	require.ErrorContains(t, rdb.EvalSha(ctx, sha, nil).Err(), "NOSCRIPT")

	require.NoError(t, rdb.Set(ctx, "k", "v", 0).Err())
	srv.FlushAll()
	require.Empty(t, srv.Keys("*"))

	srv.Config("maxmemory", "1kb")
	require.ErrorContains(t, rdb.Set(ctx, "k", "v", 0).Err(), "OOM")
}
