# `make train` and `make test` need nothing but Python 3.11, 3.12 or 3.13: what
# TensorFlow has wheels for. The newest that works is taken.

WORKS := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
  if $$python -c '$(WORKS)' 2>/dev/null; then echo $$python; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt

# The compiler of TPUs, 680 MB: in a folder of its own, as with it among the
# others JAX would look for TPUs whenever it starts.
LIBTPU := $(VENV)/libtpu
# Those alone are collected: there are thousands of others.
TPU_TESTS = $(shell grep -rl --include='test_*.py' 'pytest\.mark\.tpu' tests)

# The compiler of NVIDIA's GPUs, 570 MB, likewise: JAX's plugin, what it loads,
# and CUDA's assembler, the newest for CUDA 12.
CUDA := $(VENV)/cuda
NVCC := nvidia-cuda-nvcc-cu12==12.9.86

.PHONY: train test libtpu test-tpu cuda test-cuda check docs clean

train: $(VENV)/.train
	$(BIN)/python train.py --config=configs/digits.py --workdir=runs/digits

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile

libtpu: $(LIBTPU)/.installed

test-tpu: $(VENV)/.test $(LIBTPU)/.installed
	PYTHONPATH=$(abspath $(LIBTPU)) $(BIN)/python -m pytest -n auto --dist worksteal -m tpu \
	  $(TPU_TESTS)

cuda: $(CUDA)/.installed

test-cuda: $(VENV)/.test $(CUDA)/.installed
	PYTHONPATH=$(abspath $(CUDA)) $(BIN)/python -m pytest \
	  tests/ops/gpu/test_gpu_depthwise_compile.py

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# Into build/site; a warning, or a page that would load anything from another
# host, is an error; with --quiet, warnings would be none. Material's banner
# about MkDocs 2 is left out.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	@$(or $(PYTHON),false) -c '$(WORKS)' 2>/dev/null || { echo "error:" \
	  "$(or $(PYTHON),python3) is not Python 3.11, 3.12 or 3.13 with venv;" \
	  "install one, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e .
	touch $@

$(VENV)/.test: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e ".[test]"
	touch $@ $(VENV)/.train

$(VENV)/.docs: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e ".[docs]"
	touch $@ $(VENV)/.train

$(LIBTPU)/.installed: $(CONSTRAINTS) | $(VENV)/.test
	rm -rf $(LIBTPU)
	$(BIN)/python -m pip install --quiet --no-deps -c $(CONSTRAINTS) \
	  --target $(LIBTPU) "$$($(BIN)/python -c 'from van_jax.parallel import \
	  absent; print(absent.needed_by_jax("tpu", "libtpu"))')"
	touch $@

$(CUDA)/.installed: $(CONSTRAINTS) | $(VENV)/.test
	rm -rf $(CUDA)
	version=$$($(BIN)/python -c 'import jax; print(jax.__version__)') && \
	  $(BIN)/python -m pip install --quiet --no-deps -c $(CONSTRAINTS) \
	  --target $(CUDA) $(NVCC) jax-cuda12-plugin==$$version \
	  jax-cuda12-pjrt==$$version
	touch $@
