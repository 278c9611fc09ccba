package idempotency

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Zero is an error in numbers and durations: in a policy it would inherit, the
// opposite of what is written.

var (
	errNoPeriod = errors.New(`the value is not a duration above zero, such as "90s", "1h30m" or "30d"`)
	errNoSize   = errors.New(`the value is not a size above zero, such as "4096", "64KiB" or "1MiB"`)
)

func parsePeriod(text string) (time.Duration, error) {
	var d time.Duration
	if days, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errNoPeriod
		}
		d, text = time.Duration(n)*day, rest
	}
	if text != "" {
		rest, err := time.ParseDuration(text)
		if err != nil || rest < 0 || rest > math.MaxInt64-d {
			return 0, errNoPeriod
		}
		d += rest
	}
	if d == 0 {
		return 0, errNoPeriod
	}
	return d, nil
}

// formatPeriod writes whole days from two on as days, since "24h" is what people
// say, and leaves out the zeros at the end of Go's own form.
func formatPeriod(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d > day && d%day == 0 && d/day <= math.MaxUint16 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func formatNumber(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func parseSize(text string) (int64, error) {
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}} {
		if number, found := strings.CutSuffix(text, u.suffix); found {
			text, unit = number, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, errNoSize
	}
	return n * unit, nil
}

func formatSize(n int64) string {
	switch {
	case n != 0 && n%(1<<20) == 0:
		return formatNumber(n>>20) + "MiB"
	case n != 0 && n%(1<<10) == 0:
		return formatNumber(n>>10) + "KiB"
	}
	return formatNumber(n)
}

// mustEncode says which bytes cannot stand in an item of a list: those with a
// meaning, those that nobody sees, and those that need an escape in a struct tag.
func mustEncode(b byte) bool {
	return b <= ' ' || b == 0x7f || strings.IndexByte("%,|\"\\`", b) >= 0
}

func encodeItem(item string) string {
	var out strings.Builder
	for i := range len(item) {
		if mustEncode(item[i]) {
			_, _ = fmt.Fprintf(&out, "%%%02X", item[i]) // a builder takes everything
			continue
		}
		_ = out.WriteByte(item[i])
	}
	return out.String()
}

func decodeItem(text string) (string, error) {
	if text == "" {
		return "", errors.New(`an item of the list is empty`)
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] <= ' ' || text[i] == 0x7f:
			return "", fmt.Errorf("an item of the list has %q in it: write %q", text[i:i+1], encodeItem(text[i:i+1]))
		case text[i] != '%':
			out = append(out, text[i])
		case i+2 >= len(text):
			return "", errNoEncoding
		default:
			b, err := hex.DecodeString(text[i+1 : i+3])
			if err != nil {
				return "", errNoEncoding
			}
			out, i = append(out, b...), i+2
		}
	}
	return string(out), nil
}

var errNoEncoding = errors.New(`after "%" there must be two hexadecimal digits: the character itself is "%25"`)
