package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// readyWithin bounds how long a server may take to answer. Loading a large
// append-only file on a busy machine is the slow case.
const readyWithin = 20 * time.Second

// errPortTaken: somebody else has the port, another one may work.
var errPortTaken = errors.New("port taken")

// instance is one redis-server with its place on disk and its port, which
// outlive the process when it is restarted.
type instance struct {
	dir   string
	port  int
	bus   int // the second port of a cluster's node
	cfg   config
	proc  *process
	admin *redis.Client
}

// launch starts a server in dir on a free port.
func launch(dir string, cfg config) (*instance, error) {
	const attempts = 10
	var err error
	for range attempts {
		in := &instance{dir: dir, port: freePort(), bus: freePort(), cfg: cfg}
		if err = in.run(); err == nil {
			in.admin = redis.NewClient(in.options())
			return in, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, err
}

// options are those of a client as this library wants it: the caller's
// deadline reaches the socket.
func (in *instance) options() *redis.Options {
	return &redis.Options{
		Addr:                  loopback(in.port),
		Password:              in.cfg.password,
		ContextTimeoutEnabled: true,
	}
}

// run starts the process and waits until it serves commands.
func (in *instance) run() error {
	args, err := in.args()
	if err != nil {
		return err
	}
	proc, err := spawn(in.dir, filepath.Join(in.dir, "server.log"), args)
	if err != nil {
		return err
	}
	in.proc = proc
	if err := in.awaitReady(); err != nil {
		proc.kill()
		return fmt.Errorf("%w; its log ends:\n%s", err, proc.log())
	}
	return nil
}

// args returns the command line of the process.
func (in *instance) args() ([]string, error) {
	if in.cfg.sentinel != "" {
		return in.sentinelArgs()
	}
	args := []string{
		"--port", strconv.Itoa(in.port), "--bind", "127.0.0.1", "--dir", in.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no",
		// DUMP then shows the bytes as they are, see Server.Dump.
		"--rdbcompression", "no",
	}
	if in.cfg.cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(in.bus))
	}
	if in.cfg.acl != "" {
		file := filepath.Join(in.dir, "users.acl")
		if err := os.WriteFile(file, []byte(in.cfg.acl), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--aclfile", file)
	}
	return append(args, in.cfg.args...), nil
}

// sentinelArgs writes the file that a sentinel keeps its state in. It has to be
// one of its own, and writable.
func (in *instance) sentinelArgs() ([]string, error) {
	file := filepath.Join(in.dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n%s", in.port, in.dir, in.cfg.sentinel)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write a sentinel's configuration: %w", err)
	}
	return []string{file, "--sentinel"}, nil
}

func (in *instance) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		ready, err := in.ready(ctx)
		if ready || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-in.proc.done:
			return in.whyEnded()
		case <-ctx.Done():
			return fmt.Errorf("%s on port %d did not answer within %v", binary, in.port, readyWithin)
		}
	}
}

// processID finds the pid in the answer to INFO server.
var processID = regexp.MustCompile(`process_id:(\d+)\r`)

// ready reports whether the port answers, and answers as our own process:
// somebody else's server may have taken the port a moment before ours could.
func (in *instance) ready(ctx context.Context) (bool, error) {
	// Whoever has the port instead of us need not be a Redis that answers.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", loopback(in.port))
	if err != nil {
		return false, nil // refused: not listening yet
	}
	_ = conn.Close()

	rdb := redis.NewClient(in.options())
	defer func() { _ = rdb.Close() }()
	if err := rdb.Ping(ctx).Err(); err != nil {
		return false, nil // still loading, or just going away
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return false, nil // as above
	}
	match := processID.FindStringSubmatch(info)
	if match == nil || match[1] != strconv.Itoa(in.proc.pid()) {
		return false, errPortTaken
	}
	return true, nil
}

// bindFailed is how redis-server reports a port that is in use.
var bindFailed = regexp.MustCompile(`Address already in use|Failed listening on port`)

func (in *instance) whyEnded() error {
	if bindFailed.MatchString(in.proc.log()) {
		return errPortTaken
	}
	return fmt.Errorf("%s ended at once", binary)
}

// close ends the server, in whatever condition it is.
func (in *instance) close() {
	_ = in.admin.Close()
	in.proc.kill()
}
