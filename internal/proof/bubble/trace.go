package bubble

import (
	"fmt"
	"strings"
	"time"
)

// trace is what happened in a scenario, in order.
type trace struct {
	began time.Time
	lines []string
}

func (t *trace) add(process int, format string, args ...any) {
	who := "         "
	if process > 0 {
		who = fmt.Sprintf("process %d", process)
	}
	t.lines = append(t.lines, fmt.Sprintf("%14v  %s  %s", time.Since(t.began), who, fmt.Sprintf(format, args...)))
}

// String returns one line for each entry.
func (t *trace) String() string { return strings.Join(t.lines, "\n") }
