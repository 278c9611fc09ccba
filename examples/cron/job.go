package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// period is one time that a job is due: the moment at which it begins.
type period struct {
	Begins time.Time `json:"begins"`
}

// job is work that is due once in each period, on however many machines the program
// runs.
type job struct {
	name  string
	every time.Duration
	run   func(context.Context, period) (string, error)
}

// protect registers the job. What is recorded of a period outlives it, so that a
// program which starts again in the same period does not do it again; and a machine
// that died in the middle leaves the rest to the others.
func (j *job) protect(guard *idempotency.Guard) error {
	run, err := idempotency.Wrap(guard, "jobs."+j.name, j.run, idempotency.Policy{
		Retention: min(max(2*j.every, time.Hour), 30*24*time.Hour),
		Orphan:    idempotency.OrphanRerunUnmarked,
		Wait:      time.Minute,
	}, idempotency.GlobalScope()) // the jobs are nobody's but the program's
	if err != nil {
		return err
	}
	j.run = run
	return nil
}

// retryAfter is how soon a job that failed is tried again within its period.
const retryAfter = 10 * time.Second

// loop does the job in this period and in all that follow, until ctx ends.
func (j *job) loop(ctx context.Context, logger *slog.Logger) {
	for {
		due := period{time.Now().UTC().Truncate(j.every)}
		result, err := j.do(ctx, due)
		next := time.Until(due.Begins.Add(j.every))
		if err != nil && canTryAgain(err) {
			next = min(next, retryAfter)
		}
		logger.Info("job", "name", j.name, "period", due.Begins, "result", result, "error", err)
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return
		}
	}
}

// do asks for one period. The key is the job and the period, and nothing of the
// machine: all of them ask for the same.
func (j *job) do(ctx context.Context, due period) (string, error) {
	key := fmt.Sprintf("%s/%s", j.name, due.Begins.Format(time.RFC3339))
	return j.run(idempotency.WithKey(ctx, key), due)
}

// canTryAgain reports whether the period is still open: an outcome that is not known
// is for people to settle, and what was recorded stays so.
func canTryAgain(err error) bool {
	return !idempotency.IsFinal(err) && !errors.Is(err, idempotency.ErrOutcomeUnknown)
}
