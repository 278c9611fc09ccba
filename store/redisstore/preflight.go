package redisstore

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

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
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

// Preflight implements [store.Preflighter]. It looks at the server, or at each
// master of a cluster: is it a master, is it new enough (6.2), is its
// maxmemory-policy noeviction. It tries, on a key that it removes again, every
// command that the scripts use, and then the two that only [Store.Watch] and
// [Store.List] do. And it looks at how often a cluster's client reads the map of
// slots.
//
// Each finding says what to do about it. Managed services and narrowed users
// often may not ask for a server's settings; such findings wrap
// [store.ErrUnchecked], and somebody who may has to look. So do those about
// SUBSCRIBE and SCAN, without which nothing goes wrong: waiters look again now
// and then, and records cannot be listed. The error wraps
// [store.ErrUnavailable]. It takes about four round trips to each master, and a
// connection for the subscription.
func (s *Store) Preflight(ctx context.Context) ([]error, error) {
	found := &findings{}
	if err := s.examine(ctx, found); err != nil {
		return nil, fmt.Errorf("redisstore: preflight: %w: %w", store.ErrUnavailable, err)
	}
	return found.all, nil
}

func (s *Store) examine(ctx context.Context, found *findings) error {
	err := s.ready(ctx)
	if err != nil {
		return err
	}
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		found.checkReloadInterval(cluster.Options().ClusterStateReloadInterval)
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			return found.checkServer(ctx, c, " at "+c.Options().Addr)
		})
	} else {
		err = found.checkServer(ctx, s.rdb, "")
	}
	if err != nil {
		return err
	}
	if found.replica { // it would refuse most, and says so already
		return nil
	}
	return errors.Join(s.probe(ctx, found), s.probeScan(ctx, found), s.probeSubscribe(ctx, found))
}

// findings collects what is found, by several masters side by side.
type findings struct {
	mu      sync.Mutex
	all     []error
	replica bool
}

// fault adds what is known to be wrong.
func (f *findings) fault(format string, args ...any) {
	f.add(fmt.Errorf("redisstore: "+format, args...))
}

// unchecked adds what the server does not tell.
func (f *findings) unchecked(format string, args ...any) {
	f.add(fmt.Errorf("redisstore: %w: %s", store.ErrUnchecked, fmt.Sprintf(format, args...)))
}

func (f *findings) add(finding error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, finding)
}

func (f *findings) checkReloadInterval(every time.Duration) {
	if every > maxReloadInterval {
		f.fault("the client looks at the cluster's map of slots every %v only; "+
			"set ClusterStateReloadInterval to %v or less", every, maxReloadInterval)
	}
}

// checkServer looks at one server. An error means that it could not be reached.
func (f *findings) checkServer(ctx context.Context, c redis.Cmdable, where string) error {
	return errors.Join(
		f.checkInfo(ctx, c, where, "server", "redis_version", f.checkVersion),
		f.checkInfo(ctx, c, where, "replication", "role", f.checkRole),
		f.checkPolicy(ctx, c, where),
	)
}

// checkInfo reads one field of one section of INFO.
func (f *findings) checkInfo(
	ctx context.Context, c redis.Cmdable, where, section, field string, check func(value, where string),
) error {
	text, err := c.Info(ctx, section).Result()
	if redisconn.Denied(err) {
		f.unchecked("INFO %s is refused%s, so its %s is not known", section, where, field)
		return nil
	}
	if err != nil {
		return err
	}
	value, ok := infoField(text, field)
	if !ok {
		f.unchecked("INFO %s%s does not name its %s", section, where, field)
		return nil
	}
	check(value, where)
	return nil
}

func (f *findings) checkVersion(version, where string) {
	major, minor, err := parseVersion(version)
	if err != nil {
		f.unchecked("the version %q%s is not understood", version, where)
		return
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		f.fault("the server%s has version %s; %d.%d or newer is needed", where, version, minMajor, minMinor)
	}
}

func (f *findings) checkRole(role, where string) {
	if role != "master" {
		f.mu.Lock()
		f.replica = true
		f.mu.Unlock()
		f.fault("the server%s is a replica (role %s) and takes no writes; "+
			"connect to its master, through Sentinel or a cluster's client where it can change", where, role)
	}
}

func (f *findings) checkPolicy(ctx context.Context, c redis.Cmdable, where string) error {
	const name = "maxmemory-policy"
	config, err := c.ConfigGet(ctx, name).Result()
	policy, known := config[name]
	switch {
	case redisconn.Denied(err), err == nil && !known:
		f.unchecked("CONFIG GET %s is refused%s; make sure that it is noeviction", name, where)
	case err != nil:
		return err
	case policy != "noeviction":
		f.fault("the server%s evicts keys when it is full (%s %s), and a running claim or a "+
			"recorded answer that is evicted lets a retry run again; set it to noeviction", where, name, policy)
	}
	return nil
}

// probe tries what the scripts do.
func (s *Store) probe(ctx context.Context, found *findings) error {
	key := s.probeKey()
	refused, err := s.run(ctx, s.rdb, s.scripts.probe, []string{key, key + ":probe"}).StringSlice()
	if redisconn.Denied(err) {
		found.fault("scripts cannot be run: %s; permit EVAL and EVALSHA on keys that begin with %q",
			discreetProbe(err.Error(), key), s.namespace+":")
		return nil
	}
	for _, refusal := range refused {
		found.fault("a command that the scripts need is refused: %s; permit it on keys and channels "+
			"that begin with %q, and see that the server takes writes",
			discreetProbe(refusal, key), s.namespace+":")
	}
	return err
}

// probeScan tries what a listing needs.
func (s *Store) probeScan(ctx context.Context, found *findings) error {
	err := s.rdb.Scan(ctx, 0, s.probeKey(), 1).Err()
	if redisconn.Denied(err) {
		found.unchecked("SCAN is refused, so records cannot be listed; permit it if they should be")
		return nil
	}
	return err
}

// probeSubscribe tries what a watch needs.
func (s *Store) probeSubscribe(ctx context.Context, found *findings) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	sub := s.rdb.Subscribe(ctx)
	defer func() { _ = sub.Close() }()
	key := s.probeKey()
	for _, send := range [...]func(context.Context, ...string) error{sub.Subscribe, sub.Ping, sub.Unsubscribe} {
		err := send(ctx, key)
		if err == nil {
			_, err = sub.Receive(ctx)
		}
		if redisconn.Denied(err) {
			found.unchecked("SUBSCRIBE, UNSUBSCRIBE or PING is refused, so waiters are not woken and look again "+
				"now and then; permit them on channels that begin with %q", s.namespace+":")
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// probeKey is a name like that of a record that nothing else uses.
func (s *Store) probeKey() string {
	return s.key(store.NewID("", "preflight", store.NewOwner().String()))
}

// discreetProbe leaves out what a server quotes of the request.
func discreetProbe(text, key string) string {
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
