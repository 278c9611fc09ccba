package idemhttp

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
)

// program is a small handler: a list of operations on its response, decoded
// from bytes so that a fuzzer can write it. It runs the same against a bare
// server and against a capture, and notes what each operation returned.
type program []byte

// Traits of a program that decide what may be compared.
type traits struct {
	declaresLength bool // sets a Content-Length, valid or not
	flushes        bool
	trailers       bool
	varies         bool
}

const opCount = 14

func (p program) traits() traits {
	var t traits
	for i := 0; i+1 < len(p); i += 2 {
		switch p[i] % opCount {
		case 0:
			t.varies = t.varies || headerChoice(p[i+1]).name == "Vary"
		case 5, 13:
			t.flushes = true
		case 8:
			t.declaresLength = true
		case 9, 10, 11:
			t.trailers = true
		}
	}
	return t
}

// run executes the program and returns its log.
func (p program) run(w http.ResponseWriter) []string {
	var out []string
	informed := 0
	for i := 0; i+1 < len(p); i += 2 {
		op, arg := p[i]%opCount, p[i+1]
		if op == 7 {
			// A client gives up on too many informational responses.
			if informed++; informed > 3 {
				continue
			}
		}
		if result := p.step(w, op, arg); result != "" {
			out = append(out, fmt.Sprintf("%d: %s", i/2, result))
		}
	}
	return out
}

func (p program) step(w http.ResponseWriter, op, arg byte) string {
	switch op {
	case 0:
		f := headerChoice(arg)
		w.Header().Set(f.name, f.value)
	case 1:
		changeOddly(w.Header(), arg)
	case 2:
		w.WriteHeader([]int{200, 201, 202, 204, 302, 304, 400, 404, 422, 500, 503, 999}[arg%12])
	case 3:
		return result(w.Write([]byte(content(arg, 5000))))
	case 4:
		return result(io.WriteString(w, content(arg, 5000)))
	case 5:
		return fmt.Sprint(http.NewResponseController(w).Flush())
	case 6:
		// net/http's ReadFrom does not mind a declared length once the header is
		// out, where Write does: the capture always does.
		dst := io.Writer(w)
		if p.traits().declaresLength {
			dst = writerFunc(w.Write)
		}
		n, err := io.Copy(dst, struct{ io.Reader }{strings.NewReader(content(arg, 9000))})
		return fmt.Sprint(n, err)
	case 7:
		w.WriteHeader([]int{103, 102, 103, 199}[arg%4])
	case 8:
		w.Header().Set("Content-Length", []string{"0", "1", "5", "300", "abc", "-1", "2000"}[arg%7])
	case 9:
		w.Header().Set("Trailer", []string{"X-Sum", "X-Sum, x-more", "Content-Length", "X-Never"}[arg%4])
	case 10:
		w.Header().Set([]string{"X-Sum", "X-More"}[arg%2], fmt.Sprint("sum", arg))
	case 11:
		w.Header().Set(http.TrailerPrefix+"X-Late", fmt.Sprint("late", arg))
	case 12:
		return result(w.Write(nil))
	case 13:
		w.(http.Flusher).Flush()
	}
	return ""
}

func result(n int, err error) string { return fmt.Sprint(n, err) }

func headerChoice(arg byte) field {
	return []field{
		{"Content-Type", "application/json"}, {"Content-Type", ""}, {"Content-Encoding", "gzip"},
		{"Location", "/payments/1"}, {"Etag", `"v1"`}, {"Vary", "Accept"}, {"Link", "</a>; rel=next"},
		{"Set-Cookie", "session=1"}, {"X-Other", "handler"}, {"X-Outer", "changed"},
		{"Cache-Control", "max-age=1"}, {"Content-Language", "de"}, {"Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT"},
		{"Content-Encoding", ""}, {"Content-Disposition", "attachment"}, {"Content-Location", " /spaces "},
	}[arg%16]
}

func changeOddly(h http.Header, arg byte) {
	switch arg % 6 {
	case 0:
		h["Content-Type"] = nil
	case 1:
		h["ETag"] = []string{`"raw"`}
	case 2:
		h.Add("Link", "</b>; rel=prev")
	case 3:
		h.Del("X-Outer")
	case 4:
		h.Del("Etag")
	case 5:
		h.Set("X-Broken", "line\r\nbreak")
	}
}

// content returns up to limit bytes of one of several kinds.
func content(arg byte, limit int) string {
	kinds := []string{"<html>", "{\"n\": 1}\n", "plain text ", "\x00\xff\x01", "\x1f\x8b\x08", "%PDF-1.7"}
	sizes := []int{0, 1, 5, 12, 100, 300, 512, 600, 2047, 2048, 2049, 4096, 9000}
	size := min(sizes[int(arg)/len(kinds)%len(sizes)], limit)
	kind := kinds[int(arg)%len(kinds)]
	return strings.Repeat(kind, size/len(kind)+1)[:size]
}

// discardLog takes net/http's complaints about the programs' mistakes.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
