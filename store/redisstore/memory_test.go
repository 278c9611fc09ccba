package redisstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// recordFixed is the part of the documented formula that is the same for all
// records, in bytes.
const recordFixed = 580

// The capacity formula of the documentation, by MEMORY USAGE: what is recorded and
// the operation's name, a quarter more for what the allocator rounds up, and a
// fixed part. From 1 KiB on 450 bytes beside the recorded bytes are enough.
func TestARecordTakesNoMoreMemoryThanDocumented(t *testing.T) {
	t.Parallel()
	ways := []struct {
		name string
		end  func(s *redisstore.Store, r *request, answer store.Answer)
	}{
		{"completed", func(s *redisstore.Store, r *request, answer store.Answer) {
			r.applies(t, s, r.complete(answer), store.Done)
		}},
		{"settled", func(s *redisstore.Store, r *request, answer store.Answer) {
			r.applies(t, s, r.fail(), store.Done)
			r.applies(t, s, r.settle(&answer), store.Done)
		}},
		{"settled while it runs", func(s *redisstore.Store, r *request, answer store.Answer) {
			settle := r.settle(&answer)
			settle.Running = true
			r.applies(t, s, settle, store.Done)
		}},
	}
	s, srv := own(t)
	for _, way := range ways {
		for _, body := range []int{0, 128, 200, 330, 1 << 10, 3000, 16 << 10, 1 << 20} {
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			answer := store.Answer{Codec: "http1", Meta: bytes.Repeat([]byte("m"), 60), Body: bytes.Repeat([]byte("x"), body)}
			way.end(s, r, answer)
			kept, used := len(answer.Meta)+body, memoryOf(t, srv, r)
			about := fmt.Sprintf("%s, body of %d bytes", way.name, body)
			assert.LessOrEqual(t, used, (kept+len(operation))*5/4+recordFixed, about)
			if body >= 1<<10 {
				assert.LessOrEqual(t, used, kept*5/4+450, about)
			}
		}
	}
}

// memoryOf returns what Redis needs for a record, in bytes.
func memoryOf(t *testing.T, srv *redistest.Server, r *request) int {
	t.Helper()
	used, ok := srv.Do("memory", "usage", recordKey(redisstore.DefaultNamespace, r.id)).(int64)
	require.True(t, ok)
	return int(used)
}
