# make test    all tests, with the race detector and real servers
# make proof   the proofs under faults at full size   DURATION=30s of each run of chaos
# make lint    formatting, vet, linters, module files, generated code
# make generate  the Go code of all .proto files
# make bench   benchmarks            BENCH=regexp COUNT=n
# make fuzz    every fuzz target     FUZZTIME=15s
# make cover   statement coverage of protocol, stores and engine, each at least MIN_COVER %

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test
MAKEFLAGS += --no-builtin-rules --no-print-directory

GOLANGCI_VERSION := v2.15.0
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
TEST_TIMEOUT ?= 10m
ALONE := ./internal/conformance ./internal/topology
# What runs once more with the store's options, in half a minute; but not what counts
# commands, as LocalCache adds a PTTL to each claim.
WITH_OPTIONS := ConformanceOnRedis|Replay|Herd|Waiting|Concurren|Levels|Lifecycle|Outcome|Transport
FUZZTIME ?= 15s
BENCH ?= .
COUNT ?= 1
MIN_COVER ?= 90
# The protocol, the stores and the engine, each by its own tests. The middleware
# is tested over sockets, in internal/conformance.
COVERED := ./store ./store/memstore ./store/redisstore ./idempotency ./internal/lease ./lock ./lock/memlock ./lock/redislock

BIN := $(CURDIR)/bin
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
PROTOC_GEN_GO := $(BIN)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION)
PROTOC_GEN_GO_GRPC := $(BIN)/protoc-gen-go-grpc-$(PROTOC_GEN_GO_GRPC_VERSION)
# Each go.mod is a module of its own, which the commands of another do not see.
MODULES := $(sort $(patsubst %/,%,$(dir $(shell find . -name go.mod -not -path '*/.*/*' -not -path '*/testdata/*'))))
# $(call each_module,command) runs a command in each of them, to the first failure.
each_module = for dir in $(MODULES); do echo "── $$dir"; (cd "$$dir" && $(1)) || exit 1; done

.PHONY: test
test: needed
	@# -count=1: tests start programs that they build themselves, of which the test cache knows nothing.
	@# These two by themselves: they look at times, and start a dozen servers under load.
	@REPRISE_REQUIRE_SERVERS=1 go test -race -count=1 -p 1 -timeout $(TEST_TIMEOUT) $(ALONE)
	@$(call each_module,REPRISE_REQUIRE_SERVERS=1 go test -race -count=1 -timeout $(TEST_TIMEOUT) $$(go list ./... | grep -v $(ALONE:./%=-e %)))
	@echo "── once more with AutoPipeline and LocalCache"
	@REPRISE_OPTIONS=auto-pipeline,local-cache REPRISE_REQUIRE_SERVERS=1 go test -count=1 -p 1 -timeout $(TEST_TIMEOUT) -run '$(WITH_OPTIONS)' -skip 'CostTheSameRoundTrips' ./store/redisstore ./internal/conformance
	@echo "── what is counted in bytes and allocations, without the race detector"
	@REPRISE_REQUIRE_SERVERS=1 go test -count=1 -timeout $(TEST_TIMEOUT) -run 'Allocations|Capacity' ./idempotency/idemhttp
	@echo "── ./internal/proof/simulation with many seeds, without the race detector"
	@cd internal/proof && go test -timeout $(TEST_TIMEOUT) -v -run 'TestSimulationOfManySeeds' ./simulation

# The layers that break the world around the protocol, at full size: half an hour
# on two cores that do nothing else. Each by itself is `make proof-chaos` and so
# on; what it did, and how often, is in its output. A layer's own variables (SEEDS,
# OPERATIONS, DURATION) make it larger or smaller.
DURATION ?= 30s
PROOF_TIMEOUT ?= 90m
PROVE = REPRISE_PROOF=full REPRISE_REQUIRE_SERVERS=1 DURATION=$(DURATION) go test -count=1 -v -timeout $(PROOF_TIMEOUT)
LAYERS := teeth model simulation simulation-race bubble linearizability topology chaos

.PHONY: proof $(LAYERS:%=proof-%)
proof: $(LAYERS:%=proof-%)
$(LAYERS:%=proof-%): needed
proof-teeth:           ; @cd internal/proof && $(PROVE) ./teeth
proof-model:           ; @cd internal/proof && $(PROVE) ./model
proof-simulation:      ; @cd internal/proof && $(PROVE) ./simulation
proof-simulation-race: ; @cd internal/proof && $(PROVE) -race -run 'TestSimulationOfManySeeds' ./simulation
proof-bubble:          ; @cd internal/proof && $(PROVE) ./bubble
proof-linearizability: ; @cd internal/proof && $(PROVE) ./linearizability
proof-topology:        ; @$(PROVE) ./internal/topology
proof-chaos:           ; @cd internal/proof && $(PROVE) ./chaos

# What the tests need besides Go, installed where it is missing and can be
# (Debian or Ubuntu, as root): a Redis server, the C compiler that the race
# detector links with, and what stands before or behind a service in the tests
# of other people's software: nginx, HAProxy, a browser and curl; and
# Spin, which searches the model of the protocol. Whether the packaged
# services run does not matter: tests start their own, on ports of their own.
.PHONY: needed
needed:
	@packages=; PATH="$$PATH:/usr/sbin:/sbin"; \
	need() { command -v "$$1" >/dev/null || packages="$$packages $$2"; }; \
	need redis-server redis-server; \
	need "$$(go env CC)" "gcc libc6-dev"; \
	need nginx nginx-light; \
	need haproxy haproxy; \
	need chromium chromium; \
	need curl curl; \
	need spin spin; \
	[ -z "$$packages" ] && exit 0; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
		echo "missing, and not installed for want of apt-get or root:$$packages" >&2; exit 1; \
	fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$packages

.PHONY: lint
lint: $(GOLANGCI) generated
	@unformatted="$$(gofmt -l .)"; [ -z "$$unformatted" ] || { echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; }
	@$(call each_module,go mod tidy -diff)
	@$(call each_module,go mod verify)
	@$(call each_module,go vet ./...)
	@$(call each_module,$(GOLANGCI) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...)

# protoc is whatever the system has (Debian or Ubuntu: installed as root where it
# is missing, with the files that it imports); what it writes is the plugins'.
.PHONY: generate generated protoc
generate: protoc $(PROTOC_GEN_GO) $(PROTOC_GEN_GO_GRPC)
	@PROTOC_GEN_GO=$(PROTOC_GEN_GO) PROTOC_GEN_GO_GRPC=$(PROTOC_GEN_GO_GRPC) .ci/generate

generated: protoc $(PROTOC_GEN_GO) $(PROTOC_GEN_GO_GRPC)
	@PROTOC_GEN_GO=$(PROTOC_GEN_GO) PROTOC_GEN_GO_GRPC=$(PROTOC_GEN_GO_GRPC) .ci/generate --check

# A probe rather than a look for the files: they are found relative to protoc.
protoc:
	@probe="$$(mktemp -d)"; trap 'rm -rf "$$probe"' EXIT; \
	echo 'syntax = "proto3"; import public "google/protobuf/descriptor.proto";' >"$$probe/probe.proto"; \
	works() { protoc -I "$$probe" -o /dev/null "$$probe/probe.proto" >/dev/null 2>&1; }; \
	works && exit 0; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
		echo "missing, and not installed for want of apt-get or root: protobuf-compiler libprotobuf-dev" >&2; exit 1; \
	fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends protobuf-compiler libprotobuf-dev; \
	works

$(PROTOC_GEN_GO):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)
	@mv $(BIN)/protoc-gen-go $@

$(PROTOC_GEN_GO_GRPC):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)
	@mv $(BIN)/protoc-gen-go-grpc $@

$(GOLANGCI):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(BIN)/golangci-lint $@

.PHONY: bench
bench: needed
	@$(call each_module,REPRISE_REQUIRE_SERVERS=1 go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...)

# `go test -fuzz` takes one target of one package at a time.
.PHONY: fuzz
fuzz:
	@$(call each_module,$(CURDIR)/.ci/fuzz $(FUZZTIME))

.PHONY: cover
cover: needed
	@REPRISE_REQUIRE_SERVERS=1 go test -timeout $(TEST_TIMEOUT) -cover $(COVERED) | tee coverage.log
	@awk -v min=$(MIN_COVER) '/coverage:/ { for (i = 1; i < NF; i++) if ($$i == "coverage:" && $$(i+1) + 0 < min) { print "covered below " min " %: " $$2; bad = 1 } } END { exit bad }' coverage.log
