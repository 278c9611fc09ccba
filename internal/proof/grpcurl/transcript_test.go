package grpcurl_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// The transcripts with grpcurl on the pages for users are what the service and
// grpcurl print.
func TestTheTranscriptsOfThePages(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"README.md", "idempotency/docs/grpc.md"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("../../../" + page)
			require.NoError(t, err)
			shown := 0
			for _, block := range paytest.ConsoleBlocks(string(text)) {
				if strings.Contains(block, "grpcurl") {
					shown++
					runTranscript(t, paytest.ReadTranscript(t, block))
				}
			}
			assert.NotZero(t, shown)
		})
	}
}

func runTranscript(t *testing.T, d paytest.Transcript) {
	t.Helper()
	assert.Equal(t, "READY http=127.0.0.1:8080 grpc=127.0.0.1:9090 store=embedded", d.Ready)
	assert.Empty(t, d.Flags)
	s := newShell(t)
	got := d.Run(t, append(os.Environ(), "PATH="+s.path), []string{"127.0.0.1:9090", s.service.GRPC}, nil)
	require.Len(t, got, len(d.Steps))
	for i, step := range d.Steps {
		assert.Equal(t, paytest.MaskTranscript(step.Output), paytest.MaskTranscript(got[i]), "%s, which printed:\n%s", step.Command, got[i])
	}
}
