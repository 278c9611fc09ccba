package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// errProtocol: the bytes are no RESP frame.
var errProtocol = errors.New("not a RESP frame")

// request is one command as it came from the client.
type request struct {
	raw  []byte   // the frame's own bytes
	args [][]byte // the command's name and arguments, parts of raw
}

// name returns the command's name in lower case.
func (r *request) name() string {
	if len(r.args) == 0 {
		return ""
	}
	return strings.ToLower(string(r.args[0]))
}

// matches reports whether the request is the command that the word names, or
// has the word inside one of its arguments.
func (r *request) matches(word string) bool {
	if r.name() == strings.ToLower(word) {
		return true
	}
	return slices.ContainsFunc(r.args[min(1, len(r.args)):], func(arg []byte) bool {
		return bytes.Contains(arg, []byte(word))
	})
}

// handshake reports whether the request belongs to setting up a connection.
func (r *request) handshake() bool {
	switch r.name() {
	case "hello", "auth", "select", "client", "readonly", "readwrite", "command", "cluster", "quit":
		return true
	}
	return false
}

// subscribes reports whether the answer to the request comes as messages
// (pushes, in RESP3) and not as a reply of its own.
func (r *request) subscribes() bool {
	return strings.HasSuffix(r.name(), "subscribe")
}

// readRequest reads one command: an array of bulk strings, which is the only
// form that client libraries use.
func readRequest(br *bufio.Reader) (*request, error) {
	var buf []byte
	n, err := readHead(br, &buf, '*')
	if err != nil {
		return nil, err
	}
	type span struct{ from, to int }
	spans := make([]span, 0, max(n, 0))
	for range n {
		size, err := readHead(br, &buf, '$')
		if err != nil {
			return nil, err
		}
		from := len(buf)
		if err := readN(br, &buf, size+2); err != nil {
			return nil, err
		}
		spans = append(spans, span{from, from + size})
	}
	req := &request{raw: buf}
	for _, s := range spans {
		req.args = append(req.args, buf[s.from:s.to])
	}
	return req, nil
}

// readHead reads a line of the wanted kind with a count in it.
func readHead(br *bufio.Reader, buf *[]byte, kind byte) (int, error) {
	line, err := readLine(br, buf)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || line[0] != kind || n < 0 {
		return 0, fmt.Errorf("%w: %q where %q and a count belong", errProtocol, line, kind)
	}
	return n, nil
}

// readReply reads one frame from the server, of whatever type, and returns its
// bytes. A push, recognised by its first byte, is no reply to a request.
func readReply(br *bufio.Reader) ([]byte, error) {
	var buf []byte
	err := readFrame(br, &buf)
	return buf, err
}

func isPush(frame []byte) bool { return len(frame) > 0 && frame[0] == '>' }

// readFrame appends one frame, with all that it nests.
func readFrame(br *bufio.Reader, buf *[]byte) error {
	line, err := readLine(br, buf)
	if err != nil {
		return err
	}
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return fmt.Errorf("%w: %q", errProtocol, line)
	}
	switch line[0] {
	case '$', '!', '=':
		if n < 0 { // a RESP2 null
			return nil
		}
		return readN(br, buf, n+2)
	case '*', '~', '>':
		return readFrames(br, buf, n)
	case '%':
		return readFrames(br, buf, 2*n)
	case '|': // attributes precede the frame that they describe
		return readFrames(br, buf, 2*n+1)
	}
	return fmt.Errorf("%w: type %q", errProtocol, line[0])
}

func readFrames(br *bufio.Reader, buf *[]byte, n int) error {
	for range n {
		if err := readFrame(br, buf); err != nil {
			return err
		}
	}
	return nil
}

// readLine appends a line and returns it without its end, never empty.
func readLine(br *bufio.Reader, buf *[]byte) ([]byte, error) {
	raw, err := br.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	*buf = append(*buf, raw...)
	line := bytes.TrimSuffix(raw, []byte("\r\n"))
	if len(line) == 0 || len(line) == len(raw) {
		return nil, fmt.Errorf("%w: line %q", errProtocol, raw)
	}
	return line, nil
}

func readN(br *bufio.Reader, buf *[]byte, n int) error {
	from := len(*buf)
	*buf = slices.Grow(*buf, n)[:from+n]
	_, err := io.ReadFull(br, (*buf)[from:])
	return err
}
