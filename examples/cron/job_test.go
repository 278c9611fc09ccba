package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// machine is a running program; end stops it as a deployment does.
func machine(t *testing.T, records store.Store, run func(context.Context, period) (string, error)) (end func()) {
	t.Helper()
	guard, err := idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	j := &job{name: "report", every: time.Hour, run: run}
	require.NoError(t, j.protect(guard))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { j.loop(ctx, slog.New(slog.DiscardHandler)) })
	return func() {
		cancel()
		wg.Wait()
		assert.NoError(t, guard.Shutdown(context.Background()))
	}
}

func memory(t *testing.T) store.Store {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	return records
}

func TestAJobRunsOnceInEachPeriodHoweverManyMachinesAskForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records, runs := memory(t), new(atomic.Int64)
		run := func(context.Context, period) (string, error) {
			time.Sleep(time.Minute)
			runs.Add(1)
			return "done", nil
		}
		time.Sleep(10 * time.Minute) // they start within a period
		var ends []func()
		for range 3 {
			ends = append(ends, machine(t, records, run))
		}
		time.Sleep(3 * time.Hour)
		for _, end := range ends {
			end()
		}
		assert.EqualValues(t, 4, runs.Load(), "the period in which they start, and three more")
	})
}

func TestAMachineThatStartsAgainDoesNotRepeatThePeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records, runs := memory(t), new(atomic.Int64)
		for range 3 {
			end := machine(t, records, func(context.Context, period) (string, error) {
				runs.Add(1)
				return "done", nil
			})
			time.Sleep(time.Minute)
			end()
		}
		assert.EqualValues(t, 1, runs.Load())
	})
}

func TestAJobThatFailsIsTriedAgainInItsPeriod(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		fail func(context.Context) error
		runs int64 // within a minute
	}{
		{"nothing happened", func(context.Context) error { return errors.New("no disk") }, 6},
		{"a final no", func(context.Context) error { return idempotency.Final(errors.New("a holiday")) }, 1},
		{"unknown", func(ctx context.Context) error {
			return errors.Join(idempotency.MarkEffect(ctx), errors.New("cut off"))
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				runs := new(atomic.Int64)
				end := machine(t, memory(t), func(ctx context.Context, _ period) (string, error) {
					runs.Add(1)
					return "", tt.fail(ctx)
				})
				time.Sleep(time.Minute - time.Second)
				end()
				assert.Equal(t, tt.runs, runs.Load())
			})
		})
	}
}
