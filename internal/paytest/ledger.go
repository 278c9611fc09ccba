package paytest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// Entry is one line of a ledger: an effect that happened.
type Entry struct {
	Seq     int    `json:"seq"`
	Kind    string `json:"kind"` // charge, refund or update
	Payment string `json:"payment"`
	Amount  int64  `json:"amount"`
	// KeyHash is the first 16 hex digits of the operation's digest: entries of
	// one key have the same.
	KeyHash string `json:"key_hash"`
	// Token is the fencing token of the attempt.
	Token int64 `json:"token"`
	// Instance is the process: its host's name, a hyphen and its pid.
	Instance string `json:"instance"`
	Tenant   string `json:"tenant"`
}

// Entries reads the effects that happened, in their order. A ledger that nobody
// has opened yet has none. A line that is being written at this moment counts
// only when it is whole.
func Entries(t testing.TB, ledger string) []Entry {
	t.Helper()
	data, err := os.ReadFile(ledger)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("paytest: %v", err)
	}
	var list []Entry
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("paytest: line %q of the ledger: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// Entries reads the ledger of this process, and of those that share it.
func (p *Process) Entries(t testing.TB) []Entry {
	t.Helper()
	return Entries(t, p.Ledger)
}
