package redistest

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"
)

// Monitor notes the commands that a server executes, each with all of its words,
// those that scripts call included.
type Monitor struct {
	s     *Server
	conn  net.Conn
	lines *bufio.Scanner
}

// Monitor begins to note commands. Call [Monitor.Commands] to read them; the
// test's cleanup ends it. On a busy server the notes grow until they are read.
func (s *Server) Monitor() *Monitor {
	s.t.Helper()
	s.ownOnly("Monitor")
	s.do("ping") // so that our own greeting is not among the notes
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(s.t.Context(), "tcp", s.Addr())
	if err != nil {
		s.t.Fatalf("redistest: monitor: %v", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	m := &Monitor{s: s, conn: conn, lines: bufio.NewScanner(conn)}
	m.lines.Buffer(nil, 64<<20)
	if password := s.in.cfg.password; password != "" {
		m.say("AUTH " + password)
	}
	m.say("MONITOR")
	return m
}

func (m *Monitor) say(command string) {
	m.s.t.Helper()
	_, err := fmt.Fprintf(m.conn, "%s\r\n", command)
	if err != nil || m.next() != "+OK" {
		m.s.t.Fatalf("redistest: monitor: %v", err)
	}
}

func (m *Monitor) next() string {
	m.s.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if !m.lines.Scan() {
		m.s.t.Fatalf("redistest: monitor: %v", m.lines.Err())
	}
	return m.lines.Text()
}

// noted finds in a line whether a script called the command, and its words.
var noted = regexp.MustCompile(`^\+[\d.]+ \[\d+ (lua|[^\]]+)\] (.*)$`)

// Commands returns what was executed since the start or the last call: the words of
// each command in quotes, as Redis shows them, those that scripts called behind
// "lua".
func (m *Monitor) Commands() []string {
	m.s.t.Helper()
	const end = `"echo" "redistest: the end of the notes"`
	m.s.do("echo", "redistest: the end of the notes")
	var commands []string
	for {
		match := noted.FindStringSubmatch(m.next())
		switch {
		case match == nil:
			m.s.t.Fatalf("redistest: monitor: not a command: %q", m.lines.Text())
		case match[2] == end:
			return commands
		case strings.HasPrefix(match[1], "lua"):
			commands = append(commands, "lua "+match[2])
		default:
			commands = append(commands, match[2])
		}
	}
}
