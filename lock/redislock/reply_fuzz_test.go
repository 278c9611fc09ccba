package redislock_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// F44: no reply, however strange, is taken for a verdict that it is not, nor for
// one about another owner's request. OWNER stands for the owner that asked.
func FuzzReply(f *testing.F) {
	const owner = "0123456789abcdef0123456789abcdef"
	for _, seed := range []string{
		"", "E", "EOWNER", "HOWNER30000000", "HOWNER-1", "HOWNER9223372036854775807", "HOWNER1e6", "UOWNERlength", "DOWNER", "ROWNER7",
		"Hffffffffffffffffffffffffffffffff30000000",
		"RPK1H00179535534214377517953553421437750000000030000000OWNER",
		"RPK1H00000000000000000017953553421437750000000030000000OWNER",
		"RPK1H00179535534214377517953553421437750000000030000000ffffffffffffffffffffffffffffffff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "OWNER", owner)
		reply, err := redislock.ParseReply(text, owner)
		if err != nil {
			require.Zero(t, reply)
			return
		}
		require.Contains(t, text, owner)
		switch reply.Verdict {
		case lock.Acquired:
			require.Positive(t, reply.Token)
		case lock.Held:
			require.Positive(t, reply.Left)
		default:
			require.Equal(t, lock.Ended, reply.Verdict)
		}
	})
}
