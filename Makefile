# Needs Python >= 3.11 with pip, nothing else. Every target sets up .venv by itself, once.
#   make PYTHON=python3.12 test    picks the interpreter

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
PATHS := src tests $(wildcard benchmarks)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(READY)  ## see three models collapse for three reasons, and what their diagnosis advises cure them
	$(VENV)/bin/buttress demo

test: lint  ## ruff, mypy and the tests with doctests
	$(PY) -m pytest

lint: $(READY)  ## ruff and mypy only
	$(PY) -m ruff check $(PATHS)
	$(PY) -m ruff format --check $(PATHS)
	$(PY) -m mypy

format: $(READY)  ## sort imports, fix what ruff can fix, format
	$(PY) -m ruff check --fix $(PATHS)
	$(PY) -m ruff format $(PATHS)

clean:  ## remove .venv, caches and builds (runs stay)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp stands exactly while .venv is whole. It goes before anything is changed and comes back last, so a set-up
# that failed half-way starts from an empty .venv next time; a whole one is only brought up to date.
# --without-pip: for systems whose Python comes without ensurepip; pip then installs itself from outside.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"buttress needs Python 3.11 or newer, $(PYTHON) is {v[0]}.{v[1]}: try make PYTHON=python3.12 ...")'
	@if [ -e $@ ] && $(PY) -m pip --version >/dev/null 2>&1; then echo "Bringing $(VENV) up to date"; else \
		echo "Setting up $(VENV) (once; a few minutes)"; rm -f $@; \
		$(PYTHON) -m venv --clear $(VENV) 2>/dev/null || { \
			$(PYTHON) -m venv --clear --without-pip $(VENV) && \
			$(PYTHON) -m pip --python $(PY) install --quiet pip; }; fi
	@rm -f $@
	$(PY) -m pip install --quiet -r requirements.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
