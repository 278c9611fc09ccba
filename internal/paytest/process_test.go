package paytest_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// pay makes a payment and returns the answer's status.
func pay(t *testing.T, p *paytest.Process, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL,
		strings.NewReader(`{"amount":1999,"currency":"EUR","source":"tok_visa"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk_test_acme")
	req.Header.Set("Idempotency-Key", key)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func TestStartServesPaymentsUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *paytest.Process{
		"as the test": payments.Start,
		"fast":        payments.StartFast,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pid int
			t.Run("inner", func(t *testing.T) {
				p := start(t)
				pid = p.PID()
				assert.Empty(t, p.Entries(t))
				require.Equal(t, 201, pay(t, p, "k"))
				require.Equal(t, 201, pay(t, p, "k"))
				list := p.Entries(t)
				require.Len(t, list, 1)
				assert.Equal(t, "charge", list[0].Kind)
				assert.Equal(t, "acme", list[0].Tenant)
				assert.EqualValues(t, 1999, list[0].Amount)
				assert.True(t, strings.HasSuffix(list[0].Instance, fmt.Sprintf("-%d", pid)), list[0].Instance)
			})
			require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
		})
	}
}

func TestArgumentsReachTheService(t *testing.T) {
	t.Parallel()
	ledger := filepath.Join(t.TempDir(), "shared.jsonl")
	one := payments.Start(t, "-redis", "memory", "-ledger", ledger)
	two := payments.Start(t, "-redis", "memory", "-ledger", ledger)
	require.Equal(t, ledger, one.Ledger)
	require.Equal(t, 201, pay(t, one, "k"))
	require.Equal(t, 201, pay(t, two, "k"), "stores of their own")
	assert.Len(t, paytest.Entries(t, ledger), 2)
	assert.NotEqual(t, one.Addr(), two.Addr())
}

func TestGRPCIsOnUnlessTheArgumentsSayOff(t *testing.T) {
	t.Parallel()
	on, off := payments.Start(t), payments.Start(t, "-grpc", "")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", on.GRPC)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	assert.NotEqual(t, on.Addr(), on.GRPC)
	assert.Empty(t, off.GRPC)
}

func TestStoppedProcessIsKilledToo(t *testing.T) {
	t.Parallel()
	p := payments.Start(t)
	p.Signal(t, syscall.SIGSTOP)
	p.Kill()
	p.Kill()
	assert.Equal(t, -1, p.Wait(t))
	select {
	case <-p.Done():
	default:
		assert.Fail(t, "Kill returned before the end")
	}
	require.ErrorIs(t, syscall.Kill(p.PID(), 0), syscall.ESRCH)
}

func TestStopDrainsAndTellsTheExitStatus(t *testing.T) {
	t.Parallel()
	p := payments.Start(t)
	assert.Zero(t, p.Stop(t))
	assert.Contains(t, p.Log(), "draining")
	assert.Zero(t, p.Stop(t), "again")
	p.Kill()
}

func TestEntriesLeavesOutALineThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	assert.Empty(t, paytest.Entries(t, ledger), "no file yet")
	require.NoError(t, os.WriteFile(ledger, []byte("{\"seq\":1,\"kind\":\"charge\"}\n{\"seq\":2,\"ki"), 0o600))
	list := paytest.Entries(t, ledger)
	require.Len(t, list, 1)
	assert.Equal(t, 1, list[0].Seq)
}

func TestServiceThatDoesNotStartFailsTheTestInItsOwnWords(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		payments.Start(r, "-orphan", "maybe")
	}()
	<-done
	assert.Contains(t, r.said.String(), "Orphan")
}

// recorder is a test that can be failed without failing this one.
type recorder struct {
	testing.TB

	said bytes.Buffer
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	fmt.Fprintf(&r.said, format, args...)
	runtime.Goexit()
}
