package bench_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	fiberredis "github.com/gofiber/storage/redis/v3"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/reprise-go/reprise/internal/redistest"
)

// fiberOn is Fiber's middleware in front of the same handler, on memory if there is
// no server. It takes no fingerprint, and its locks are this process's.
func fiberOn(b *testing.B, srv *redistest.Server, size int) fasthttp.RequestHandler {
	b.Helper()
	var config idempotency.Config
	if srv != nil {
		host, port, err := net.SplitHostPort(srv.Addr())
		require.NoError(b, err)
		number, err := strconv.Atoi(port)
		require.NoError(b, err)
		storage := fiberredis.New(fiberredis.Config{Host: host, Port: number})
		b.Cleanup(func() { require.NoError(b, storage.Close()) })
		config.Storage = storage
	}
	body := make([]byte, size)
	app := fiber.New()
	app.Use(idempotency.New(config))
	app.Post("/v1/payments", func(c fiber.Ctx) error {
		c.Set("Content-Type", "application/octet-stream")
		return c.Status(fiber.StatusCreated).Send(body)
	})
	return app.Handler()
}

// fiberPoster calls the handler without a socket.
type fiberPoster struct {
	handler fasthttp.RequestHandler
	size    int
	ctx     fasthttp.RequestCtx
}

func newFiberPoster(handler fasthttp.RequestHandler, size int) *fiberPoster {
	p := &fiberPoster{handler: handler, size: size}
	p.ctx.Request.Header.SetMethod(fiber.MethodPost)
	p.ctx.Request.SetRequestURI("/v1/payments?a=1")
	p.ctx.Request.Header.SetContentType("application/json")
	p.ctx.Request.SetBodyString(requestBody)
	return p
}

func (p *fiberPoster) post(key string) error {
	p.ctx.Request.Header.Set("X-Idempotency-Key", key)
	p.ctx.Response.Reset()
	p.handler(&p.ctx)
	if code, got := p.ctx.Response.StatusCode(), len(p.ctx.Response.Body()); code != fiber.StatusCreated || got != p.size {
		return fmt.Errorf("answer is %d with %d bytes", code, got)
	}
	return nil
}

func fiberReplaying(b *testing.B, srv *redistest.Server, size int) way {
	b.Helper()
	handler := fiberOn(b, srv, size)
	return way{"Fiber", func(caller int) func() error {
		// Its storage has one name space for all sizes.
		p, key := newFiberPoster(handler, size), fmt.Sprintf("%08d-%027d", size, caller)
		require.NoError(b, p.post(key))
		return func() error { return p.post(key) }
	}}
}

func fiberExecuting(b *testing.B, srv *redistest.Server, size int) way {
	b.Helper()
	handler := fiberOn(b, srv, size)
	return way{"Fiber", func(int) func() error {
		p := newFiberPoster(handler, size)
		return func() error { return p.post(freshKey()) }
	}}
}
