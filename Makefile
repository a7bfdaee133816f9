# make demo      fresh machine to finished report, on drawn faces
# make test      fresh machine to tested
# make test-all  with the slow tests
# make parity    the network beside the same network in PyTorch
# make browser   the pages in the system's Chromium
# make app       a page on this machine for a video of your own, with the bundled network
# make lint      style, types, and the direction of the imports

VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/demo

# PYTHON is the environment's own, or else the first that is new enough.
NEW_ENOUGH := import sys, venv; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(or $(shell for python in $(RUN) python3 python3.14 python3.13 python3.12 python3.11; \
  do $$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done),python3)
endif
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
SAME := import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")
# Marks an environment made by this version; another version's would keep its own Python.
MADE := $(VENV)/made-by-python$(VERSION)

.PHONY: demo app test test-all parity browser lint clean

$(MADE):
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON) here; install Python 3.11 or" \
	  "newer (Ubuntu: apt-get install python3.11-venv), or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m datasets.errors  # the package checks Python and the system
	@$(RUN) -c '$(SAME)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runtime: requirements.txt pyproject.toml $(MADE)
	$(RUN) -m pip install -q -e .
	touch $@

$(VENV)/dev: requirements/dev.txt requirements/launch.txt requirements.txt $(MADE)
	$(RUN) -m pip install -q -e '.[dev]'
	touch $@ $(VENV)/runtime

$(VENV)/parity: requirements/parity.txt $(VENV)/dev
	$(RUN) -m pip install -q -e '.[parity]'
	touch $@

$(VENV)/app: requirements/app.txt requirements.txt $(MADE)
	$(RUN) -m pip install -q -e '.[app]'
	touch $@ $(VENV)/runtime

$(VENV)/browser: requirements/browser.txt requirements/app.txt $(VENV)/dev
	$(RUN) -m pip install -q -e '.[browser]'
	touch $@

demo: $(VENV)/runtime
	$(RUN) -m fdp_jax.train --dataset=synthetic --preset=small --group_folds=2 --workdir=$(DEMO)

app: $(VENV)/app
	$(RUN) -m fdp_jax.app

test: $(VENV)/dev
	$(RUN) -m pytest tests --ignore=tests/parity --ignore=tests/browser -n auto --dist loadfile \
	  --no-loadscope-reorder

test-all: $(VENV)/dev
	$(RUN) -m pytest tests --ignore=tests/parity --ignore=tests/browser -n auto --dist worksteal -m ""

parity: $(VENV)/parity
	$(RUN) -m pytest tests/parity

browser: $(VENV)/browser
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || \
	  { echo "error: Chromium is not installed (Debian: apt-get install chromium)." >&2; exit 1; }
	$(RUN) -m pytest tests/browser

lint: $(VENV)/dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) -m mypy

clean:
	rm -rf $(VENV)
