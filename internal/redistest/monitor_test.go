package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMonitorNotesEveryCommandWithItsWords(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.RequirePass("pw"))
	rdb, ctx := srv.Client(t), t.Context()
	require.NoError(t, rdb.Ping(ctx).Err())
	m := srv.Monitor()
	assert.Empty(t, m.Commands())
	require.NoError(t, rdb.Set(ctx, "k", "line\nbreak \"quoted\"\x00", 0).Err())
	require.NoError(t, rdb.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"k"}).Err())
	assert.Equal(t, []string{
		`"set" "k" "line\nbreak \"quoted\"\x00"`,
		`"eval" "return redis.call('GET', KEYS[1])" "1" "k"`,
		`lua "GET" "k"`,
	}, m.Commands())
	assert.Empty(t, m.Commands(), "they are read once")
}
