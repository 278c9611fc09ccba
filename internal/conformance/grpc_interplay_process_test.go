package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
)

// grpcProcessEnv holds, in a process of a gRPC server, how that is made.
const grpcProcessEnv = "REPRISE_TEST_GRPC_PROCESS"

// grpcProcess is a gRPC server in a process of its own, which can be killed. Its
// handler writes a line into the ledger, which is the effect, and answers.
type grpcProcess struct {
	Redis     string             `json:"redis"`
	Namespace string             `json:"namespace"`
	Ledger    string             `json:"ledger"`
	Orphan    idempotency.Orphan `json:"orphan"`
	Lease     time.Duration      `json:"lease"`
	Mark      bool               `json:"mark"` // the handler marks before the effect

	addr string
	cmd  *exec.Cmd
}

// start runs the test binary once more, as this server. It has what the test
// binary has, the race detector too, and ends with it.
func (p grpcProcess) start(t *testing.T) *grpcProcess {
	t.Helper()
	with, err := json.Marshal(p)
	require.NoError(t, err)
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestGRPCServerProcess$", "-test.timeout=2m")
	p.cmd.Env = append(os.Environ(), grpcProcessEnv+"="+string(with))
	p.cmd.Stderr = os.Stderr
	_, err = p.cmd.StdinPipe() // it ends when this is closed, be it by the test binary's end
	require.NoError(t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	p.addr = strings.TrimSpace(line)
	return &p
}

// kill ends it with SIGKILL and returns when it is gone. Again is nothing.
func (p *grpcProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // an error means that it was killed, or has been waited for
}

// TestGRPCServerProcess is the server's process, and no test.
func TestGRPCServerProcess(t *testing.T) {
	with := os.Getenv(grpcProcessEnv)
	if with == "" {
		t.Skip("it is for processes that other tests start")
	}
	var p grpcProcess
	require.NoError(t, json.Unmarshal([]byte(with), &p))
	rdb := redis.NewClient(&redis.Options{Addr: p.Redis, ContextTimeoutEnabled: true})
	s := newGRPC(t, grpcSetup{
		redis: rdb, namespace: p.Namespace, create: p.create,
		method: []idempotency.OperationOption{idempotency.Policy{Orphan: p.Orphan, Lease: p.Lease}},
	})
	_, err := fmt.Println(s.Addr)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
	require.NoError(t, rdb.Close())
}

func (p *grpcProcess) create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	if p.Mark {
		if err := idempotency.MarkEffect(ctx); err != nil {
			return nil, status.Error(codes.Unavailable, "not marked")
		}
	}
	info, _ := idempotency.FromContext(ctx)
	effect := ledgerEntry{Receipt: newKey(), Attempt: info.Attempt, Token: info.Token}
	return &testpb.Receipt{Id: effect.Receipt}, effect.append(p.Ledger)
}

// ledgerEntry is an effect.
type ledgerEntry struct {
	Receipt string `json:"receipt"`
	Attempt int    `json:"attempt"`
	Token   int64  `json:"token"`
}

func (e ledgerEntry) append(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { _ = file.Close() }()
	return json.NewEncoder(file).Encode(e)
}

// ledgerOf reads all effects.
func ledgerOf(t *testing.T, path string) []ledgerEntry {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var list []ledgerEntry
	for line := range strings.Lines(string(raw)) {
		var e ledgerEntry
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		list = append(list, e)
	}
	return list
}
