#!/usr/bin/env bash
# All that needs a GPU, in one go of under seven minutes, the most telling first.
#
#   bash benchmarks/gpu.sh [OUT]            # OUT: build/gpu
#   bash benchmarks/gpu.sh OUT --parts=correctness,convolutions_jax
#   bash benchmarks/gpu.sh OUT --small      # A dry run on a CPU, some minutes.
#
# Needs jax[cuda], flax, optax, numba, etils, absl-py, pillow, torch, triton and
# numpy, no network, and no van_jax installed. OUT gets results.json, table.md,
# profile.md, log.txt and tests.txt, written anew with every row, so that what
# was measured before a stop is there. benchmarks/gpu/parts.py has the parts;
# expected seconds on an H200 with 16 cores, of 400, not measured yet:
#
#   correctness         60  operations, VAN-B0's logits and gradients
#   models_bfloat16    150  B0 (60), B2 (90): step and inference, a profile;
#                           torch.compile has had the minute before as well
#   convolutions_jax    60  each depthwise shape of B0 to B2: B0's 30, B2's 30
#   convolutions_torch  20  the same
#   tests               40  tests/ops, tests/models, on CPUs
#   models_float32      70  TF32 on both sides; what fits of B0 and B2
#   convolutions_float32 -  ours alone, if 20 s are left
#   flag_...             -  B0 under one of XLA's flags, each if 30 s are left
#   max_autotune         -  torch.compile's longest search, if 90 s are left
#
# XLA and Inductor keep what they compile in OUT/../gpu_cache: a second go on the
# same machine compiles little. --seconds=N sets the whole clock.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

out=build/gpu
if [[ $# -gt 0 && $1 != --* ]]; then
  out=$1
  shift
fi
[[ ${VAN_SMALL:-} == 1 ]] && set -- "$@" --small
mkdir -p "$out" || exit
cache=$(cd "$(dirname "$out")" && pwd)/gpu_cache
python=${PYTHON:-python3}

export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# Others want memory too; the fraction is how much it may grow to.
export XLA_PYTHON_CLIENT_PREALLOCATE=false XLA_PYTHON_CLIENT_MEM_FRACTION=0.95
export JAX_COMPILATION_CACHE_DIR=$cache/jax
export TORCHINDUCTOR_CACHE_DIR=$cache/inductor TRITON_CACHE_DIR=$cache/triton
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-1}

if [[ " $* " == *" --small "* ]]; then
  # LLVM's passes would be most of a dry run's time.
  export JAX_PLATFORMS=cpu XLA_FLAGS="--xla_backend_optimization_level=0"
elif [[ ! -e /usr/local/cuda/nvvm/libdevice ]] && nvcc=$(command -v nvcc); then
  # XLA looks for ptxas and libdevice in /usr/local/cuda alone.
  toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  export XLA_FLAGS="${XLA_FLAGS:-} --xla_gpu_cuda_data_dir=$toolkit"
fi

"$python" -m benchmarks.gpu.run "$out" "$@" 2>&1 | tee "$out/log.txt"
exit "${PIPESTATUS[0]}"
