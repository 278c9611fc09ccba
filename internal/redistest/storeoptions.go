package redistest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	optionsVariable = "REPRISE_OPTIONS"
	localCacheSize  = 16 << 20
	localCacheAge   = time.Second
)

// StoreOptions returns the options that the environment variable REPRISE_OPTIONS
// names, with which suites run as a second configuration:
//
//	REPRISE_OPTIONS=auto-pipeline,local-cache go test ./store/redisstore
//
// auto-pipeline is [redisstore.AutoPipeline], local-cache [redisstore.LocalCache]
// with 16 MiB and an age of a second. Without the variable there are none. Any other
// word ends the test.
func StoreOptions(t testing.TB) []redisstore.Option {
	t.Helper()
	words := os.Getenv(optionsVariable)
	if words == "" {
		return nil
	}
	var options []redisstore.Option
	for word := range strings.SplitSeq(words, ",") {
		switch word {
		case "auto-pipeline":
			options = append(options, redisstore.AutoPipeline())
		case "local-cache":
			options = append(options, redisstore.LocalCache(localCacheSize, localCacheAge))
		default:
			t.Fatalf("redistest: %s: unknown option %q", optionsVariable, word)
		}
	}
	return options
}

// NotWithLocalCache skips a test that says something else than [redisstore.LocalCache]
// is there for, such as how many commands a request takes.
func NotWithLocalCache(t testing.TB, why string) {
	t.Helper()
	if strings.Contains(os.Getenv(optionsVariable), "local-cache") {
		t.Skip("not with LocalCache: " + why)
	}
}
