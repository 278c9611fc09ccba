package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/store"
)

// Records outlive programs, so the digest must never change. Computed once,
// independently, as SHA-256 over each part behind its length in 8 bytes.
func TestNewIDIsStable(t *testing.T) {
	t.Parallel()
	id := store.NewID("tenant", "payments.create", "key-1")
	assert.Equal(t, "954d33f938fe400edbebf776006b7231be89b6c49cf232aec75685d50907fc00", id.String())
	assert.Equal(t, id.String()[:8], id.Short())
	assert.Equal(t, "1ea500a5366cc619eebd70f6215f7831", hexOf(store.NewScopeDigest("tenant")))
}

func hexOf(d store.ScopeDigest) string {
	id := store.ID{}
	copy(id[:], d[:])
	return id.String()[:2*len(d)]
}

// F67.
func TestNewIDDoesNotCollideBySeparators_F67(t *testing.T) {
	t.Parallel()
	triples := [][3]string{
		{"a", "b", "c"}, {"ab", "", "c"}, {"", "ab", "c"}, {"a", "bc", ""}, {"", "", "abc"}, {"abc", "", ""},
		{"a:b", "c", ""}, {"a", "b:c", ""}, {"a", "b", ":c"}, {"a:", "b", "c"}, {":a", "b", "c"},
		{"a\x00", "b", "c"}, {"a", "\x00b", "c"}, {"a", "b\x00", "c"}, {"a", "b", "\x00c"},
		{"a", "\x00\x00\x00\x00\x00\x00\x00\x01b", "c"}, {"c", "b", "a"}, {"", "", ""},
		{"{a}", "b", "c"}, {"a", "{b}", "c"}, {"A", "b", "c"}, {"a", "b", "c "},
	}
	seen := make(map[store.ID][3]string)
	for _, triple := range triples {
		id := store.NewID(triple[0], triple[1], triple[2])
		assert.NotContains(t, seen, id, "%q collides with %q", triple, seen[id])
		seen[id] = triple
	}
}

func TestOwnersAreDrawnAnew_F90(t *testing.T) {
	t.Parallel()
	seen := make(map[store.Owner]bool)
	for range 1000 {
		owner := store.NewOwner()
		assert.False(t, seen[owner])
		assert.NotEqual(t, store.Owner{}, owner)
		seen[owner] = true
	}
	assert.Equal(t, "01"+strings.Repeat("00", 15), store.Owner{1}.String())
}

func TestFingerprintEqualComparesAlgorithmAndTheWholeSum_F75(t *testing.T) {
	t.Parallel()
	f := store.Fingerprint{Algorithm: "a", Sum: [32]byte{1}}
	assert.True(t, f.Equal(store.Fingerprint{Algorithm: "a", Sum: [32]byte{1}}))
	assert.False(t, f.Equal(store.Fingerprint{Algorithm: "b", Sum: [32]byte{1}}))
	assert.False(t, f.Equal(store.Fingerprint{Algorithm: "a", Sum: [32]byte{1, 31: 1}}))
}

// F67: different triples have different digests, whatever bytes they hold and
// however their separators are moved.
func FuzzNewID(f *testing.F) {
	f.Add("a", "b:c", "", "a:b", "c", "")
	f.Add("tenant", "op", "key", "tenan", "top", "key")
	f.Add("", "", "\x00", "", "\x00", "")
	f.Add("a", "\x00\x00\x00\x00\x00\x00\x00\x01b", "", "a", "", "b")
	f.Fuzz(func(t *testing.T, s1, o1, k1, s2, o2, k2 string) {
		same := s1 == s2 && o1 == o2 && k1 == k2
		if got := store.NewID(s1, o1, k1) == store.NewID(s2, o2, k2); got != same {
			t.Fatalf("(%q, %q, %q) and (%q, %q, %q): equal digests %t", s1, o1, k1, s2, o2, k2, got)
		}
		moveSeparators(t, s1, o1, k1)
		if (store.NewScopeDigest(s1) == store.NewScopeDigest(s2)) != (s1 == s2) {
			t.Fatalf("scopes %q and %q", s1, s2)
		}
	})
}

// moveSeparators cuts the same bytes into three parts in other ways.
func moveSeparators(t *testing.T, scope, operation, key string) {
	t.Helper()
	id, all := store.NewID(scope, operation, key), scope+operation+key
	const most = 24 // all cuts of short inputs, the first ones of long inputs
	for i := 0; i <= min(len(all), most); i++ {
		for j := i; j <= min(len(all), most); j++ {
			s, o, k := all[:i], all[i:j], all[j:]
			same := s == scope && o == operation
			if (store.NewID(s, o, k) == id) != same {
				t.Fatalf("(%q, %q, %q) has the digest of (%q, %q, %q)", s, o, k, scope, operation, key)
			}
		}
	}
}
