package conformance_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// The addresses, the server and the process that transcripts name.
const (
	shownHTTP  = "127.0.0.1:8080"
	shownGRPC  = "127.0.0.1:9090"
	shownAdmin = "127.0.0.1:8090"
	shownRedis = "redis://127.0.0.1:6379/0"
	shownPID   = "$(pgrep -x payments)"
)

// startShown runs the service with the flags that a transcript shows, and returns
// it with the addresses that are there in place of the shown ones.
func startShown(t *testing.T, d paytest.Transcript) (p *paytest.Process, addresses []string) {
	t.Helper()
	flags, store := slices.Clone(d.Flags), "embedded"
	for i, word := range flags {
		switch word {
		case shownAdmin:
			flags[i] = "127.0.0.1:0"
		case shownRedis:
			flags[i], store = shared.Server(t).URL(), "redis"
			flags = append(flags, "-namespace", namespaceOf(t))
		}
	}
	assert.Equal(t, "READY http="+shownHTTP+" grpc="+shownGRPC+" store="+store, d.Ready)
	p = payments.Start(t, flags...)
	addresses = []string{shownHTTP, p.Addr(), shownGRPC, p.GRPC}
	if slices.Contains(d.Flags, shownAdmin) {
		addresses = append(addresses, shownAdmin, adminOf(t, p))
	}
	return p, addresses
}

func adminOf(t *testing.T, p *paytest.Process) string {
	t.Helper()
	said := regexp.MustCompile(`operator's page at http://([\d.:]+)/`).FindStringSubmatch(p.Log())
	require.NotNil(t, said, p.Log())
	return said[1]
}

// runShown types the commands of a transcript and returns what each printed. A
// service that they end must end well.
func runShown(t *testing.T, d paytest.Transcript) []string {
	t.Helper()
	p, addresses := startShown(t, d)
	got := d.Run(t, nil, addresses, []string{shownPID, strconv.Itoa(p.PID())})
	for _, s := range d.Steps {
		if strings.Contains(s.Command, "kill "+shownPID) {
			assert.Equal(t, 0, p.Wait(t), "the exit status")
		}
	}
	return got
}

func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err == nil {
		return
	}
	const message = "NOT TESTED: no curl on the PATH; install the Debian package curl (or run make test)"
	if os.Getenv("REPRISE_REQUIRE_SERVERS") == "1" {
		t.Fatal(message + "; REPRISE_REQUIRE_SERVERS=1 makes that a failure")
	}
	t.Skip(message)
}

// Those with grpcurl are run where that is: internal/proof/grpcurl.
func TestDocs_TranscriptsAreWhatTheServiceAnswers(t *testing.T) {
	t.Parallel()
	needCurl(t)
	for name, page := range docPages(t) {
		found := paytest.ConsoleBlocks(page)
		checked := append(fencedBlocks(page, "go"), found...) // Go is compiled and run by another test
		if name != "threat-model.md" && name != "proof.md" {  // these stand on tests, by name
			assert.NotEmpty(t, checked, "%s shows nothing that is checked", name)
		}
		for i, block := range found {
			if strings.Contains(block, "grpcurl") {
				continue
			}
			t.Run(fmt.Sprintf("%s %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				d := paytest.ReadTranscript(t, block)
				got := runShown(t, d)
				require.Len(t, got, len(d.Steps))
				for i, s := range d.Steps {
					assert.Equal(t, paytest.MaskTranscript(s.Output), paytest.MaskTranscript(got[i]), "%s, which printed:\n%s", s.Command, got[i])
				}
			})
		}
	}
}
