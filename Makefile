# Everything a fresh machine needs: `make run` serves, `make test` judges. `make help` lists the rest.

SHELL := /bin/bash
# The system's Python where it is new enough: distributions build theirs with the compiler's profiles, version managers
# mostly do not, and the servers answer some percent slower on those. PYTHON=... takes another.
PYTHON ?= $(shell [ "$$(uname)" = Linux ] && /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin

REDIS_PORT ?= 6379
KAFKA_PORT ?= 9092
CONSOLE_PORT ?= 8404
DATA_DIR ?= data

.DEFAULT_GOAL := help
.PHONY: help run test check sim crash chaos fuzz oracle golden bench readme clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  with REDIS_PORT=$(REDIS_PORT) KAFKA_PORT=$(KAFKA_PORT) CONSOLE_PORT=$(CONSOLE_PORT) DATA_DIR=$(DATA_DIR)"

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V): make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: Python's venv is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml
	@echo "installing into $(VENV) (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[metrics]' && touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	@echo "installing what the tests need into $(VENV) (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]' && touch $@ $(VENV)/.run

define HINTS

  miniredis   127.0.0.1:$(REDIS_PORT)   redis-cli -p $(REDIS_PORT) ping
  minikafka   127.0.0.1:$(KAFKA_PORT)   kcat -b 127.0.0.1:$(KAFKA_PORT) -L
  python                       redis.Redis(port=$(REDIS_PORT)).set("greeting", "hello")
                               confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:$(KAFKA_PORT)"})
  metrics                      http://127.0.0.1:$(CONSOLE_PORT)/metrics and http://127.0.0.1:$(CONSOLE_PORT_2)/metrics
  data                         $(DATA_DIR)/redis and $(DATA_DIR)/kafka        Ctrl-C stops both

endef
export HINTS
CONSOLE_PORT_2 = $(shell echo $$(( $(CONSOLE_PORT) + 1 )))

run: $(VENV)/.run ## start miniredis and minikafka; Ctrl-C stops both
	@mkdir -p "$(DATA_DIR)/redis" "$(DATA_DIR)/kafka" && [ -w "$(DATA_DIR)/redis" ] && [ -w "$(DATA_DIR)/kafka" ] || \
	  { echo "make: cannot write to DATA_DIR=$(DATA_DIR): choose another, make run DATA_DIR=..."; exit 1; }
	@ready=$$(mktemp -d); trap 'rm -rf "$$ready"' EXIT; \
	stopping=; trap 'stopping=1; kill $$redis $$kafka 2>/dev/null' INT TERM; \
	$(BIN)/miniredis --port $(REDIS_PORT) --dir "$(DATA_DIR)/redis" --console-port $(CONSOLE_PORT) \
	  --exit-with-parent --ready-file "$$ready/redis" & redis=$$!; \
	$(BIN)/minikafka --port $(KAFKA_PORT) --data-dir "$(DATA_DIR)/kafka" --override console.port=$(CONSOLE_PORT_2) \
	  --exit-with-parent --ready-file "$$ready/kafka" & kafka=$$!; \
	until [ -e "$$ready/redis" ] && [ -e "$$ready/kafka" ] || ! kill -0 $$redis 2>/dev/null || ! kill -0 $$kafka 2>/dev/null; \
	  do sleep 0.02; done; \
	if [ -e "$$ready/redis" ] && [ -e "$$ready/kafka" ]; then echo "$$HINTS"; wait -n; fi; \
	kill $$redis $$kafka 2>/dev/null; wait $$redis $$kafka 2>/dev/null; \
	[ -n "$$stopping" ]

test: $(VENV)/.dev ## every test; those that need a real server or client skip without it
	$(BIN)/python -m pytest

check: $(VENV)/.dev ## ruff, mypy --strict, the laws of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/house

SEEDS ?= 1-300

sim: $(VENV)/.dev ## simulations; SEEDS=1-300 of the store, or one of them, told in full; PLANTED=all: bugs to be found
	$(BIN)/python -m tests.sim.seeds $(SEEDS)
	SEEDS=1-2 $(BIN)/python -m pytest tests/sim

CRASH_IMAGES ?= 20000
CRASH_REAL_IMAGES ?= 2000

crash: $(VENV)/.dev ## 20,000 images of a disk after a loss of power, for each fsync policy; redis-server's beside
	CRASH_IMAGES=$(CRASH_IMAGES) CRASH_REAL_IMAGES=$(CRASH_REAL_IMAGES) \
	  $(BIN)/python -m pytest tests/crash -n 0 -s --timeout 7200

CHAOS_SECONDS ?= 60

chaos: $(VENV)/.dev ## miniredis killed and cut off from its replicas under clients, a minute of each; what they saw is judged
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(BIN)/python -m pytest tests/chaos -n0 -s

FUZZ_INPUTS ?= 1000000
# Whoever reads what a stranger sends; what a generated decoder is made of is decoders.py's.
PARSERS := protocol/resp/parser.py,protocol/resp/shapes.py,protocol/resp/inline.py,protocol/resp/reader.py,$\
	protocol/kafka/codegen.py,protocol/kafka/decoders.py,protocol/kafka/primitives.py,protocol/kafka/schema.py,$\
	protocol/kafka/batch.py,protocol/kafka/records.py

fuzz: $(VENV)/.dev ## a million inputs for each parser, and what of the parsers the first thousands of them reach
	@mkdir -p .cache; FUZZ_INPUTS=10000 COVERAGE_FILE=.cache/coverage.fuzz $(BIN)/coverage run --branch --include=$(PARSERS) -m pytest tests/fuzz -k "not hostile"
	@COVERAGE_FILE=.cache/coverage.fuzz $(BIN)/coverage report --fail-under=90; status=$$?; rm -f .cache/coverage.fuzz; exit $$status
	FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest tests/fuzz --timeout 3600 -n 2

oracle: $(VENV)/.dev ## play every script to the real servers and to ours
	$(BIN)/python -m pytest tests/oracle tests/clients

bench: $(VENV)/.dev ## ours beside the real servers, alternating; a table of ratios
	$(BIN)/python -m bench.compare

readme: $(VENV)/.run ## write the generated tables of README.md anew
	$(BIN)/python -m tests.house.readme

clean: ## remove what was made, but not DATA_DIR
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
