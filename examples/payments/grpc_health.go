package main

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
	"github.com/reprise-go/reprise/idempotency"
)

// watchEvery is how often health is asked for while somebody watches it.
const watchEvery = time.Second

// grpcHealth says over gRPC what /healthz says over HTTP, of the server as a
// whole ("") and of the payment service.
type grpcHealth struct {
	healthpb.UnimplementedHealthServer

	guard *idempotency.Guard
	gate  *gate
	log   *slog.Logger
}

// Check implements [healthpb.HealthServer].
func (h *grpcHealth) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	now := h.status(ctx, in.GetService())
	if now == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Error(codes.NotFound, "there is no such service")
	}
	return &healthpb.HealthCheckResponse{Status: now}, nil
}

// Watch implements [healthpb.HealthServer]. A drain is the last that it tells.
func (h *grpcHealth) Watch(in *healthpb.HealthCheckRequest, out grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	told := healthpb.HealthCheckResponse_UNKNOWN
	for ended := false; ; {
		now := h.status(out.Context(), in.GetService())
		if now != told {
			if err := out.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			told = now
		}
		if ended {
			return draining(out.Context())
		}
		select {
		case <-tick.C:
		case <-h.gate.shut:
			ended = true
		case <-out.Context().Done():
			return status.FromContextError(out.Context().Err()).Err()
		}
	}
}

func (h *grpcHealth) status(ctx context.Context, service string) healthpb.HealthCheckResponse_ServingStatus {
	if service != "" && service != paymentspb.PaymentService_ServiceDesc.ServiceName {
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	}
	if h.gate.isShut() {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	if err := h.guard.Health(ctx); err != nil {
		h.log.Warn("unhealthy", "error", err)
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}
