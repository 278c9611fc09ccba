package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCommand(t *testing.T) (command, store.Store) {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	folder := t.TempDir()
	return command{
		keyFile: keyFile{filepath.Join(folder, "key")}, ledger: filepath.Join(folder, "ledger"), amount: 20,
	}, records
}

func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(text), "\n")
}

func TestEachRunThatComesToItsEndIsAPayment(t *testing.T) {
	t.Parallel()
	c, records := newCommand(t)
	for i := range 3 {
		var out strings.Builder
		require.NoError(t, c.run(t.Context(), records, &out))
		assert.Contains(t, out.String(), "(executed)")
		assert.NotContains(t, out.String(), "continuing")
		assert.NoFileExists(t, c.keyFile.path)
		assert.Equal(t, i+1, lines(t, c.ledger))
	}
}

func TestARunAfterACrashMakesTheSamePayment(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		crash func(t *testing.T, c command, records store.Store)
		says  string
	}{
		{"before it asked", func(t *testing.T, c command, _ store.Store) {
			_, _, err := c.keyFile.key()
			require.NoError(t, err)
		}, "(executed)"},
		{"after it paid", func(t *testing.T, c command, records store.Store) {
			_, _, err := c.keyFile.key()
			require.NoError(t, err)
			key, err := os.ReadFile(c.keyFile.path)
			require.NoError(t, err)
			var out strings.Builder
			require.NoError(t, c.run(t.Context(), records, &out))
			require.NoError(t, os.WriteFile(c.keyFile.path, key, 0o600)) // it died before it removed it
		}, "(replayed)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, records := newCommand(t)
			tt.crash(t, c, records)
			var out strings.Builder
			require.NoError(t, c.run(t.Context(), records, &out))
			assert.Contains(t, out.String(), "continuing")
			assert.Contains(t, out.String(), tt.says)
			assert.Equal(t, 1, lines(t, c.ledger))
			assert.NoFileExists(t, c.keyFile.path)
		})
	}
}

func TestAPaymentThatIsNotOverKeepsItsKey(t *testing.T) {
	t.Parallel()
	c, records := newCommand(t)
	folder := c.ledger
	c.ledger = filepath.Join(folder, "missing", "ledger")
	var out strings.Builder
	require.ErrorContains(t, c.run(t.Context(), records, &out), "run it again")
	assert.FileExists(t, c.keyFile.path)

	c.amount = 21
	require.ErrorIs(t, c.run(t.Context(), records, &out), idempotency.ErrKeyReused)
	assert.FileExists(t, c.keyFile.path)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	c.amount = 20
	require.ErrorContains(t, c.run(canceled, records, &out), "run it again")
}

func TestAKeyThatMayBeForgottenIsNotUsed(t *testing.T) {
	t.Parallel()
	c, records := newCommand(t)
	require.NoError(t, c.keyFile.write("old"))
	old := time.Now().Add(-remembered)
	require.NoError(t, os.Chtimes(c.keyFile.path, old, old))
	var out strings.Builder
	require.ErrorContains(t, c.run(t.Context(), records, &out), "look whether it was paid")
	assert.Zero(t, lines(t, c.ledger))
}

func TestAFinalNoIsOver(t *testing.T) {
	t.Parallel()
	c, records := newCommand(t)
	c.amount = 0
	var out strings.Builder
	require.EqualError(t, c.run(t.Context(), records, &out), "there is nothing to pay: -amount is 0")
	assert.NoFileExists(t, c.keyFile.path)
	assert.Zero(t, lines(t, c.ledger))
}

func TestOnlyOneOfTwoRunsAtOnceDrawsTheKey(t *testing.T) {
	t.Parallel()
	c, _ := newCommand(t)
	require.NoError(t, c.keyFile.write("first"))
	require.Error(t, c.keyFile.write("second"))
	key, resumed, err := c.keyFile.key()
	require.NoError(t, err)
	assert.True(t, resumed)
	assert.Equal(t, "first", key)
	left, err := filepath.Glob(c.keyFile.path + ".*")
	require.NoError(t, err)
	assert.Empty(t, left, "no draft is left behind")
}
