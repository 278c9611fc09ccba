package redistest

import "strconv"

// Option changes how [Start] configures a server.
type Option func(*config)

// config is what the options add up to.
type config struct {
	args     []string
	password string
	sentinel string // the configuration of a sentinel, of which it is one
	cluster  bool   // it is a cluster's node
	acl      string
}

func newConfig(opts []Option) config {
	var cfg config
	for _, opt := range opts {
		opt(&cfg)
	}
	return cfg
}

// AOF keeps an append-only file that is synced at every write, so that a
// killed server comes back with all that it acknowledged. A start then takes
// 56 to 180 ms instead of 26 to 40.
func AOF() Option {
	return Args("--appendonly", "yes", "--appendfsync", "always")
}

// MaxMemory limits the server's memory, in the words of redis.conf
// ("3mb", "noeviction").
func MaxMemory(size, policy string) Option {
	return Args("--maxmemory", size, "--maxmemory-policy", policy)
}

// MinReplicasToWrite makes writes fail with NOREPLICAS while fewer replicas
// are connected.
func MinReplicasToWrite(n int) Option {
	return Args("--min-replicas-to-write", strconv.Itoa(n))
}

// RequirePass sets the password of the default user. [Server.Client] and
// [Server.URL] know it.
func RequirePass(password string) Option {
	return func(cfg *config) {
		cfg.password = password
		cfg.args = append(cfg.args, "--requirepass", password)
	}
}

// User adds a user with a password and ACL rules ("~*", "+@all", "-eval").
// Pub/sub needs "&*". Clients stay the default user unless a test sets
// Username and Password on them.
func User(name, password string, rules ...string) Option {
	words := append([]string{"--user", name, "on", ">" + password}, rules...)
	return Args(words...)
}

// ACLFile gives the server its users as the text of an ACL file, instead of [User].
// The default user, which [Server.Client] is unless told otherwise, stays as it is
// if the text does not name it.
func ACLFile(text string) Option {
	return func(cfg *config) { cfg.acl = text }
}

// Args adds further words to the server's command line, after all others, so
// that they win over the defaults.
func Args(words ...string) Option {
	return func(cfg *config) { cfg.args = append(cfg.args, words...) }
}
