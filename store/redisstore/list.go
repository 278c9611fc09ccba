package redisstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

const (
	list = "list"
	// maxScans bounds the SCANs of one call that find nothing: among many foreign
	// keys, or on masters that have no records.
	maxScans = 10
)

// List implements [store.Inspector] by SCAN, which never holds up the server
// for long, and then one pipeline that reads of each record what
// [Store.Inspect] does. SCAN looks at limit keys; as long as it finds none of
// the store's, it is repeated with twice as many, up to 1,000 keys at once and
// ten times. On a cluster one master comes after the other.
//
// SCAN may return more keys than were asked for. What does not fit into the
// page travels in the cursor, by its digests, and is the next page: the same
// SCAN cannot be had again to continue in its middle. That is a handful of
// records at most, unless a server ignores COUNT, as miniredis does.
//
// If the masters of a cluster are others than when the cursor was made, the
// listing begins again, lest it miss what moved. Records may be missed that
// move with their slot, or when the server behind the client is replaced by a
// replica, while a listing goes on; begin another then. Through a wrapper
// of a [redis.ClusterClient] that hides its ForEachMaster, a listing is not
// complete.
func (s *Store) List(ctx context.Context, cursor string, limit int) (store.Page, error) {
	if limit < 1 || limit > store.MaxList {
		return store.Page{}, fmt.Errorf("%w: list: limit is %d, not 1 to %d", store.ErrInvalid, limit, store.MaxList)
	}
	at, err := s.parsePlace(cursor)
	if err != nil {
		return store.Page{}, err
	}
	if err := s.ready(ctx); err != nil {
		return store.Page{}, s.unavailable(ctx, list, store.ID{}, err)
	}
	nodes, masters, err := s.masters(ctx)
	if err != nil {
		return store.Page{}, s.failed(ctx, list, store.ID{}, err)
	}
	if at.masters != masters {
		at = place{masters: masters}
	}
	if err := s.advance(ctx, nodes, &at, limit); err != nil {
		return store.Page{}, s.failed(ctx, list, store.ID{}, err)
	}
	fit := min(len(at.found), 2*limit)
	page, err := s.sightings(ctx, at.found[:fit])
	if err != nil {
		return store.Page{}, err
	}
	at.found = at.found[fit:]
	if at.node < len(nodes) || len(at.found) > 0 {
		page.Next = s.cursor(at)
	}
	return page, nil
}

// advance scans until something is found, or often enough.
func (s *Store) advance(ctx context.Context, nodes []redis.Cmdable, at *place, limit int) error {
	for range maxScans {
		if len(at.found) > 0 || at.node >= len(nodes) {
			return nil
		}
		if err := s.scan(ctx, nodes[at.node], at, limit); err != nil {
			return err
		}
		limit = min(2*limit, store.MaxList)
	}
	return nil
}

func (s *Store) scan(ctx context.Context, node redis.Cmdable, at *place, count int) error {
	// Nothing in a namespace has a meaning of its own in a pattern.
	names, next, err := node.Scan(ctx, at.scan, s.namespace+":{*}", int64(count)).Result()
	if err != nil {
		return err
	}
	at.scan = next
	if next == 0 {
		at.node++
	}
	at.found = s.idsIn(names)
	return nil
}

// idsIn returns the records among the names of keys, each once.
func (s *Store) idsIn(names []string) []store.ID {
	ids := make([]store.ID, 0, len(names))
	for _, name := range names {
		if id, ok := s.idOf(name); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// idOf is the reverse of key.
func (s *Store) idOf(name string) (store.ID, bool) {
	digest, ok1 := strings.CutPrefix(name, s.namespace+":{")
	digest, ok2 := strings.CutSuffix(digest, "}")
	var id store.ID
	if !ok1 || !ok2 || len(digest) != hex.EncodedLen(len(id)) || !lowerHex([]byte(digest)) {
		return store.ID{}, false
	}
	_, err := hex.Decode(id[:], []byte(digest))
	return id, err == nil
}

// masters returns where to scan, in an order that stays the same as long as
// the masters do, and a word that is another when they are others.
func (s *Store) masters(ctx context.Context) ([]redis.Cmdable, string, error) {
	cluster, ok := s.rdb.(interface {
		ForEachMaster(ctx context.Context, visit func(ctx context.Context, c *redis.Client) error) error
	})
	if !ok {
		return []redis.Cmdable{s.rdb}, "", nil
	}
	var mu sync.Mutex
	byAddr := make(map[string]redis.Cmdable)
	err := cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		byAddr[c.Options().Addr] = c
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	addrs := slices.Sorted(maps.Keys(byAddr))
	nodes := make([]redis.Cmdable, 0, len(addrs))
	for _, addr := range addrs {
		nodes = append(nodes, byAddr[addr])
	}
	return nodes, digestOf(strings.Join(addrs, " ")), nil
}
