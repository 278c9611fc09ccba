package nearest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/internal/nearest"
)

func TestWordIsTheNearestAndTheFirstOfSeveral(t *testing.T) {
	t.Parallel()
	words := []string{"retention", "min-retention", "lease", "wait"}
	tests := []struct{ name, given, want string }{
		{"itself", "lease", "lease"},
		{"swapped letters", "retnetion", "retention"},
		{"a letter too few", "wat", "wait"},
		{"another case", "Lease", "lease"},
		{"nothing", "", "wait"},
		{"a tie goes to the first", "xxxxx", "lease"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, nearest.Word(tt.given, words))
		})
	}
	assert.Empty(t, nearest.Word("lease", nil))
}

func TestWhatIsNotLikeAnythingIsNearNothing(t *testing.T) {
	t.Parallel()
	words := []string{"retention", "lease", "wait"}
	tests := []struct{ name, given, want string }{
		{"itself", "lease", "lease"},
		{"swapped letters", "retnetion", "retention"},
		{"half of it", "wa__", "wait"},
		{"more than half", "w___", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, nearest.Near(tt.given, words))
		})
	}
	assert.Empty(t, nearest.Near("lease", nil))
}

func TestDistanceCountsInsertionsRemovalsAndReplacements(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       int
	}{
		{"equal", "abc", "abc", 0},
		{"both empty", "", "", 0},
		{"insert", "abc", "abxc", 1},
		{"remove", "abc", "ac", 1},
		{"replace", "abc", "axc", 1},
		{"all", "", "abc", 3},
		{"the textbook's", "kitten", "sitting", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, nearest.Distance(tt.a, tt.b))
			assert.Equal(t, tt.want, nearest.Distance(tt.b, tt.a))
		})
	}
}
