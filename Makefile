# `make demo` runs the main job, `make test` the tests; both make their own environment in .venv the first time.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Processes that run the tests, each file of tests in one of them.
JOBS ?= 2

.PHONY: demo test test-all lint format bench bench-reference clean

demo: $(VENV)/.installed
	$(BIN)/python -m apps.action_recognition.demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m apps.action_recognition.benchmark

bench-reference: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -m apps.action_recognition.reference_benchmark

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "kapps needs Python 3.11; name it with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some minutes and 3 GB, most of it TensorFlow"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@
