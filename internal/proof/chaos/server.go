package chaos

import (
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/paytest"

	"sync"
)

// server is a place for a server, and its line to Redis. Of the processes that
// take the place, one after the other, the last is there for clients. Who holds
// inTrouble calls its methods, clients only [server.now].
type server struct {
	t       testing.TB
	number  int
	program *paytest.Binary
	args    []string
	line    *faultproxy.Proxy

	room      chan struct{} // holds one for every request
	inTrouble sync.Mutex

	mu   sync.Mutex
	all  []*instance
	lone []int // pids of those that had ended when they were to be ended
}

// instance is a process and a client's way to it.
type instance struct {
	process  *paytest.Process
	conn     *grpc.ClientConn
	payments paymentspb.PaymentServiceClient
}

// start puts a new process in the place.
func (s *server) start() {
	process := s.program.StartFast(s.t, s.args...)
	conn, err := grpc.NewClient("passthrough:///"+process.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatalf("chaos: %v", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, &instance{process, conn, paymentspb.NewPaymentServiceClient(conn)})
}

// now returns the process that is there.
func (s *server) now() *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1]
}

// noteEnd takes down a process that has ended without being told to.
func (s *server) noteEnd() {
	process := s.now().process
	select {
	case <-process.Done():
		s.lone = append(s.lone, process.PID())
	default:
	}
}

// suffer has a fault befall the server, and leaves it in order. It reports
// whether the fault happened.
func (s *server) suffer(stroke Stroke, d dice, lease time.Duration) bool {
	s.noteEnd()
	at := string(aimOf(stroke.Number))
	switch stroke.Fault {
	case Kill:
		s.kill()
	case KillBefore:
		return s.killAt(s.line.LoseRequest(at, 1))
	case KillAfter:
		return s.killAt(s.line.SwallowReply(at, 1))
	case Drain:
		return s.drain()
	case Pause:
		s.pause(beyond(d, lease))
	case Partition:
		s.line.Partition()
		time.Sleep(beyond(d, lease))
		s.line.Heal()
	case OneWay:
		s.line.DropReplies()
		time.Sleep(d.between(lease/10, lease))
		s.line.Heal()
	}
	return true
}

// beyond draws a time that is longer than a lease.
func beyond(d dice, lease time.Duration) time.Duration {
	return d.between(lease*11/10, lease*16/10)
}

// aim is a word of the commands in which a server is to be killed.
type aim string

// The aims.
const (
	atRecord aim = "succeeded" // the answer of a payment, on its way into its record
	atClaim  aim = "get"       // comes with every claim
	atScript aim = "evalsha"   // of any kind
)

// aimOf takes turns, so that a few kills have them all.
func aimOf(number int) aim { return [...]aim{atRecord, atClaim, atScript}[number%3] }

func (s *server) kill() {
	s.now().process.Kill()
	s.start()
}

// patience is how long to wait for a command to be killed in.
const patience = time.Second

// killAt kills the server in the middle of a command.
func (s *server) killAt(at *faultproxy.Fault) bool {
	defer at.Disarm()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-at.First():
		s.kill()
		return true
	case <-timer.C:
		return false
	}
}

// drain ends the server in an orderly way. Where it took too long, as its exit
// status says, nothing has been drained.
func (s *server) drain() bool {
	code := s.now().process.Stop(s.t)
	if code != 0 && code != 1 {
		s.t.Errorf("chaos: a drained server ended with status %d", code)
	}
	s.start()
	return code == 0
}

func (s *server) pause(long time.Duration) {
	process := s.now().process
	process.Signal(s.t, syscall.SIGSTOP)
	time.Sleep(long)
	process.Signal(s.t, syscall.SIGCONT)
}

// logs adds what the processes of this place wrote.
func (s *server) logs(into map[int]string) {
	for _, i := range s.all {
		into[i.process.PID()] += i.process.Log()
	}
}

// flags are the service's.
func flags(cfg Config, ledger string) []string {
	all := []string{
		"-namespace", namespace, "-ledger", ledger, "-lease", cfg.Lease.String(),
		"-orphan", string(cfg.Orphan), "-wait", cfg.Wait.String(), "-grpc-wait", (2 * cfg.Wait).String(), "-log", "json",
	}
	if cfg.guarded() {
		all = append(all, "-memory-guard", quarantine.String())
	}
	if cfg.Topology != Single {
		all = append(all, "-min-replicas", "1")
	}
	return all
}

// newServers starts all servers, each with a line of its own to Redis.
func newServers(t testing.TB, program *paytest.Binary, cfg Config, redis memory, ledger string) []*server {
	t.Helper()
	servers := make([]*server, cfg.Servers)
	for i := range servers {
		url, line := redis.connect()
		servers[i] = &server{
			t:       t,
			number:  i,
			program: program,
			args:    append(flags(cfg, ledger), "-redis", url),
			line:    line,
			room:    make(chan struct{}, room),
		}
		servers[i].start()
	}
	return servers
}
