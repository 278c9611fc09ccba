package conformance_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is an examples/payments server: a process of its own, so that it can
// be killed and stopped.
type process struct {
	URL    string // of POST /v1/payments
	Base   string
	Ledger string
	cmd    *exec.Cmd
	errs   *lockedBuffer
	exited chan struct{}
}

// startPayments starts the reference service on the shared Redis, or on what
// the arguments say, with a ledger of its own unless they name one.
func startPayments(t *testing.T, args ...string) *process {
	t.Helper()
	return startBinary(t, paymentsBinary(t, raceEnabled), args...)
}

// startFastPayments starts it without the race detector, for tests that are
// about numbers.
func startFastPayments(t *testing.T, args ...string) *process {
	t.Helper()
	return startBinary(t, paymentsBinary(t, false), args...)
}

func startBinary(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{errs: new(lockedBuffer), exited: make(chan struct{})}
	p.Ledger = argument(args, "-ledger")
	if p.Ledger == "" {
		p.Ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
		args = append(args, "-ledger", p.Ledger)
	}
	if argument(args, "-redis") == "" {
		args = append(args, "-redis", shared.Server(t).URL())
	}
	if argument(args, "-namespace") == "" {
		args = append(args, "-namespace", namespaceOf(t))
	}
	args = append(args, "-http", "127.0.0.1:0")
	p.cmd = exec.Command(binary, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p.errs
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	ready := make(chan string, 1)
	go func() {
		defer close(p.exited)
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- line
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	select {
	case line := <-ready:
		addr := readyLine.FindStringSubmatch(line)
		require.NotNil(t, addr, "READY line %q\n%s", line, p.errs)
		p.Base = "http://" + addr[1]
		p.URL = p.Base + "/v1/payments"
	case <-time.After(20 * time.Second):
		t.Fatalf("the service did not get ready:\n%s", p.errs)
	}
	return p
}

var readyLine = regexp.MustCompile(`^READY http=(\S+) grpc=\S+ store=\S+\n$`)

func argument(args []string, name string) string {
	for i, arg := range args {
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
}

// kill ends the process at once, stopped or not.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
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

// entry is one line of a ledger.
type entry struct {
	Seq     int    `json:"seq"`
	Kind    string `json:"kind"`
	Payment string `json:"payment"`
	KeyHash string `json:"key_hash"`
	Token   int64  `json:"token"`
}

// entries reads the effects that happened.
func entries(t *testing.T, ledger string) []entry {
	t.Helper()
	data, err := os.ReadFile(ledger)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	var list []entry
	for line := range strings.Lines(string(data)) {
		var e entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		list = append(list, e)
	}
	return list
}

// eventually waits for a condition, for a bounded time.
func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	require.Eventually(t, until, 15*time.Second, 10*time.Millisecond, what)
}

// paymentsBuild is the reference service, without and with the race detector,
// in one directory.
var paymentsBuild struct {
	mu    sync.Mutex
	path  string // what the files' names begin with
	built map[bool]error
}

// paymentsBinary builds the reference service, once of each kind.
func paymentsBinary(t *testing.T, race bool) string {
	t.Helper()
	b := &paymentsBuild
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.path == "" {
		dir, err := os.MkdirTemp("", "payments-") //nolint:usetesting // it outlives the test that builds it
		require.NoError(t, err)
		b.path, b.built = filepath.Join(dir, "payments"), make(map[bool]error)
	}
	path := fmt.Sprintf("%s-race-%v", b.path, race)
	err, done := b.built[race]
	if !done {
		err = build(path, race)
		b.built[race] = err
	}
	require.NoError(t, err)
	return path
}

func build(path string, race bool) error {
	out, err := exec.Command("go", "build", fmt.Sprintf("-race=%v", race), "-o", path,
		"github.com/reprise-go/reprise/examples/payments").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// lockedBuffer collects a process's output.
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
