package quorumlock_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

func TestPreflightLooksAtEveryMaster(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	findings, err := b.Preflight(t.Context())
	require.NoError(t, err)
	assert.Empty(t, findings)

	s.servers[1].Config("maxmemory-policy", "allkeys-lru")
	s.servers[3].Stop()
	findings, err = b.Preflight(t.Context())
	require.NoError(t, err)
	require.Len(t, findings, 2)
	require.ErrorContains(t, findings[0], "master 1")
	require.ErrorContains(t, findings[0], "maxmemory-policy")
	require.ErrorContains(t, findings[1], "master 3")
	require.ErrorIs(t, findings[1], lock.ErrUnavailable)

	s.servers[0].Stop()
	s.servers[4].Stop()
	findings, err = b.Preflight(t.Context())
	require.ErrorIs(t, err, lock.ErrUnavailable)
	assert.Empty(t, findings)

	require.NoError(t, b.Close())
	_, err = b.Preflight(t.Context())
	require.ErrorIs(t, err, redis.ErrClosed)
}
