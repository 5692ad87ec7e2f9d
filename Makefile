# Set-up, the demo, the tests. Everything else is `basalt --help`.
#
#   make demo        set up, then the whole loop on the embedded world
#                    (without a GPU: make demo TORCH_INDEX=URL of the CPU wheels, see README)
#   make ui          the judging app on what the demo made
#   make test        set up, then all tests (make test-long: the slow ones)
#   make lint        style and types

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Where torch comes from: the URL of a wheel index, or a folder of wheels. Remembered in .venv; pip's own
# choice (PyPI) where none was ever given.
CHOSEN_INDEX := $(shell cat $(VENV)/.torch-index 2>/dev/null)
TORCH_INDEX  ?= $(CHOSEN_INDEX)
export TORCH_INDEX

# An environment whose Python is gone or was replaced by another release's is made again.
CLEAR := $(shell [ ! -e $(READY) ] || $(BIN)/python -I -c 'import basalt' >/dev/null 2>&1 || echo --clear)

# Processes that share the tests: one of them runs those with an engine, another those with a browser.
TEST_JOBS ?= 2

# Debian packages: the engine with its game (these names are also in basalt/worlds/luanti/game.py), a virtual
# screen, software OpenGL, a C compiler for the clock shim; for the tests a browser, PostgreSQL and the program of SQLite.
RELEASE         := $(shell . /etc/os-release && echo $$VERSION_CODENAME)
ENGINE_PACKAGES := $(if $(filter bookworm noble,$(RELEASE)),minetest minetest-data,luanti luanti-game-minetest)
RUN_PACKAGES  := python3-venv $(ENGINE_PACKAGES) xvfb libgl1-mesa-dri gcc libc6-dev
TEST_PACKAGES := chromium fonts-dejavu-core postgresql sqlite3

.PHONY: demo ui test test-long lint docs setup setup-test clean

demo: setup
	$(BIN)/basalt demo

ui: setup
	$(BIN)/basalt ui

test: setup-test
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup --no-loadscope-reorder

# Ray, submitit and the other libraries are large and only these tests need them.
test-long: setup-test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,ray,slurm,libraries]'
	$(BIN)/python -m pytest -m long --timeout 3600

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The documentation site in site/; a broken link or an unknown reference is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

setup: packages-run $(READY)

setup-test: packages-run packages-test $(READY)

# Install the Debian packages that are missing, where we may; otherwise say which.
define ensure_packages
	@missing=""; \
	for package in $(1); do \
	  dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=""; \
	  elif command -v sudo >/dev/null 2>&1; then sudo=sudo; \
	  else echo "missing Debian packages; as root: apt-get install -y --no-install-recommends$$missing" >&2; exit 1; fi; \
	  echo "installing Debian packages:$$missing"; \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
endef

.PHONY: packages-run packages-test
packages-run:
	$(call ensure_packages,$(RUN_PACKAGES))

packages-test: packages-run
	$(call ensure_packages,$(TEST_PACKAGES))

# Torch first and alone, so that nothing else chooses another build of it.
$(READY): pyproject.toml constraints.txt | packages-run
	$(PYTHON) -m venv $(VENV) $(CLEAR)
	$(BIN)/python tools/install_torch.py "$$TORCH_INDEX"
	@printf '%s\n' "$$TORCH_INDEX" > $(VENV)/.torch-index
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

ifneq ($(CLEAR)$(TORCH_INDEX),$(CHOSEN_INDEX))
.PHONY: $(READY)
endif

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache
