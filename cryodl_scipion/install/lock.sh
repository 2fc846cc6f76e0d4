#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Maintainers: make requirements.lock anew from requirements.in with uv, and from the lock the checksums of all files:
# requirements.hashes, and requirements.torch of torch's builds and of what the one for CUDA needs. Add to the last one by
# hand what https://download.pytorch.org/whl/cpu/torch/ says of the CPU builds. More arguments go to `uv pip compile`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
{
  echo "# The engine's packages, exactly. Made by lock.sh from requirements.in for Python 3.11."
  echo "# torch is named without a local label: on the public index that is the CUDA build, whose own metadata pins the"
  echo "# nvidia-* and triton packages that it needs; they are not repeated here, since a CPU build needs none of them."
  echo "# Another build: CRYODL_PIP_ARGS='--extra-index-url ...' with the index that has it (docs/install.md)."
  # nvidia-*, triton and cuda-* come along by torch's metadata.
  uv pip compile -q --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links "$@" \
    requirements.in | sed 's/+[a-z0-9.]*$//' | grep -vE '^(nvidia-|triton|cuda-)'
} >requirements.lock.new
mv requirements.lock.new requirements.lock
{
  echo "# Checksums of the packages in requirements.lock, but torch. Made by lock.sh; install_env.sh holds pip to them."
  grep -vE '^(#|torch==)' requirements.lock | uv pip compile -q --python-version 3.11 --no-deps --generate-hashes \
    --no-annotate --no-header --no-emit-index-url --no-emit-find-links "$@" -
} >requirements.hashes.new
mv requirements.hashes.new requirements.hashes
{
  echo "# Checksums of torch, also of its CPU builds, and of the packages for CUDA that it needs on Linux. Made by lock.sh."
  grep '^torch==' requirements.lock | uv pip compile -q --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header --no-emit-index-url --no-emit-find-links -c requirements.lock "$@" - |
    awk '/==/ { ours = $0 ~ /^(torch|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } ours'
} >requirements.torch.new
mv requirements.torch.new requirements.torch
