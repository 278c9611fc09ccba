package browser_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

// assertFits checks that a page needs no scrolling sideways.
func assertFits(t *testing.T, tab context.Context, width int64) {
	t.Helper()
	needs := evaluate[int64](t, tab, `document.documentElement.scrollWidth`)
	assert.LessOrEqual(t, needs, width, evaluate[string](t, tab, `location.href`))
}
