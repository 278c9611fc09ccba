package idemgrpc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
)

func TestAWrongPathIsToldTheNearestField(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, path, want string }{
		{"right", "order.id", ""},
		{"letters swapped", "requets_id", `; the nearest is "request_id"`},
		{"JSON's spelling", "requestId", `; the nearest is "request_id"`},
		{"in a message", "order.shops", `; the nearest is "shop"`},
		{"in a list's message", "orders.sends", `; the nearest is "sent"`},
		{"below a string", "request_id.x", ""},
		{"below a map of strings", "labels.x", ""},
		{"empty name", "order.", ""},
		{"like nothing", "amount", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, nearest(new(optionpb.Request).ProtoReflect().Descriptor(), tt.path))
		})
	}
	assert.Equal(t, "; it has no fields", nearest(new(emptypb.Empty).ProtoReflect().Descriptor(), "x"))
}

func FuzzDeclaredPath(f *testing.F) {
	for _, path := range []string{"request_id", "order.parent.parent.id", "orders.id", "labels.key", "..", "ø", "order.sent "} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		request := (&optionpb.Request{Note: new("n")}).ProtoReflect()
		found, err := valuePath(request.Descriptor(), path)
		if _, nowhere := findPath(request.Descriptor(), path); nowhere != nil {
			require.Error(t, err, "a path to one value is a path")
		}
		if err != nil {
			return
		}
		require.Empty(t, nearest(request.Descriptor(), path))
		text, there := found.text(request)
		require.Equal(t, path == "note", there, "a path that reads another field than its own")
		require.Equal(t, there, text == "n")
	})
}
