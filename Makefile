# The two commands that matter first: make demo, make test.
SHELL := /bin/bash
GO    ?= go
BIN   := bin/hanse
export CGO_ENABLED ?= 0

.PHONY: help build test race verify chart demo bench e2e e2e-matrix e2e-kube bench-kube kube-up kube-image kube-down fuzz sim generate clean

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build bin/hanse and bin/demo
	$(GO) build -o $(BIN) ./cmd/hanse
	$(GO) build -o bin/demo ./deploy/demo

test: ## Run all tests, those with a real Envoy included
	@envoy="$$(deploy/scripts/envoy.sh)" && HANSE_ENVOY="$$envoy" $(GO) test ./...

race: ## Run all tests with the race detector (needs a C compiler)
	@envoy="$$(deploy/scripts/envoy.sh)" && HANSE_ENVOY="$$envoy" CGO_ENABLED=1 $(GO) test -race ./...

verify: ## Check format, vet, lint, chart, generated files, import rules, package comments
	deploy/scripts/verify.sh

chart: ## Lint the Helm chart, and compare what Helm renders with what 'hanse cluster join' applies
	@helm="$$($(GO) tool -modfile=tools/helm.mod -n helm)" && HANSE_HELM="$$helm" $(GO) test -count=1 ./deploy/helm

demo: build ## Three regions, real Envoys: calls, failover, outage (KEEP=1 leaves it running)
	@envoy="$$(deploy/scripts/envoy.sh)" && exec bin/demo -hanse $(BIN) -envoy "$$envoy" $(if $(KEEP),-keep)

bench: build ## Measure how fast a change travels from one region's workload to another region's Envoy
	@envoy="$$(deploy/scripts/envoy.sh)" && exec bin/demo -hanse $(BIN) -envoy "$$envoy" -bench

# One suite at a time: each wants the machine for itself.
E2E = mkdir -p .run && envoy="$$(deploy/scripts/envoy.sh)" && HANSE_ENVOY="$$envoy" HANSE_BINARY="$(CURDIR)/$(BIN)" \
	HANSE_MATRIX_JSON="$(CURDIR)/.run/matrix.json" $(1) $(GO) test -tags e2e -p 1 -count=1 -timeout 60m -v

SUITES ?= ./e2e/...

e2e: build ## Break real processes and the network between them: kill -9 under writes, torn logs, many nodes, bad input, the fault matrix
	@$(call E2E,) $(SUITES)

e2e-matrix: build ## Run the fault matrix alone and write its table into BENCHMARKS.md (ROW=part_of_a_name runs some rows and writes nothing)
	@$(call E2E,HANSE_MATRIX_WRITE="$(CURDIR)/BENCHMARKS.md") -run 'TestMatrix/./$(ROW)' ./e2e/matrix

KUBE_DIR := $(CURDIR)/.run/kube

e2e-kube: build ## Test against real Kubernetes clusters, as root (CLUSTERS=3, PROXY_MODE=iptables, RUN=TestMCS; KUBECONFIGS=a,b for clusters that are there)
	@envoy="$$(deploy/scripts/envoy.sh)" && HANSE_ENVOY="$$envoy" HANSE_BINARY="$(CURDIR)/$(BIN)" \
	$(GO) test -tags e2ekube -count=1 -timeout 60m -v $(if $(RUN),-run '$(RUN)') ./e2e/kube

bench-kube: build ## Measure what 1,000 exported services cost an agent, and how soon a change is in another cluster's Envoy
	@envoy="$$(deploy/scripts/envoy.sh)" && $(GO) run ./e2e/kube/bench -hanse $(BIN) -envoy "$$envoy" $(BENCH)

kube-up: build ## Bring up real Kubernetes clusters as root, joined by a network that can be slowed and cut (CLUSTERS=2)
	@$(GO) build -o bin/kubelab ./e2e/kube/kubelab
	@envoy="$$(deploy/scripts/envoy.sh)" && mkdir -p $(KUBE_DIR) && rm -f $(KUBE_DIR)/up.log && \
	{ setsid nohup bin/kubelab -clusters $(or $(CLUSTERS),2) -dir $(KUBE_DIR)/lab -hanse $(BIN) -envoy "$$envoy" >$(KUBE_DIR)/up.log 2>&1 </dev/null & } && \
	pid=$$! && echo $$pid >$(KUBE_DIR)/pid && \
	while kill -0 $$pid 2>/dev/null && ! grep -q '^export HOME' $(KUBE_DIR)/up.log; do sleep 0.2; done && cat $(KUBE_DIR)/up.log && kill -0 $$pid

kube-image: build ## Give the clusters of kube-up the hanse binary as it is now; delete Hanse's pods to run it
	@kill -USR1 $$(cat $(KUBE_DIR)/pid)

kube-down: ## Take the clusters of kube-up down
	@pid=$$(cat $(KUBE_DIR)/pid 2>/dev/null) && kill $$pid && while kill -0 $$pid 2>/dev/null; do sleep 0.2; done; rm -f $(KUBE_DIR)/pid

fuzz: build ## Fuzz the REST API of three nodes by its OpenAPI document (EXAMPLES=10 for each operation and phase)
	@tool="$$(deploy/scripts/schemathesis.sh)" && HANSE_SCHEMATHESIS="$$tool" HANSE_FUZZ_EXAMPLES="$(EXAMPLES)" HANSE_BINARY="$(CURDIR)/$(BIN)" \
	$(GO) test -tags e2e -count=1 -timeout 60m -v -run 'TestFuzz$$' ./e2e

sim: ## Simulate more federations than make test does (SEEDS=100000, FIRST=1)
	$(GO) test ./e2e/sim -count=1 -timeout 0 -run 'TestSeeds$$' -seeds $(or $(SEEDS),10000) -first $(or $(FIRST),1) -v

generate: ## Generate code from api/proto, and the REST API's document with its Go client
	$(GO) tool -modfile=tools/buf.mod buf generate
	$(GO) run ./deploy/openapi >api/openapi.json
	@mkdir -p .cache && $(GO) run ./deploy/openapi -client >.cache/openapi-client.json
	$(GO) tool -modfile=tools/oapi.mod oapi-codegen -config api/client/oapi-codegen.yaml .cache/openapi-client.json

clean: ## Remove what was built and what the demo left
	rm -rf bin .cache .run
