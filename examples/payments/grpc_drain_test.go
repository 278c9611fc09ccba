package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// P6, F10: as over HTTP, on connections that are open and on new ones.
func TestGRPC_DrainFinishesRunningCallsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	service := launch(t, "-grpc-wait", "0s")
	acme := service.caller(t, "acme")
	require.NoError(t, acme.pay(t.Context(), "tok_visa", "done").err)
	health := healthpb.NewHealthClient(service.dial(t))
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	got, err := watch.Recv()
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, got.GetStatus())
	reflection, err := reflectionpb.NewServerReflectionClient(service.dial(t)).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, reflection.Send(&reflectionpb.ServerReflectionRequest{}), "a stream that nobody ends")

	running := acme.running(t, func() answer { return acme.pay(t.Context(), "tok_slow_4s", "running") })
	flowing, err := acme.client.CreatePayments(acme.with(t.Context(), "flowing"), several("tok_visa", "tok_slow_4s"))
	require.NoError(t, err)
	_, err = flowing.Recv()
	require.NoError(t, err)
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	got, err = watch.Recv()
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, got.GetStatus())
	_, err = watch.Recv()
	assert.Equal(t, "DRAINING", answer{err: err}.reason())

	for _, from := range []caller{acme, service.caller(t, "acme")} { // the latter has no connection yet
		for name, got := range map[string]answer{
			"new":       from.pay(t.Context(), "tok_visa", "new"),
			"replay":    from.pay(t.Context(), "tok_visa", "done"),
			"duplicate": from.pay(t.Context(), "tok_slow_4s", "running"),
			"stream":    from.stream(t.Context(), several("tok_visa"), "stream"),
			"keyless":   from.pay(t.Context(), "tok_visa"),
			"read":      from.read(t.Context(), "pay_1"),
			"stranger":  caller{from.client, ""}.pay(t.Context(), "tok_visa", "k"),
		} {
			assert.Equal(t, codes.Unavailable, got.code(), "%s: %v", name, got.err)
			assert.Equal(t, "DRAINING", got.reason(), name)
			assert.Equal(t, time.Second, got.pause(), name)
			assert.Equal(t, []string{"rejected"}, got.trailer.Get("idempotency-status"), name)
			assert.Equal(t, []string{"1000"}, got.trailer.Get("grpc-retry-pushback-ms"), name)
		}
	}
	_, err = health.Check(t.Context(), &healthpb.HealthCheckRequest{})
	assert.Equal(t, "DRAINING", answer{err: err}.reason())

	require.NoError(t, arrived(t, running).err)
	_, err = flowing.Recv()
	require.NoError(t, err, "the last payment of the stream")
	assert.Zero(t, service.exit(t), service.stderr.String())
}

// P7.
func TestGRPC_DrainLimitEndsWithStatus1(t *testing.T) {
	t.Parallel()
	service := launch(t, "-grpc-wait", "0s")
	acme := service.caller(t, "acme")
	heeding := acme.running(t, func() answer { return acme.pay(t.Context(), "tok_slow_60s", "slow") })
	deaf := acme.running(t, func() answer { return acme.pay(t.Context(), "tok_stubborn_60s", "deaf") })
	began := time.Now()
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Equal(t, "INTERRUPTED", arrived(t, heeding).reason())
	assert.Equal(t, 1, service.exit(t))
	assert.InDelta(t, drainLimit.Seconds(), time.Since(began).Seconds(), 2)
	assert.Contains(t, service.stderr.String(), "still running after 10s")
	assert.Equal(t, codes.Unavailable, arrived(t, deaf).code(), "the connection was cut")
}

// An HTTP request keeps the gRPC listener open, and the other way round.
func TestGRPC_DrainWaitsForBothTransports(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, service *instance, acme caller) (ended func())
	}{
		{"for HTTP", func(t *testing.T, service *instance, _ caller) func() {
			running := service.sendRunning(t, post("acme", "k", "tok_slow_2s"))
			return func() { assert.Equal(t, 201, receive(t, running).status) }
		}},
		{"for gRPC", func(t *testing.T, _ *instance, acme caller) func() {
			running := acme.running(t, func() answer { return acme.pay(t.Context(), "tok_slow_2s", "k") })
			return func() { assert.NoError(t, arrived(t, running).err) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			service := launch(t, "-grpc-wait", "0s")
			acme := service.caller(t, "acme")
			ended := test.run(t, service, acme)
			require.NoError(t, service.process.Signal(syscall.SIGTERM))
			require.Eventually(t, func() bool { return acme.read(t.Context(), "pay_1").reason() == "DRAINING" },
				5*time.Second, 5*time.Millisecond)
			assert.Equal(t, "draining", service.send(t, get("", "/healthz")).code())
			assert.Equal(t, "DRAINING", acme.read(t.Context(), "pay_1").reason())
			ended()
			assert.Zero(t, service.exit(t), service.stderr.String())
		})
	}
}

// A duplicate that waits is told at once to ask another instance.
func TestGRPC_DrainEndsTheWaitOfDuplicates(t *testing.T) {
	t.Parallel()
	service := launch(t, "-log", "text", "-admin", "127.0.0.1:0", "-grpc-wait", "1m")
	acme := service.caller(t, "acme")
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- acme.pay(t.Context(), "tok_slow_3s", "k") }()
	}
	awaitRecord(t, adminOf(t, service), `"waiters":true`)
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Equal(t, "DRAINING", arrived(t, answers).reason())
	require.NoError(t, arrived(t, answers).err)
	assert.Zero(t, service.exit(t), service.stderr.String())
}

func TestGRPC_OffMeansNoListener(t *testing.T) {
	t.Parallel()
	service := launch(t, "-grpc", "")
	assert.Equal(t, "off", service.grpc)
	assert.Equal(t, 201, service.send(t, post("acme", "k", "tok_visa")).status)
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Zero(t, service.exit(t))
	address := strings.TrimPrefix(service.url, "http://")
	assert.Equal(t, "READY http="+address+" grpc=off store=memory\n", service.stdout.String())
}

func TestGRPC_PortInUseIsOneLineAndStatus1(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	service := launchRaw(t, "-http", "127.0.0.1:0", "-grpc", taken.Addr().String())
	assert.Equal(t, 1, service.exit(t))
	assert.Empty(t, service.stdout.String())
	assert.Contains(t, service.stderr.String(), taken.Addr().String()+": bind: address already in use")
	assert.Equal(t, 1, strings.Count(service.stderr.String(), "\n"), service.stderr.String())
}
