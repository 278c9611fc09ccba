package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

// adminWords is how long an operator's request may take to finish at the end.
const adminWords = time.Second

// serveAdmin serves the operator's page on a listener of its own, if there is
// one, and returns what ends it. Here whoever reaches the listener may use the
// page; a real service puts its authentication in front.
func serveAdmin(
	ctx context.Context, c config, listener net.Listener, guard *idempotency.Guard, log *slog.Logger,
) (end func() error, err error) {
	if listener == nil {
		return func() error { return nil }, nil
	}
	options := []idemadmin.Option{idemadmin.ShowAnswers(), idemadmin.Describe(idemgrpc.AnswerLines)}
	if c.adminSettle {
		options = append(options, idemadmin.AllowSettling())
	}
	page, err := idemadmin.New(guard, options...)
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           byAddress(page),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	announceAdmin(log, listener.Addr(), c.adminSettle)
	return func() error { return endAdmin(ctx, server, served) }, nil
}

// announceAdmin says where the page is, and warns if that is not only for those
// who are on this machine.
func announceAdmin(log *slog.Logger, at net.Addr, settle bool) {
	where := "operator's page at http://" + at.String() + "/"
	if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		log.Info(where)
		return
	}
	may := "read recorded answers"
	if settle {
		may += " and settle operations"
	}
	log.Warn(where + " without authentication, and not on a loopback address: whoever reaches it may " + may)
}

// endAdmin goes on although ctx has ended: that is what ends the service.
func endAdmin(ctx context.Context, server *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminWords)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // what Shutdown could not do
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// byAddress refuses requests by a name other than localhost: a page elsewhere
// whose name is made to point here would have its visitors' browsers post to it
// as if it came from here.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // no port
			host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
		}
		if host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, "ask for this page by its address", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
