# make quickstart   fresh machine -> corpus -> tokenizer -> dataset -> 2-rank training -> HF model -> a completion
# make test         everything the tests need, then the tests
# make bench        the benchmarks that need nothing but this machine (BENCHMARKS="sfim scrub" for some of them)
# make gpu-check    on a GPU: build, GPU tests, benchmarks of ops and training steps, in under nine minutes
# Variables: VENV (folder), PYTHON (3.11 or newer), TORCH (version), TORCH_INDEX (another package index for torch alone,
# for instance the one of the smaller CPU builds), ARGS (for `aixmeg quickstart`, or for pytest), TEST_WORKERS (processes
# that run tests; many tests start several ranks each)
VENV ?= .venv
PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
ARGS ?=
TEST_WORKERS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
SOURCES := $(shell find csrc -type f) setup.py pyproject.toml

.PHONY: quickstart install tree-sitter dev test lint format bench gpu-check clean

quickstart: install
	@$(BIN)/aixmeg quickstart $(ARGS)

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(f"aixmeg needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@command -v $${CXX:-g++} >/dev/null || { echo "no C++ compiler: apt-get install g++, or set CXX"; exit 1; }
	@echo "environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv"; exit 1; }
	@echo "installing $(TORCH)"
	@$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@touch $@

# torch stays as it is; csrc/ is built inside this step, and again when one of its files changes
$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	@echo "installing aixmeg and what it needs, building csrc/"
	@$(PIP) install "setuptools>=77"
	@$(PIP) install --no-build-isolation -e .
	@$(MAKE) -s tree-sitter VENV=$(VENV)
	@touch $@

# Source of the installed tree-sitter's core, for the native walk of syntax trees; without it Python walks them, slower
tree-sitter:
	@release=$$($(BIN)/python -c 'import importlib.metadata as m; print(m.version("tree-sitter"))') && \
	{ test -d build/tree-sitter/tree_sitter-$$release || { mkdir -p build/tree-sitter && \
	$(PIP) download --no-deps --no-binary tree-sitter --no-build-isolation -d build/tree-sitter tree-sitter==$$release && \
	tar -xzf build/tree-sitter/tree_sitter-$$release.tar.gz -C build/tree-sitter; }; } \
	|| echo "no source of tree-sitter: syntax trees will be walked in Python (aixmeg doctor shows it)"
	@$(BIN)/python setup.py -q build_ext --inplace

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing the development tools"
	@$(PIP) install --no-build-isolation -e '.[dev]'
	@touch $@

test: dev
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.inc' | xargs $(BIN)/clang-format --dry-run -Werror

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.inc' | xargs $(BIN)/clang-format -i

# Each writes tools/benchmark/results/NAME.json; on real corpora and beside peers: `tools/benchmark/NAME.py --help`
BENCHMARKS ?= ops_cpu syntax_trees sfim tokenization near_dedup scrub corpus_filters corpus_build sources
bench: dev
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python tools/benchmark/$$name.py || exit 1; done

# On a machine with a GPU, with the Python that has a CUDA torch; nothing is installed. WHEELS: see tools/gather_wheels.py
WHEELS ?=
gpu-check:
	$(PYTHON) tools/gpu_check.py $(if $(WHEELS),--wheels $(WHEELS)) $(ARGS)

clean:
	rm -rf build quickstart aixmeg.egg-info aixmeg/ops/*.so aixmeg/native/*.so
