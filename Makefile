# make demo      fresh machine to finished report, on drawn faces
# make test      fresh machine to tested
# make test-all  with the slow tests
# make parity    the network beside the same network in PyTorch
# make browser   the pages in the system's Chromium
# make app       a page on this machine for a video of your own, with the network of `make demo`
# make lint      style, and the direction of the imports

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/demo

.PHONY: demo app demo-is-there test test-all parity browser lint clean

$(VENV)/runtime: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q -r requirements.txt
	touch $@

$(VENV)/dev: requirements/dev.txt requirements/launch.txt requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q -r requirements/dev.txt
	touch $@ $(VENV)/runtime

$(VENV)/parity: requirements/parity.txt $(VENV)/dev
	$(RUN) -m pip install -q -r requirements/parity.txt
	touch $@

$(VENV)/app: requirements/app.txt requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q -r requirements/app.txt
	touch $@ $(VENV)/runtime

$(VENV)/browser: requirements/browser.txt requirements/app.txt $(VENV)/dev
	$(RUN) -m pip install -q -r requirements/browser.txt
	touch $@

demo: $(VENV)/runtime
	$(RUN) -m fdp_jax.train --dataset=synthetic --preset=small --group_folds=2 --workdir=$(DEMO)

demo-is-there:
	@test -f $(DEMO)/config.json || \
	  { echo "error: there is no trained network in $(DEMO); run make demo first." >&2; exit 1; }

app: demo-is-there $(VENV)/app
	$(RUN) -m fdp_jax.app --checkpoint=$(DEMO)

test: $(VENV)/dev
	$(RUN) -m pytest tests --ignore=tests/parity --ignore=tests/browser -n auto --dist loadfile

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

clean:
	rm -rf $(VENV)
