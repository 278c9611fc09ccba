package redistest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPortOfSomebodyElseIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		occupy func(t *testing.T) int
	}{
		{name: "another Redis", occupy: func(t *testing.T) int { return Start(t).in.port }},
		{name: "something silent", occupy: func(t *testing.T) int {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { _ = ln.Close() })
			return ln.Addr().(*net.TCPAddr).Port
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			need(t)
			in := &instance{dir: t.TempDir(), port: tt.occupy(t)}
			require.ErrorIs(t, in.run(), errPortTaken)
			require.True(t, in.proc.ended())
		})
	}
}
