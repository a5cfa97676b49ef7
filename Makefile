# Two commands do all set-up: `make conformance` and `make test`. Both need Python 3.11+, git and, for the namespaces, Linux.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 5
BIN := $(VENV)/bin
EXAMPLES := harness/machineid_conformance/examples/machineid-conformance.toml

# A machine may forbid it; but without it every session of the harness, and every worker of the tests, compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: conformance test lint matrix bench soak pictures clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV) || { rm -f $@; echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

# What the tests need includes what the main job needs: who asks for this first waits for pip once.
$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $(VENV)/installed $@

# The main job on two bundled runtimes: one that keeps the rules, and one that does not. Both must come out as expected.
conformance: $(VENV)/installed
	$(BIN)/machineid-conformance run --config $(EXAMPLES) --target worker --report .machineid-conformance/worker
	@echo
	@echo "And a worker that validates once and goes on when the control plane is away: it must not pass."
	$(BIN)/machineid-conformance run --config $(EXAMPLES) --target careless-worker --report .machineid-conformance/careless; \
		status=$$?; test $$status -eq 1 || { echo "expected exit code 1 (non-conforming), got $$status" >&2; exit 1; }
	@echo "As expected: worker is conforming, careless-worker is not."

# More workers than cores: a test that runs a session or a server waits for most of its time. The library of target time and the kill
# matrix go by themselves: the one measures waits, the other fills the cores, and what it judges has deadlines. tests/docker needs an engine (.ci/docker starts one).
test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/matrix --ignore tests/dilation --ignore tests/docker
	$(BIN)/python -m pytest tests/dilation tests/matrix

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The kill matrix alone: every bundled runtime against every rule.
matrix: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/matrix -q

# What the harness and the fake cost, each beside a peer or a floor measured in the same run. On a quiet machine.
bench: $(VENV)/installed-test
	$(BIN)/python -m tests.bench.cost
	$(BIN)/python -m tests.bench.catalogue
	$(BIN)/python -m tests.bench.catalogue --sweep all
	$(BIN)/python -m tests.bench.waiting
	$(BIN)/python -m tests.bench.validate
	$(BIN)/python -m tests.bench.memory

# The repetitions that CI has no time for: see python -m tests.soak --help.
soak: $(VENV)/installed-test
	$(BIN)/python -m tests.soak all

# The terminal pictures of README.md, from real runs.
pictures: $(VENV)/installed
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) dist build .machineid-conformance .mypy_cache .ruff_cache
