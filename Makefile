# `make sweep` and `make test` set everything up by themselves: a virtual environment with the locked, hashed dependencies.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLOOR ?= .venv-floor
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=

.PHONY: sweep tables test test-slow test-browser test-gpu test-cluster test-faults faults-table test-floor fuzz mutants lint format types docs check lock ffmpeg clean

sweep: $(VENV)/.run  ## the default study: CASS on synthetic ECG
	$(BIN)/python studies/cass_alpha_sweep.py $(ARGS)

TABLES ?= $(basename $(notdir $(filter-out %/__init__.py,$(wildcard studies/tables/*.py))))
tables: $(VENV)/.run ffmpeg  ## short forms of the papers' tables, about ten minutes each, without a download: TABLES="cass_table_2 ..."
	@for table in $(TABLES); do $(BIN)/python studies/tables/$$table.py $(ARGS) || exit; done

test: $(VENV)/.test $(VENV)/.docs ffmpeg  ## the default tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.test $(VENV)/.docs ffmpeg  ## minutes of training
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder --timeout 900 $(ARGS)

test-browser: $(VENV)/.browser  ## MLflow's pages and the report, in the system's Chromium
	$(BIN)/python -m pytest -m browser --timeout 300 $(ARGS)

test-gpu: $(VENV)/.test  ## every separator and a study on a GPU
	$(BIN)/python -m pytest -m gpu --timeout 500 $(ARGS)

test-cluster: $(VENV)/.cluster  ## a study on two isolated Ray nodes, PostgreSQL, S3 and MLflow, with failures; needs PostgreSQL's programs
	PYTHON=$(BIN)/python infra/smoke.sh

FAULTS = $(BIN)/python -m tests.faults
test-faults: $(VENV)/.test  ## real studies with a fault at a random moment, hours in all; goes on where it stopped: JOBS= MINUTES= SEEDS= ROWS=
	$(FAULTS).campaign --jobs $(or $(JOBS),1) --seeds $(or $(SEEDS),5) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ROWS),--rows $(ROWS)) $(ARGS)

faults-table: $(VENV)/.test  ## the table of what test-faults has run, and what did not hold
	$(FAULTS).figures $(ARGS)

test-floor: $(FLOOR)/.test ffmpeg  ## the default tests with the oldest versions that pyproject.toml allows
	$(FLOOR)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: $(VENV)/.test ffmpeg  ## changed files to every reader of data: MINUTES=10 SEED= READERS=
	$(BIN)/python -m tests.hostile.fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(READERS),--readers $(READERS)) $(ARGS)

mutants: $(VENV)/.test ffmpeg  ## small changes of the code that no test notices: SAMPLE= SEED= ONLY= JOBS= GOAL= ALL=1 NEAR=1
	$(BIN)/python tests/mutants.py $(if $(ALL),--all) $(if $(NEAR),--near) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS)) $(if $(GOAL),--goal $(GOAL)) $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test
	$(BIN)/mypy

docs: $(VENV)/.docs  ## the documentation site, in site/
	$(BIN)/python -m zensical build --clean --strict

check: lint types docs test  ## all that CI does

lock: $(VENV)/.test  ## choose versions anew; needs uv
	for f in run test; do uv pip compile requirements/$$f.in --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-header --quiet --upgrade --output-file requirements/$$f.txt; done
	for f in docs browser cluster test-cluster; do uv pip compile requirements/$$f.in --constraints requirements/test.txt --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-header --quiet --upgrade --output-file requirements/$$f.txt; done
	# The same versions without hashes, for pip's -c, which takes no hashes beside an editable project.
	sed -nE 's/^([a-zA-Z0-9._-]+==[^ \\]+).*/\1/p' requirements/run.txt > requirements/constraints.txt

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sepray needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements/run.txt pyproject.toml setup.py
	@echo "installing the locked dependencies (a minute or two) ..."
	$(INSTALL) --require-hashes -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	$(INSTALL) --require-hashes -r requirements/test.txt
	touch $@

$(VENV)/.docs: $(VENV)/.run requirements/docs.txt
	$(INSTALL) --require-hashes -r requirements/docs.txt
	touch $@

$(VENV)/.browser: $(VENV)/.test requirements/browser.txt
	$(INSTALL) --require-hashes -r requirements/browser.txt
	touch $@

$(VENV)/.cluster: $(VENV)/.run requirements/test-cluster.txt
	$(INSTALL) --require-hashes -r requirements/test-cluster.txt
	touch $@

# Oldest versions of what pyproject.toml names, newest of what these need.
$(FLOOR)/.test: pyproject.toml
	$(PYTHON) -m venv --clear $(FLOOR)
	@echo "installing the oldest dependencies (7 GB) ..."
	$(FLOOR)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(FLOOR)/bin/uv pip compile pyproject.toml --extra test --resolution lowest-direct --python $(FLOOR)/bin/python \
		--no-emit-index-url --no-header --quiet --output-file $(FLOOR)/floor.txt
	$(FLOOR)/bin/uv pip install --quiet --compile-bytecode --python $(FLOOR)/bin/python -r $(FLOOR)/floor.txt
	$(FLOOR)/bin/uv pip install --quiet --python $(FLOOR)/bin/python --no-deps -e .
	touch $@

# museval imports only where ffmpeg and ffprobe are on the PATH.
ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || { echo "installing ffmpeg ..."; \
	if command -v apt-get >/dev/null; then s=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$s apt-get update -qq && $$s apt-get install -y -qq --no-install-recommends ffmpeg >/dev/null; \
	elif command -v dnf >/dev/null; then sudo dnf install -y -q ffmpeg-free; \
	elif command -v brew >/dev/null; then brew install --quiet ffmpeg; \
	else echo "ffmpeg and ffprobe are needed by museval: please install them"; exit 1; fi; }

clean:
	rm -rf $(VENV) $(FLOOR) site .mutants .fuzz .mypy_cache .ruff_cache .pytest_cache build *.egg-info
