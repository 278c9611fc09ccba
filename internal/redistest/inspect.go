package redistest

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// FlushAll deletes every key.
func (s *Server) FlushAll() {
	s.t.Helper()
	s.ownOnly("FlushAll")
	s.do("flushall")
}

// ScriptFlush forgets every script, so that the next EVALSHA of each finds
// none.
func (s *Server) ScriptFlush() {
	s.t.Helper()
	s.ownOnly("ScriptFlush")
	s.do("script", "flush", "sync")
}

// Config sets a configuration parameter of the running server.
func (s *Server) Config(name, value string) {
	s.t.Helper()
	s.ownOnly("Config")
	s.do("config", "set", name, value)
}

// Do sends any command and returns its reply.
func (s *Server) Do(words ...any) any {
	s.t.Helper()
	return s.do(words...)
}

// Keys returns the names of the keys that match a glob pattern, sorted.
func (s *Server) Keys(pattern string) []string {
	s.t.Helper()
	ctx, cancel := callContext()
	defer cancel()
	var keys []string
	iter := s.in.admin.Scan(ctx, 0, pattern, 1000).Iterator()
	for iter.Next(ctx) {
		keys = append(keys, iter.Val())
	}
	if err := iter.Err(); err != nil {
		s.t.Fatalf("redistest: scan: %v", err)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Dump returns every key with the bytes of its value: strings as they are,
// other types as DUMP gives them, uncompressed. It is made to be searched for
// what must not be there. Keys that vanish meanwhile are left out.
func (s *Server) Dump() map[string]string {
	s.t.Helper()
	ctx, cancel := callContext()
	defer cancel()
	dump := make(map[string]string)
	for _, key := range s.Keys("*") {
		value, err := s.in.admin.Get(ctx, key).Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			value, err = s.in.admin.Dump(ctx, key).Result()
		}
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			s.t.Fatalf("redistest: read key %q: %v", key, err)
		}
		dump[key] = value
	}
	return dump
}

// Holding returns the names of the keys whose name or value contains a needle,
// sorted; none is what a search for leaked secrets wants.
func (s *Server) Holding(needle string) []string {
	s.t.Helper()
	var found []string
	for key, value := range s.Dump() {
		if strings.Contains(key, needle) || strings.Contains(value, needle) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}

// CommandCounts says how often the server executed each command, by its name
// in lower case ("evalsha", "config|get"), those called by scripts included.
type CommandCounts map[string]int

// Since returns by how much each command's count has grown since an earlier
// look. Commands that were not executed in between are absent.
func (c CommandCounts) Since(earlier CommandCounts) CommandCounts {
	grown := make(CommandCounts)
	for name, count := range c {
		if d := count - earlier[name]; d != 0 {
			grown[name] = d
		}
	}
	return grown
}

// commandCalls finds the counts in the answer to INFO commandstats.
var commandCalls = regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+)`)

// CommandCounts asks the server for its counts. The asking itself is counted
// under "info", and everything that other clients do is counted as well; to
// count one client's round trips, put a faultproxy before the server.
func (s *Server) CommandCounts() CommandCounts {
	s.t.Helper()
	ctx, cancel := callContext()
	defer cancel()
	info, err := s.in.admin.Info(ctx, "commandstats").Result()
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	counts := make(CommandCounts)
	for _, match := range commandCalls.FindAllStringSubmatch(info, -1) {
		counts[match[1]], _ = strconv.Atoi(match[2]) // digits, by the expression
	}
	return counts
}

func (s *Server) do(words ...any) any {
	s.t.Helper()
	ctx, cancel := callContext()
	defer cancel()
	reply, err := s.in.admin.Do(ctx, words...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("redistest: %v: %v", words[0], err)
	}
	return reply
}

// callContext bounds one call. It does not descend from the test's context, so
// that cleanup functions can look at the server, too.
func callContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}

// HasPinged reports whether the latest command of a user's connection is a PING, by
// CLIENT LIST.
func HasPinged(clients, user string) bool {
	for line := range strings.Lines(clients) {
		fields := strings.Fields(line)
		if slices.Contains(fields, "cmd=ping") && slices.Contains(fields, "user="+user) {
			return true
		}
	}
	return false
}
