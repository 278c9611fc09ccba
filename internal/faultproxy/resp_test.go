package faultproxy

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadReplyReadsExactlyOneFrame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		frame string
		push  bool
	}{
		{name: "status", frame: "+OK\r\n"},
		{name: "error", frame: "-ERR no\r\n"},
		{name: "integer", frame: ":-7\r\n"},
		{name: "null", frame: "_\r\n"},
		{name: "boolean", frame: "#t\r\n"},
		{name: "double", frame: ",3.5\r\n"},
		{name: "big number", frame: "(123456789012345678901234567890\r\n"},
		{name: "bulk", frame: "$7\r\na\r\nb\r\nc\r\n"},
		{name: "empty bulk", frame: "$0\r\n\r\n"},
		{name: "null bulk", frame: "$-1\r\n"},
		{name: "blob error", frame: "!3\r\nERR\r\n"},
		{name: "verbatim", frame: "=5\r\ntxt:x\r\n"},
		{name: "array", frame: "*2\r\n$1\r\na\r\n*1\r\n:1\r\n"},
		{name: "empty array", frame: "*0\r\n"},
		{name: "null array", frame: "*-1\r\n"},
		{name: "set", frame: "~1\r\n+a\r\n"},
		{name: "map", frame: "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n"},
		{name: "attribute and its value", frame: "|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n"},
		{name: "push", frame: ">2\r\n+message\r\n+x\r\n", push: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			br := bufio.NewReader(strings.NewReader(tt.frame + "+NEXT\r\n"))
			got, err := readReply(br)
			require.NoError(t, err)
			assert.Equal(t, tt.frame, string(got))
			assert.Equal(t, tt.push, isPush(got))
			next, err := readReply(br)
			require.NoError(t, err)
			assert.Equal(t, "+NEXT\r\n", string(next))
		})
	}
}

func TestReadRejectsWhatIsNoFrame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		bytes string
		want  error
	}{
		{name: "unknown type", bytes: "?1\r\n", want: errProtocol},
		{name: "no carriage return", bytes: "*1\n", want: errProtocol},
		{name: "empty line", bytes: "\r\n", want: errProtocol},
		{name: "count is no number", bytes: "*x\r\n", want: errProtocol},
		{name: "ends in a line", bytes: "*1", want: io.EOF},
		{name: "ends in a bulk", bytes: "*1\r\n$5\r\nab", want: io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := readReply(bufio.NewReader(strings.NewReader(tt.bytes)))
			require.ErrorIs(t, err, tt.want)
			_, err = readRequest(bufio.NewReader(strings.NewReader(tt.bytes)))
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestRequestMatches(t *testing.T) {
	t.Parallel()
	const frame = "*3\r\n$7\r\nEvalSha\r\n$4\r\nCafe\r\n$1\r\n1\r\n"
	req, err := readRequest(bufio.NewReader(strings.NewReader(frame)))
	require.NoError(t, err)
	require.Equal(t, frame, string(req.raw))
	tests := []struct {
		name string
		word string
		want bool
	}{
		{name: "command in any case", word: "EVALSHA", want: true},
		{name: "part of an argument", word: "af", want: true},
		{name: "argument in another case", word: "cafe", want: false},
		{name: "part of the command", word: "eval", want: false},
		{name: "across arguments", word: "Cafe1", want: false},
		{name: "framing", word: "$4", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, req.matches(tt.word))
		})
	}
}
