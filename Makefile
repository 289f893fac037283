# Every target sets up what it needs. `make` without a target lists them all.

PYTHON ?= python3
export PYTHON
# For the only program here that needs it, Home Assistant.
PYTHON313 ?= python3.13
# Options for the program that a target runs: make run ARGS="--set server.listen=:8080"
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the daemon here (the test card if there is no camera) and print its URL
	@tools/need run
	@tools/venv run
	@exec tools/run $(ARGS)

.PHONY: check
check: lint ## Lint, and run the tests that start no process: a minute, for every few lines
	.venv/bin/python -m pytest --quiet --numprocesses auto -m "not process" $(ARGS)

.PHONY: test
test: ## Run every test that needs no second system, and print the coverage
	@tools/need test
	@tools/venv dev
	@tools/ntfy
	@tools/test $(ARGS)

.PHONY: fuzz
fuzz: ## Run the hypothesis tests with new examples, for 10 minutes (ARGS="--seconds 60")
	@tools/need fuzz
	@tools/venv dev
	@exec .venv/bin/python -m tests.fuzz $(ARGS)

.PHONY: soak
soak: ## Run everything against one daemon at once, for 30 minutes (ARGS="--minutes 2")
	@tools/need soak
	@tools/venv dev
	@exec .venv/bin/python -m tests.soak $(ARGS)

.PHONY: test-appliance
test-appliance: ## Run the tests on booted Debian systems (needs root, half an hour)
	@tools/need test-appliance
	@tools/venv dev
	.venv/bin/python -m pytest -s tests/appliance $(ARGS)

.PHONY: test-homeassistant
test-homeassistant: ## Run the tests with a real Home Assistant (installs it: 500 MB, needs Python 3.13)
	@tools/need test-homeassistant
	@tools/venv dev
	@tools/homeassistant "$(PYTHON313)"
	.venv/bin/python -m pytest -s tests/homeassistant $(ARGS)

.PHONY: lint
lint: ## Check style, types and scripts
	@tools/need run
	@tools/venv dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/shellcheck .ci/run $(filter-out %.txt,$(wildcard tools/*)) \
		$(wildcard debian/*.p*) $(filter-out %/control,$(wildcard debian/tests/*))

.PHONY: bench
bench: ## Measure everything, and compare it with the targets (15 minutes, best as root)
	@tools/need bench
	@tools/venv dev
	@tools/ntfy
	@exec .venv/bin/python -m bench $(ARGS)

.PHONY: venv
venv: ## Make .venv with everything for development
	@tools/need run
	@tools/venv dev

.PHONY: deb
deb: ## Build ./doorbelld.deb, the Debian package for this machine
	@tools/need deb
	@tools/deb "$$(dpkg --print-architecture)"
	@ln -f dist/doorbelld_*_"$$(dpkg --print-architecture)".deb doorbelld.deb

.PHONY: debs
debs: ## Build the packages for amd64, arm64 and armhf into dist/, and check them
	@tools/need debs
	@tools/deb amd64 arm64 armhf
	lintian --pedantic --fail-on error,warning dist/*.deb

.PHONY: locks
locks: ## Update the pinned requirements (ARGS=--upgrade for newer versions)
	@tools/lock $(ARGS)

.PHONY: clean
clean: ## Remove everything that make has built
	rm -rf .venv .cache .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf build dist doorbelld.deb *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
