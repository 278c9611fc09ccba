package idemhttp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

func TestK14_UUIDKeys(t *testing.T) {
	t.Parallel()
	const (
		v1   = "c232ab00-9414-11ec-b3c8-9f6bdeced846"
		v4   = "919108f7-52d1-4320-9bac-f847db4148a8"
		v7   = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
		v8   = "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0"
		none = "00000000-0000-0000-0000-000000000000"
		full = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	)
	tests := []struct {
		name   string
		format idempotency.KeyFormat
		key    string
		says   string // "" for a key that is accepted
	}{
		{"any key", idempotency.KeyAny, "Order-1", ""},
		{"version 1", idempotency.KeyUUID, v1, ""},
		{"version 4", idempotency.KeyUUID, v4, ""},
		{"version 7", idempotency.KeyUUID, v7, ""},
		{"version 8", idempotency.KeyUUID, v8, ""},
		{"version 4 demanded", idempotency.KeyUUIDv4, v4, ""},
		{"version 7 demanded", idempotency.KeyUUIDv7, v7, ""},
		{"version 7, 4 demanded", idempotency.KeyUUIDv4, v7, "version 4"},
		{"version 4, 7 demanded", idempotency.KeyUUIDv7, v4, "version 7"},
		{"version 1, 4 demanded", idempotency.KeyUUIDv4, v1, "version 4"},
		{"version 9", idempotency.KeyUUID, "919108f7-52d1-9320-9bac-f847db4148a8", "versions 1 to 8"},
		{"version 0", idempotency.KeyUUID, "919108f7-52d1-0320-9bac-f847db4148a8", "versions 1 to 8"},
		{"nil UUID", idempotency.KeyUUID, none, "versions 1 to 8"},
		{"max UUID", idempotency.KeyUUID, full, "versions 1 to 8"},
		{"variant of NCS", idempotency.KeyUUID, "919108f7-52d1-4320-7bac-f847db4148a8", "variant"},
		{"variant of Microsoft", idempotency.KeyUUIDv4, "919108f7-52d1-4320-cbac-f847db4148a8", "variant"},
		{"free-form", idempotency.KeyUUID, "order-1", "not a UUID"},
		{"no hyphens", idempotency.KeyUUID, strings.ReplaceAll(v4, "-", ""), "not a UUID"},
		{"braces", idempotency.KeyUUID, "{" + v4 + "}", "not a UUID"},
		{"URN", idempotency.KeyUUID, "urn:uuid:" + v4, "not a UUID"},
		{"hyphens elsewhere", idempotency.KeyUUID, "919108f75-2d1-4320-9bac-f847db4148a8", "not a UUID"},
		{"a hyphen more", idempotency.KeyUUID, "919108f7-52d1-4320-9bac-f847db41-8a8", "not a UUID"},
		{"a digit less", idempotency.KeyUUID, v4[:35], "not a UUID"},
		{"a digit more", idempotency.KeyUUID, v4 + "0", "not a UUID"},
		{"no hexadecimal digit", idempotency.KeyUUID, "g19108f7-52d1-4320-9bac-f847db4148a8", "not a UUID"},
		{"space", idempotency.KeyUUID, v4[:35] + " ", "not a UUID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := keysyntax.Format(tt.key, string(tt.format))
			if tt.says == "" {
				require.NoError(t, err)
				assert.Equal(t, tt.key, key)
				return
			}
			require.ErrorIs(t, err, keysyntax.ErrInvalid)
			require.ErrorContains(t, err, tt.says)
			assert.Empty(t, key)
			assert.NotContains(t, err.Error(), tt.key, "A13: the key is not echoed")
			assert.NotContains(t, err.Error(), "f847db4148a8")
		})
	}
}

func TestK14_SpellingsOfOneUUIDAreOneKey(t *testing.T) {
	t.Parallel()
	const lower = "919108f7-52d1-4320-9bac-f847db4148a8"
	for _, format := range []idempotency.KeyFormat{idempotency.KeyUUID, idempotency.KeyUUIDv4} {
		for _, spelling := range []string{lower, strings.ToUpper(lower), "919108F7-52d1-4320-9BAC-f847db4148a8"} {
			key, err := keysyntax.Format(spelling, string(format))
			require.NoError(t, err)
			assert.Equal(t, lower, key)
		}
	}
	upper, err := keysyntax.Format(strings.ToUpper(lower), string(idempotency.KeyAny))
	require.NoError(t, err)
	assert.Equal(t, strings.ToUpper(lower), upper, "K13: free-form keys keep their case")
}
