package idempotency

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/nearest"
)

// ParsePolicy reads a policy that is written as words, as struct tags, flags and
// configuration files have it:
//
//	required,retention=24h,wait=2s,orphan=rerun-unmarked
//
// Words are separated by commas, spaces around them do not count, their order
// does not matter, and none may be given twice. "required", "optional", "off"
// and "shadow" stand alone and say what [Policy].Key is; all others have a name
// and a value. Durations are Go's with days in front ("90s", "1h30m", "30d",
// "1d12h"); sizes are bytes, or "64KiB", "1MiB". The items of a list are separated by
// "|"; in them, space, controls and any of % , | are percent-encoded. An empty
// text is the zero Policy, which inherits everything.
//
// The errors of all words are joined; each names the word, its place, counted
// from 1, its byte offset in the text, and the nearest valid word. That numbers
// are within their bounds, and fit together, is for [Policy.Validate] to say
// once it is known what is inherited.
func ParsePolicy(text string) (Policy, error) {
	var p Policy
	if strings.Trim(text, spaces) == "" {
		return p, nil
	}
	var errs []error
	given := make(map[string]int) // field: the place of its word
	place, offset := 0, 0
	for raw := range strings.SplitSeq(text, ",") {
		place++
		word := strings.Trim(raw, spaces)
		at := offset + len(raw) - len(strings.TrimLeft(raw, spaces))
		offset += len(raw) + len(",")
		if err := p.readWord(word, place, given); err != nil {
			errs = append(errs, fmt.Errorf("idempotency: policy: word %d, at byte %d, %q: %w", place, at, word, err))
		}
	}
	if len(errs) > 0 {
		return Policy{}, errors.Join(errs...)
	}
	return p, nil
}

const spaces = " \t\r\n"

// String writes what the policy says in the words that [ParsePolicy] reads, in a
// fixed order; fields that inherit are left out. For a policy whose fields are
// all valid, ParsePolicy gives the same policy back.
func (p Policy) String() string {
	var words []string
	for _, w := range policyWords() {
		if value := w.write(p); value != "" {
			words = append(words, w.spelled(value))
		}
	}
	return strings.Join(words, ",")
}

// policyWord is how one field of a [Policy] is written.
type policyWord struct {
	// name comes before the value, with a "=". "" where the value stands alone.
	name string
	// field is the field's name in Go.
	field string
	// values are the only ones there are, if any.
	values []string
	// form says what any other value looks like.
	form string
	// fixed is why the field cannot be changed at run time; "" if it can.
	fixed string

	read  func(p *Policy, value string) error
	write func(p Policy) string // "" if nothing is said
}

// stays returns the word of a field that cannot be changed at run time.
func (w policyWord) stays(because string) policyWord {
	w.fixed = because
	return w
}

func (w policyWord) spelled(value string) string {
	if w.name == "" {
		return value
	}
	return w.name + "=" + value
}

func (p *Policy) readWord(word string, place int, given map[string]int) error {
	if word == "" {
		return errors.New("there is nothing between two commas, or before or after one")
	}
	w, value, err := findWord(word)
	if err != nil {
		return err
	}
	if before := given[w.field]; before != 0 {
		return fmt.Errorf("word %d says that already", before)
	}
	given[w.field] = place
	return w.read(p, value)
}

// findWord returns the field that a word speaks of, and what it says.
func findWord(word string) (found policyWord, value string, err error) {
	name, value, valued := strings.Cut(word, "=")
	for _, w := range policyWords() {
		alone := w.name == "" && slices.Contains(w.values, name)
		switch {
		case alone && valued:
			return w, "", fmt.Errorf("it has no value: write %q", name)
		case alone:
			return w, name, nil
		case w.name == "" || w.name != name:
		case !valued || value == "":
			return w, "", fmt.Errorf("it needs a value, such as %q", w.spelled(w.example()))
		default:
			return w, value, nil
		}
	}
	return policyWord{}, "", fmt.Errorf("there is no such word; the nearest is %q", nearestWord(name))
}

func (w policyWord) example() string {
	if len(w.values) > 0 {
		return w.values[0]
	}
	return w.form
}

func nearestWord(name string) string {
	spelled := make(map[string]string)
	var names []string
	for _, w := range policyWords() {
		if w.name != "" {
			names = append(names, w.name)
			spelled[w.name] = w.name + "="
			continue
		}
		names = append(names, w.values...)
	}
	found := nearest.Word(strings.TrimRight(name, spaces), names)
	if named, ok := spelled[found]; ok {
		return named
	}
	return found
}
