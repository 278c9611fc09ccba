package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// The oldest server that is supported. The scripts need 5.0, which
	// replicates what a script did instead of its text, so that a script may
	// look at the clock and then write; releases before 6.2 are long out of
	// maintenance and nothing here was tried on them.
	minMajor, minMinor = 6, 2
	// maxReloadInterval is the longest acceptable time for which a cluster's
	// client may go without looking at the map of slots.
	maxReloadInterval = 10 * time.Second
	// subscribeTimeout bounds the attempt to subscribe.
	subscribeTimeout = 2 * time.Second
)

// Examination looks at servers and collects what it finds, of several masters side
// by side. It must not be copied. Its fields are set before its first use.
type Examination struct {
	// Package is what every finding begins with.
	Package string
	// ErrUnchecked is wrapped by findings about what the server does not tell.
	ErrUnchecked error
	// Evicted says what it would mean that a server evicts keys: "… lets …".
	Evicted string
	// Replicas are wanted of each master, at least, for MinReplicas.
	Replicas int

	mu      sync.Mutex
	all     []error
	replica bool
}

// Findings returns what was found so far.
func (e *Examination) Findings() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all
}

// Fault adds what is known to be wrong.
func (e *Examination) Fault(format string, args ...any) {
	e.add(fmt.Errorf(e.Package+": "+format, args...))
}

// Unchecked adds what the server does not tell.
func (e *Examination) Unchecked(format string, args ...any) {
	e.add(fmt.Errorf("%s: %w: %s", e.Package, e.ErrUnchecked, fmt.Sprintf(format, args...)))
}

func (e *Examination) add(finding error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, finding)
}

// Servers looks at the server of a client, or at each master of a cluster: its
// role, its version, what it does when it is full; and at how often a cluster's
// client reads the map of slots. Writable is false if a server is a replica, which
// would refuse the rest and is a finding already. An error means that a server
// could not be reached. About three round trips to each.
func (e *Examination) Servers(ctx context.Context, rdb redis.UniversalClient) (writable bool, err error) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		e.checkReloadInterval(cluster.Options().ClusterStateReloadInterval)
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			return e.checkServer(ctx, c, " at "+c.Options().Addr)
		})
	} else {
		err = e.checkServer(ctx, rdb, "")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.replica, err
}

func (e *Examination) checkReloadInterval(every time.Duration) {
	if every > maxReloadInterval {
		e.Fault("the client looks at the cluster's map of slots every %v only; "+
			"set ClusterStateReloadInterval to %v or less", every, maxReloadInterval)
	}
}

// checkServer looks at one server. An error means that it could not be reached.
func (e *Examination) checkServer(ctx context.Context, c redis.Cmdable, where string) error {
	return errors.Join(
		e.checkInfo(ctx, c, where, "server", "redis_version", e.checkVersion),
		e.checkInfo(ctx, c, where, "replication", "role", e.checkRole),
		e.checkReplicas(ctx, c, where),
		e.checkPolicy(ctx, c, where),
	)
}

// checkInfo reads one field of one section of INFO.
func (e *Examination) checkInfo(
	ctx context.Context, c redis.Cmdable, where, section, field string, check func(value, where string),
) error {
	text, err := c.Info(ctx, section).Result()
	if Denied(err) {
		e.Unchecked("INFO %s is refused%s, so its %s is not known", section, where, field)
		return nil
	}
	if err != nil {
		return err
	}
	value, ok := infoField(text, field)
	if !ok {
		e.Unchecked("INFO %s%s does not name its %s", section, where, field)
		return nil
	}
	check(value, where)
	return nil
}

func (e *Examination) checkVersion(version, where string) {
	major, minor, err := parseVersion(version)
	if err != nil {
		e.Unchecked("the version %q%s is not understood", version, where)
		return
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		e.Fault("the server%s has version %s; %d.%d or newer is needed", where, version, minMajor, minMinor)
	}
}

func (e *Examination) checkRole(role, where string) {
	if role != "master" {
		e.mu.Lock()
		e.replica = true
		e.mu.Unlock()
		e.Fault("the server%s is a replica (role %s) and takes no writes; "+
			"connect to its master, through Sentinel or a cluster's client where it can change", where, role)
	}
}

// checkReplicas counts the replicas that could acknowledge a write, and tries the
// command that asks them.
func (e *Examination) checkReplicas(ctx context.Context, c redis.Cmdable, where string) error {
	if e.Replicas == 0 {
		return nil
	}
	pipe := c.Pipeline()
	probe := pipe.Do(ctx, "wait", 0, 1)
	Exec(ctx, pipe)
	err := probe.Err()
	if Denied(err) {
		e.Fault("WAIT is refused%s: %s; permit it, or every claim is refused", where, err)
		return nil
	}
	if err != nil {
		return err
	}
	return e.checkInfo(ctx, c, where, "replication", "connected_slaves", func(connected, where string) {
		n, err := strconv.Atoi(connected)
		switch {
		case err != nil:
			e.Unchecked("the number %q of replicas%s is not understood", connected, where)
		case n < e.Replicas:
			e.Fault("the server%s has %d replicas and MinReplicas asks for %d, so every claim is refused; "+
				"connect more, or ask for fewer", where, n, e.Replicas)
		}
	})
}

func (e *Examination) checkPolicy(ctx context.Context, c redis.Cmdable, where string) error {
	const name = "maxmemory-policy"
	config, err := c.ConfigGet(ctx, name).Result()
	policy, known := config[name]
	switch {
	case Denied(err), err == nil && !known:
		e.Unchecked("CONFIG GET %s is refused%s; make sure that it is noeviction", name, where)
	case err != nil:
		return err
	case policy != "noeviction":
		e.Fault("the server%s evicts keys when it is full (%s %s), and %s; set it to noeviction",
			where, name, policy, e.Evicted)
	}
	return nil
}

// Script judges the answer of a script that tries commands on a key: the commands
// that were refused. Namespace is what the user needs rights for.
func (e *Examination) Script(refused []string, err error, key, namespace string) error {
	if Denied(err) {
		e.Fault("scripts cannot be run: %s; permit EVAL and EVALSHA on keys that begin with %q",
			discreet(err.Error(), key), namespace+":")
		return nil
	}
	for _, refusal := range refused {
		e.Fault("a command that the scripts need is refused: %s; permit it on keys and channels "+
			"that begin with %q, and see that the server takes writes", discreet(refusal, key), namespace+":")
	}
	return err
}

// Subscribe tries what a [Listener] needs, in two seconds at most, over a connection
// of its own.
func (e *Examination) Subscribe(ctx context.Context, rdb redis.UniversalClient, channel, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	sub := rdb.Subscribe(ctx)
	defer func() { _ = sub.Close() }()
	for _, send := range [...]func(context.Context, ...string) error{sub.Subscribe, sub.Ping, sub.Unsubscribe} {
		err := send(ctx, channel)
		if err == nil {
			_, err = sub.Receive(ctx)
		}
		if Denied(err) {
			e.Unchecked("SUBSCRIBE, UNSUBSCRIBE or PING is refused, so waiters are not woken and look again "+
				"now and then; permit them on channels that begin with %q", namespace+":")
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// discreet leaves out what a server quotes of the request.
func discreet(text, key string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	return strings.ReplaceAll(text, key, "the probe's key")
}

func infoField(text, field string) (string, bool) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

func parseVersion(version string) (major, minor int, err error) {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return major, minor, errors.Join(err1, err2)
}
