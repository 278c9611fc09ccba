package idempotency

import (
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

// MaxPending is the most releases of claims that a guard keeps for later.
const MaxPending = maxPending

// Pend makes n of them wait in the background, due after a time and over by
// then. They have no event, so no store takes them.
func (g *Guard) Pend(n int, due time.Duration) {
	at := time.Now().Add(due)
	for range n {
		g.releases.add(&pending{until: at, done: func(store.Event, error) {}}, at)
	}
}

// PolicyRow is one row of the documentation's table of words.
type PolicyRow struct{ Spelling, Field, Default string }

// PolicyTable returns the grammar as the documentation has it.
func PolicyTable() []PolicyRow {
	var rows []PolicyRow
	for _, w := range policyWords() {
		var spellings []string
		for _, value := range w.values {
			spellings = append(spellings, "`"+w.spelled(value)+"`")
		}
		if w.values == nil {
			spellings = []string{"`" + strings.ReplaceAll(w.spelled(w.form), " or ", "` or `") + "`"}
		}
		row := PolicyRow{Spelling: strings.Join(spellings, ", "), Field: w.field}
		row.Spelling = strings.ReplaceAll(row.Spelling, "|", `\|`)
		if value := w.write(DefaultPolicy()); value != "" {
			row.Default = "`" + w.spelled(value) + "`"
		}
		rows = append(rows, row)
	}
	return rows
}
