package bubble

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Transport is how clients and processes speak to each other.
type Transport interface {
	// operation is the name of the operation that clients ask for.
	operation() string
	// serve starts a process's service.
	serve(p *process) (service, error)
}

// HTTP is net/http's server and client.
type HTTP struct{}

const httpRoute = "POST /orders"

func (HTTP) operation() string { return httpRoute }

func (HTTP) serve(p *process) (service, error) {
	protect, err := idemhttp.New(p.guard, idemhttp.Scope(func(r *http.Request) (string, error) {
		return p.world.core.scope(r.Header.Get("X-Tenant")), nil
	}))
	if err != nil {
		return nil, err
	}
	s := &httpService{process: p, listener: bufconn.Listen(wireBuffer)}
	mux := http.NewServeMux()
	err = protect.Handle(mux, httpRoute, http.HandlerFunc(s.handle), p.world.core.policy(p.world.plan.policy(p.orphan)))
	if err != nil {
		return nil, err
	}
	s.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: p.world.limit(),
		ErrorLog:          slog.NewLogLogger(slog.NewTextHandler(&p.world.logs, nil), slog.LevelError),
	}
	s.client = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.listener.DialContext(ctx)
	}}
	p.world.links.Go(func() { _ = s.server.Serve(s.listener) })
	return s, nil
}

type httpService struct {
	process  *process
	listener *bufconn.Listener
	server   *http.Server
	client   *http.Transport
}

func (s *httpService) stop() {
	_ = s.server.Close()
	s.client.CloseIdleConnections()
}

func (s *httpService) handle(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.Header.Get("X-Call"))
	a := s.process.handle(r.Context(), s.process.world.call(number))
	w.Header().Set("Location", "/orders/"+a.body[1:2])
	w.WriteHeader(map[ending]int{
		succeeds: http.StatusCreated, declines: http.StatusPaymentRequired, releases: http.StatusOK,
		fails: http.StatusInternalServerError, wavers: http.StatusBadGateway,
	}[a.ending])
	_, _ = io.WriteString(w, a.body)
}

func (s *httpService) ask(ctx context.Context, c *call) heard {
	k := s.process.world.keys[c.key]
	body := strings.NewReader(fmt.Sprint("variant ", c.variant))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service/orders", body)
	if err != nil {
		return heard{err: err}
	}
	r.Header.Set("Idempotency-Key", k.name)
	r.Header.Set("X-Tenant", k.scope)
	r.Header.Set("X-Call", strconv.Itoa(c.number))
	resp, err := s.client.RoundTrip(r)
	if err != nil {
		return heard{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return heard{
		mark:   resp.Header.Get("Idempotency-Status"),
		status: resp.Status,
		header: resp.Header.Get("Location"),
		body:   string(text),
		err:    err,
	}
}
