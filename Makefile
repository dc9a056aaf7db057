# `make demo` and `make test` work from a fresh clone; both make the environment in .venv first.
PYTHON ?= python3
BIN = .venv/bin
OUT ?= demo-out
TESTS ?=
JOBS ?= 2
export HF_HUB_OFFLINE = 1

.PHONY: install demo test lint docs clean

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[engine,service,tracing,dev]'
	touch $@

demo: install
	$(BIN)/counterpoise demo --out $(OUT)

test: install
	$(BIN)/pytest -n $(JOBS) $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(BIN)/zensical build --strict

clean:
	rm -rf .venv $(OUT) site .cache
