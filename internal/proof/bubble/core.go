package bubble

import (
	"bytes"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Core is the library that a scenario runs on. The zero Core is the library as it
// is. A broken one shows that the judge would see such a mistake.
type Core struct {
	// Script changes the text of a script on its way to Redis. The server then
	// never knows a script by its digest, and is sent each text every time.
	Script func(text string) string
	// Store stands between the engine and its store.
	Store func(s *redisstore.Store) store.Store
	// Policy changes the policy of each operation.
	Policy func(p *idempotency.Policy)
	// Nameless makes swapped replies look as if they were the asker's, as they do
	// where replies do not name whom they answer.
	Nameless bool
	// Scopeless gives all callers one scope.
	Scopeless bool
}

func (c *Core) scope(tenant string) string {
	if c.Scopeless {
		return "everybody"
	}
	return tenant
}

func (c *Core) script(text []byte) []byte {
	if c.Script == nil {
		return text
	}
	return []byte(c.Script(string(text)))
}

func (c *Core) store(s *redisstore.Store) store.Store {
	if c.Store == nil {
		return s
	}
	return c.Store(s)
}

func (c *Core) policy(p idempotency.Policy) idempotency.Policy {
	if c.Policy != nil {
		c.Policy(&p)
	}
	return p
}

// rename puts the asker's name in the place of another's in a reply that was
// swapped.
func (c *Core) rename(reply []byte, from, to string) []byte {
	if !c.Nameless || from == "" || to == "" {
		return reply
	}
	return bytes.ReplaceAll(reply, []byte(from), []byte(to))
}
