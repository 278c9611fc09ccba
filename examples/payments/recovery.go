package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"

	"github.com/felixge/httpsnoop"
)

// recoverPanics turns a panic into a 500 problem. It stands outside the
// idempotency middleware, which has to see the panic: inside, the 500 would look
// like an ordinary answer by which nothing happened, and a retry would run.
func recoverPanics(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := false
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
				panic(p)
			}
			log.Error("panic in a handler", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			if started {
				panic(http.ErrAbortHandler) // a cut connection is not taken for a whole answer
			}
			writeProblem(w, errInternal)
		}()
		next.ServeHTTP(watchStart(w, &started), r)
	})
}

// watchStart sets started once anything of the final answer goes out. It keeps
// the optional interfaces of w.
func watchStart(w http.ResponseWriter, started *bool) http.ResponseWriter {
	return httpsnoop.Wrap(w, httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(status int) {
				*started = *started || status >= http.StatusOK || status == http.StatusSwitchingProtocols
				next(status)
			}
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(b []byte) (int, error) { *started = true; return next(b) }
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) { *started = true; return next(src) }
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { *started = true; next() }
		},
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) { *started = true; return next() }
		},
	})
}
