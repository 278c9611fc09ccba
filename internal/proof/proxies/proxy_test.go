package proxies_test

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"io"
	rng "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// proxyKind is a program that can stand before the service.
type proxyKind struct {
	name, debian string // the program, and the package that has it
	config       string // template
	arguments    func(dir, file string) []string
}

//go:embed nginx.conf.tmpl
var nginxConfig string

//go:embed haproxy.cfg.tmpl
var haproxyConfig string

func proxyKinds() []proxyKind {
	return []proxyKind{
		{
			name: "nginx", debian: "nginx-light", config: nginxConfig,
			arguments: func(dir, file string) []string { return []string{"-p", dir, "-e", "stderr", "-c", file} },
		},
		{
			name: "haproxy", debian: "haproxy", config: haproxyConfig,
			arguments: func(_, file string) []string { return []string{"-db", "-f", file} },
		},
	}
}

// eachProxy runs a test with every kind of proxy.
func eachProxy(t *testing.T, test func(t *testing.T, kind proxyKind)) {
	t.Helper()
	for _, kind := range proxyKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// find returns the program's file, or ends the test. Daemons are often not on
// the PATH of those who may not administer them.
func (k proxyKind) find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{k.name, "/usr/sbin/" + k.name, "/usr/local/sbin/" + k.name} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	message := "NOT TESTED: no " + k.name + "; install the Debian package " + k.debian + " (or run make test)"
	if os.Getenv("REPRISE_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s; REPRISE_REQUIRE_SERVERS=1 makes that a failure", message)
	}
	t.Skip(message)
	return ""
}

// backends is what a proxy is told.
type backends struct {
	A, B string // addresses
	// Standby: B gets requests only when A did not answer them.
	Standby bool
	// Timeout is how long the proxy waits for an answer.
	Timeout time.Duration
}

// instructions are what a template is filled with.
type instructions struct {
	backends

	Dir, Listen, Nonce, Timeout string
}

// startProxy starts a proxy and returns its address once it serves there.
func startProxy(t *testing.T, kind proxyKind, b backends) string {
	t.Helper()
	program := kind.find(t)
	for range 10 {
		i := instructions{
			backends: b, Dir: t.TempDir(), Listen: freeAddress(t), Nonce: rand.Text(),
			Timeout: strconv.FormatInt(b.Timeout.Milliseconds(), 10) + "ms",
		}
		err := kind.launch(t, program, i)
		if err == nil {
			return i.Listen
		}
		require.ErrorIs(t, err, errPortTaken)
	}
	require.Fail(t, "all ports are taken")
	return ""
}

// freeAddress draws a port below the range of outgoing connections: a client
// that dials while nothing listens must not be connected to itself.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rng.IntN(12000)))
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			return addr
		}
	}
}

var errPortTaken = errors.New("port taken")

// launch starts the program, which the test's cleanup ends by its pid.
func (k proxyKind) launch(t *testing.T, program string, i instructions) error {
	t.Helper()
	file, logFile := filepath.Join(i.Dir, "config"), filepath.Join(i.Dir, "log")
	var config strings.Builder
	require.NoError(t, template.Must(template.New(k.name).Parse(k.config)).Execute(&config, i))
	require.NoError(t, os.WriteFile(file, []byte(config.String()), 0o600))
	log, err := os.Create(logFile)
	require.NoError(t, err)
	cmd := exec.Command(program, k.arguments(i.Dir, file)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()

	started, done := make(chan error, 1), make(chan struct{})
	go watch(cmd, log, started, done)
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that it has already ended
		<-done
		said, _ := os.ReadFile(logFile)
		if t.Failed() {
			t.Logf("%s said:\n%s", k.name, said)
		}
	})
	return awaitServing(t, i, logFile, done)
}

// watch starts a program and reaps it, on a thread that lives as long: by its
// end the kernel tells that of the test binary.
func watch(cmd *exec.Cmd, log io.Closer, started chan<- error, done chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(done)
	defer func() { _ = log.Close() }()
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // how it ended is in its log
	}
}

// awaitServing returns once this very proxy answers.
func awaitServing(t *testing.T, i instructions, logFile string, done <-chan struct{}) error {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		select {
		case <-done:
			said, _ := os.ReadFile(logFile)
			if strings.Contains(string(said), "Address already in use") {
				return errPortTaken
			}
			require.Fail(t, "the proxy ended at once", "%s", said)
		case <-time.After(5 * time.Millisecond):
		}
		if nonce(i.Listen) == i.Nonce {
			return nil
		}
	}
	require.Fail(t, "the proxy does not answer")
	return nil
}

func nonce(addr string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Get("http://" + addr + "/ready")
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(resp.Body)
	return string(said)
}
