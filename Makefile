# `make sweep` and `make test` set everything up by themselves: a virtual environment with the locked, hashed dependencies.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLOOR ?= .venv-floor
TOOLS ?= .venv-tools
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Locked files with hashes. What is no wheel is built by what is locked in build.txt, not by what pip would fetch for it.
LOCKED := $(INSTALL) --require-hashes --no-build-isolation -r
UV := $(TOOLS)/bin/uv
ARGS ?=
TESTS := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: sweep tables pretrained test test-slow test-browser test-gpu test-cluster test-faults faults-table test-floor fuzz mutants lint format types docs check licences release lock ffmpeg clean

sweep: $(VENV)/.run  ## the default study: CASS on synthetic ECG
	$(BIN)/python studies/cass_alpha_sweep.py $(ARGS)

TABLES ?= $(basename $(notdir $(filter-out %/__init__.py,$(wildcard studies/tables/*.py))))
tables: $(VENV)/.run ffmpeg  ## short forms of the papers' tables, about ten minutes each, without a download: TABLES="cass_table_2 ..."
	@for table in $(TABLES); do $(BIN)/python studies/tables/$$table.py $(ARGS) || exit; done

pretrained: $(VENV)/.run  ## a model that comes with sepray, of a registered one: NAME=ecg MODEL=models:/cass-ecg@champion
	$(BIN)/python -m sepray.models.make_pretrained $(NAME) $(MODEL) $(ARGS)

test: $(VENV)/.test $(VENV)/.docs ffmpeg  ## the default tests
	$(BIN)/python $(TESTS) $(ARGS)

test-slow: $(VENV)/.test $(VENV)/.docs ffmpeg  ## minutes of training
	$(BIN)/python $(TESTS) -m slow --timeout 900 $(ARGS)

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
	$(FLOOR)/bin/python $(TESTS) $(ARGS)

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

licences: $(VENV)/.run $(TOOLS)/.made  ## whether what a user installs has licences that pyproject.toml allows
	$(TOOLS)/bin/pip-licenses --python $(BIN)/python --packages $$(sed 's/==.*//' requirements/constraints.txt) \
		--format csv > $(TOOLS)/licences.csv

release: licences  ## dist/: the wheel, what it is made of (CycloneDX), and the digests of both
	rm -rf dist build
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m pip wheel --quiet --disable-pip-version-check \
		--no-deps --no-index --no-build-isolation --wheel-dir dist .
	PYTHONWARNINGS=ignore $(TOOLS)/bin/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --mc-type library --output-reproducible \
		--output-format JSON --output-file dist/$$(basename dist/*.whl .whl).cdx.json
	$(TOOLS)/bin/python requirements/without_index.py dist/*.cdx.json
	cp $(TOOLS)/licences.csv dist/
	cd dist && sha256sum * > SHA256SUMS && cat SHA256SUMS

lock: $(TOOLS)/.made  ## choose versions anew
	for f in run test; do $(UV) pip compile requirements/$$f.in --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-header --quiet --upgrade --output-file requirements/$$f.txt; done
	for f in docs browser cluster test-cluster; do $(UV) pip compile requirements/$$f.in --constraints requirements/test.txt --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-header --quiet --upgrade --output-file requirements/$$f.txt; done
	for f in build tools; do $(UV) pip compile requirements/$$f.in --constraints requirements/run.txt --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-header --quiet --upgrade --output-file requirements/$$f.txt; done
	# The same versions without hashes, for pip's -c, which takes no hashes beside an editable project.
	sed -nE 's/^([a-zA-Z0-9._-]+==[^ \\]+).*/\1/p' requirements/run.txt > requirements/constraints.txt

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sepray needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements/build.txt requirements/run.txt pyproject.toml setup.py
	@echo "installing the locked dependencies (a minute or two) ..."
	$(LOCKED) requirements/build.txt
	$(LOCKED) requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	$(LOCKED) requirements/test.txt
	touch $@

$(VENV)/.docs: $(VENV)/.run requirements/docs.txt
	$(LOCKED) requirements/docs.txt
	touch $@

$(VENV)/.browser: $(VENV)/.test requirements/browser.txt
	$(LOCKED) requirements/browser.txt
	touch $@

$(VENV)/.cluster: $(VENV)/.run requirements/test-cluster.txt
	$(LOCKED) requirements/test-cluster.txt
	touch $@

# Programs that are no part of sepray's environment: what they need would change what is tested there.
$(TOOLS)/.made: requirements/tools.txt
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/tools.txt
	touch $@

# Oldest versions of what pyproject.toml names, newest of what these need.
$(FLOOR)/.test: pyproject.toml | $(TOOLS)/.made
	$(PYTHON) -m venv --clear $(FLOOR)
	@echo "installing the oldest dependencies (7 GB) ..."
	$(UV) pip compile pyproject.toml --extra test --resolution lowest-direct --python $(FLOOR)/bin/python \
		--no-emit-index-url --no-header --quiet --output-file $(FLOOR)/floor.txt
	$(UV) pip install --quiet --compile-bytecode --python $(FLOOR)/bin/python -r $(FLOOR)/floor.txt
	$(UV) pip install --quiet --python $(FLOOR)/bin/python --no-deps -e .
	touch $@

# museval imports only where ffmpeg and ffprobe are on the PATH.
ffmpeg:
	@sh tests/need_ffmpeg.sh

clean:
	rm -rf $(VENV) $(FLOOR) $(TOOLS) site dist .mutants .fuzz .mypy_cache .ruff_cache .pytest_cache build *.egg-info
