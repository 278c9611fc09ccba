package conformance_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// payments is the reference service, built once.
var payments paytest.Binary

// startPayments starts the reference service on the shared Redis, or on what
// the arguments say, with a ledger of its own unless they name one.
func startPayments(t *testing.T, args ...string) *paytest.Process {
	t.Helper()
	return payments.Start(t, onShared(t, args)...)
}

// startFastPayments starts it without the race detector, for tests that are
// about numbers.
func startFastPayments(t *testing.T, args ...string) *paytest.Process {
	t.Helper()
	return payments.StartFast(t, onShared(t, args)...)
}

// onShared adds the shared Redis and the test's namespace to arguments that name
// no others.
func onShared(t *testing.T, args []string) []string {
	t.Helper()
	if paytest.Argument(args, "-redis") == "" {
		args = append(args, "-redis", shared.Server(t).URL())
	}
	if paytest.Argument(args, "-namespace") == "" {
		args = append(args, "-namespace", namespaceOf(t))
	}
	return args
}

// pay returns the call of a payment whose source decides what happens.
func pay(key, source string) call {
	return call{
		key:  key,
		body: fmt.Sprintf(`{"amount":1999,"currency":"EUR","source":%q}`, source),
		header: map[string][]string{
			"Authorization": {"Bearer sk_test_acme"},
			"Content-Type":  {"application/json"},
		},
	}
}

// eventually waits for a condition, for a bounded time.
func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	require.Eventually(t, until, 15*time.Second, 10*time.Millisecond, what)
}

// lockedBuffer collects what several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
