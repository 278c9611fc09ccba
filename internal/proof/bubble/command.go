package bubble

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// command is one command as the client sent it.
type command struct{ args [][]byte }

func (c *command) name() string { return strings.ToLower(string(c.args[0])) }

// handshake reports whether it belongs to setting up a connection.
func (c *command) handshake() bool {
	return slices.Contains([]string{"hello", "client", "select"}, c.name())
}

func (c *command) subscribes() bool { return strings.HasSuffix(c.name(), "subscribe") }

// owner returns in whose name a script is run: its first argument begins with it. Of
// a batch it is the first one's.
func (c *command) owner() string {
	const width = 32
	if len(c.args) < 5 || !strings.HasPrefix(c.name(), "eval") {
		return ""
	}
	keys, _ := strconv.Atoi(string(c.args[2]))
	if len(c.args) <= 3+keys || len(c.args[3+keys]) < width {
		return ""
	}
	return string(c.args[3+keys][:width])
}

// names reports whether a word is part of it.
func (c *command) names(word string) bool {
	return slices.ContainsFunc(c.args, func(arg []byte) bool { return bytes.Contains(arg, []byte(word)) })
}

// bytes returns it as it goes over the wire.
func (c *command) bytes() []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(c.args))
	for _, arg := range c.args {
		b = fmt.Appendf(b, "$%d\r\n", len(arg))
		b = append(append(b, arg...), '\r', '\n')
	}
	return b
}

// readCommand reads an array of bulk strings, which is all that clients send.
func readCommand(r *bufio.Reader) (*command, error) {
	n, err := readCount(r, '*')
	if err != nil {
		return nil, err
	}
	c := &command{args: make([][]byte, n)}
	for i := range c.args {
		size, err := readCount(r, '$')
		if err != nil {
			return nil, err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(r, arg); err != nil {
			return nil, err
		}
		c.args[i] = arg[:size]
	}
	return c, nil
}

func readCount(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil || line[0] != kind {
		return 0, fmt.Errorf("%q where %q and a count belong", line, kind)
	}
	return n, nil
}

// packet is what a client sends at once: a command, or a pipeline of some.
type packet struct{ commands []*command }

// readPacket reads one. A pipeline is written at once, so all of it is there when
// its first command is.
func readPacket(r *bufio.Reader) (*packet, error) {
	p := &packet{}
	for {
		c, err := readCommand(r)
		if err != nil {
			return nil, err
		}
		p.commands = append(p.commands, c)
		if r.Buffered() == 0 {
			return p, nil
		}
	}
}

func (p *packet) owner() string { return p.commands[0].owner() }

func (p *packet) name() string { return p.commands[0].name() }
