# Two commands: `make demo` and `make test`. Both set up .venv by themselves, from Python 3.11+ and make alone.
#   TORCH_INDEX=https://...   another index for torch's wheel (e.g. the CPU or a CUDA index of pytorch.org)
#   PYTHON=python3.12         another interpreter

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint types check bench upgrade clean

demo: $(READY)
	$(BIN)/worldloom demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

check: lint types test

bench: $(READY)
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "worldloom needs Python 3.11 or newer (set PYTHON=...)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ echo "cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@echo "installing worldloom into .venv (about 3 GB, a few minutes) ..."
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -c constraints.txt hatchling editables
	$(PIP) -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

upgrade: $(READY)
	$(PIP) --upgrade --no-build-isolation -e '.[dev]' "$$(grep '^torch==' constraints.txt)"
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv runs dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
