package conformance_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

// The codes of the page for HTTP are those of the page for gRPC, but for those
// about bodies, which gRPC reads itself.
func TestDocs_TableOfReasonsIsWhatGRPCClientsGet(t *testing.T) {
	t.Parallel()
	table, overHTTP := tableRows(docPages(t)["grpc.md"]), tableRows(docPages(t)["errors.md"])
	codes := regexp.MustCompile(`(?m)^## ([a-z_]+)$`).FindAllStringSubmatch(docPages(t)["errors.md"], -1)
	require.NotEmpty(t, codes)
	word := map[string]string{"true": "yes", "false": "no", "": "–"}
	spelled := map[string]string{
		"FAILEDPRECONDITION": "FAILED_PRECONDITION", "INVALIDARGUMENT": "INVALID_ARGUMENT",
		"PERMISSIONDENIED": "PERMISSION_DENIED", "RESOURCEEXHAUSTED": "RESOURCE_EXHAUSTED",
		"CANCELED": "CANCELLED, or DEADLINE_EXCEEDED",
	}
	for _, m := range codes {
		if strings.HasPrefix(m[1], "request_body_") {
			continue
		}
		st := idemgrpc.StatusOf(&idempotency.Error{Code: idempotency.Code(m[1])}, idemgrpc.DefaultDomain, "")
		info, ok := st.Details()[0].(*errdetails.ErrorInfo)
		require.True(t, ok)
		row := table[info.GetReason()]
		require.Len(t, row, 4, info.GetReason())
		code := strings.ToUpper(st.Code().String())
		if long, ok := spelled[code]; ok {
			code = long
		}
		assert.Equal(t, []string{
			code, word[info.GetMetadata()["retryable"]], word[info.GetMetadata()["safe_new_key"]],
			overHTTP[m[1]][4],
		}, row, info.GetReason())
	}
}
