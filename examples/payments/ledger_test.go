package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLedgerNumbersEntriesAndFindsPayments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, path string }{
		{name: "in memory", path: ""},
		{name: "on a file", path: filepath.Join(t.TempDir(), "ledger.jsonl")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := openTestLedger(t, test.path)
			p := appendCharge(t, l, "acme", "pay_1")
			appendCharge(t, l, "other", "pay_2")
			p.Description = "changed"
			require.NoError(t, l.Append(entry{Kind: kindUpdate, Payment: p.ID}, "acme", p))
			require.NoError(t, l.Append(entry{Kind: kindRefund, Payment: p.ID, Amount: 7}, "acme", refund{ID: "re_1"}))

			entries, err := l.Entries("acme")
			require.NoError(t, err)
			require.Len(t, entries, 3)
			assert.Equal(t, []int64{1, 3, 4}, seqs(entries), "numbers are the whole ledger's")
			assert.Equal(t, entry{Seq: 4, Kind: kindRefund, Payment: "pay_1", Amount: 7}, entries[2])
			payments, err := l.Payments("acme")
			require.NoError(t, err)
			assert.Equal(t, []payment{p}, payments)

			_, found, err := l.Payment("acme", "pay_2")
			require.NoError(t, err)
			assert.False(t, found, "another tenant's payment is not found")
		})
	}
}

func TestLedgersOnOneFileSeeEachOthersEntries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	one, two := openTestLedger(t, path), openTestLedger(t, path)
	charged := appendCharge(t, one, "acme", "pay_1")

	found, ok, err := two.Payment("acme", "pay_1")
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, charged, found)

	appendCharge(t, two, "acme", "pay_2")
	entries, err := one.Entries("acme")
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 2}, seqs(entries))
}

// A writer that was killed leaves a part of a line. Readers pass over it, the
// next writer removes it, and no number is lost or given twice.
func TestLedgerSurvivesATornLastLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	reader, writer := openTestLedger(t, path), openTestLedger(t, path)
	appendCharge(t, writer, "acme", "pay_1")
	tear(t, path, `{"seq":2,"kind":"charge","paym`)

	entries, err := reader.Entries("acme")
	require.NoError(t, err)
	assert.Equal(t, []int64{1}, seqs(entries))

	tear(t, path, `{"seq":2,`)
	appendCharge(t, writer, "acme", "pay_2")
	appendCharge(t, reader, "acme", "pay_3")
	tear(t, path, `{"seq":4`)

	entries, err = openTestLedger(t, path).Entries("acme")
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 2, 3}, seqs(entries))
	assert.Equal(t, []int64{1, 2, 3}, seqs(readLines(t, path)))
}

func TestLedgerRefusesAFileThatIsNoLedger(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("not a ledger\n"), 0o600))
	_, err := openLedger(path)
	assert.ErrorContains(t, err, "line at byte 0")
}

const (
	writersEnv     = "PAYMENTS_TEST_LEDGER"
	linesPerWriter = 40
)

// TestLedgerWriterProcess is one of the processes of the test below it.
func TestLedgerWriterProcess(t *testing.T) {
	path := os.Getenv(writersEnv)
	if path == "" {
		t.Skip("runs only as a child of TestLedgerIsSharedByConcurrentProcesses")
	}
	l := openTestLedger(t, path)
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range linesPerWriter / 2 {
				id := fmt.Sprintf("pay_%d_%d_%d", os.Getpid(), w, i)
				assert.NoError(t, l.Append(entry{Kind: kindCharge, Payment: id}, "acme", payment{ID: id}))
			}
		})
	}
	writers.Wait()
}

func TestLedgerIsSharedByConcurrentProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	const processes = 3
	var running sync.WaitGroup
	for range processes {
		running.Go(func() {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLedgerWriterProcess$")
			child.Env = append(os.Environ(), writersEnv+"="+path)
			out, err := child.CombinedOutput()
			assert.NoError(t, err, "%s", out)
		})
	}
	running.Wait()

	entries := readLines(t, path)
	require.Len(t, entries, processes*linesPerWriter)
	payments := make(map[string]bool)
	for i, e := range entries {
		assert.EqualValues(t, i+1, e.Seq, "numbers have no gap and no repetition")
		payments[e.Payment] = true
	}
	assert.Len(t, payments, processes*linesPerWriter)
	rebuilt, err := openTestLedger(t, path).Payments("acme")
	require.NoError(t, err)
	assert.Len(t, rebuilt, processes*linesPerWriter)
}

func openTestLedger(t *testing.T, path string) *ledger {
	t.Helper()
	l, err := openLedger(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}

func appendCharge(t *testing.T, l *ledger, tenant, id string) payment {
	t.Helper()
	p := payment{ID: id, Amount: 1999, Currency: "EUR", Status: "succeeded"}
	require.NoError(t, l.Append(entry{Kind: kindCharge, Payment: id, Amount: p.Amount}, tenant, p))
	return p
}

// tear appends what a killed writer may have left.
func tear(t *testing.T, path, part string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString(part)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// readLines reads the file as anybody would who knows nothing of the ledger. A
// last line without its end is left out.
func readLines(t *testing.T, path string) []entry {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var entries []entry
	for whole := range bytes.Lines(raw[:bytes.LastIndexByte(raw, '\n')+1]) {
		var e line
		require.NoError(t, json.Unmarshal(whole, &e))
		entries = append(entries, e.entry)
	}
	return entries
}

func seqs(entries []entry) []int64 {
	var list []int64
	for _, e := range entries {
		list = append(list, e.Seq)
	}
	return list
}
