package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestStoreOptionsAreThoseOfTheEnvironment(t *testing.T) {
	for _, test := range []struct {
		name, words string
		want        int
	}{
		{"none", "", 0},
		{"one", "auto-pipeline", 1},
		{"both", "auto-pipeline,local-cache", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REPRISE_OPTIONS", test.words)
			assert.Len(t, redistest.StoreOptions(t), test.want)
		})
	}
}
