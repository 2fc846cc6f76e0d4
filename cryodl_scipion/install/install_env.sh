#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make the engine's environment in HOME/env:   bash install_env.sh HOME
# Python comes from micromamba, mamba or conda if there is one, else from uv, else from a Python 3.11-3.13 with venv;
# the packages come from requirements.lock by pip, which honours pip's own configuration and CRYODL_PIP_ARGS (more
# arguments, for instance --extra-index-url of a CPU build of torch). The file cryodl-ready-<checksum of the lock> is written
# last, after a check: with it this script does nothing, without it HOME/env is made anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { echo "install_env.sh: give one folder, the home of the environment." >&2; exit 2; }
mkdir -p "$1"
home=$(cd "$1" && pwd)
env=$home/env
marker=$env/cryodl-ready-$(sha256sum "$here/requirements.lock" | cut -c1-12)
# What Scipion's Python, or a user's pip settings for himself, would leak into the new environment.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX
export PYTHONNOUSERSITE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "cryodl: $*"; }

check() { PYTHONPATH=$here/../engine "$env/bin/python" -m cryodl doctor; }

with_conda() { # PROGRAM: an environment with Python only
  say "making the environment with $1"
  rm -rf "$env"
  case $(basename "$1") in
    micromamba) "$1" create -y -q -p "$env" -f "$here/environment.yml" ;;
    *) "$1" env create -q -p "$env" -f "$here/environment.yml" ;;
  esac </dev/null
}

with_uv() { # WORDS that start uv
  say "making the environment with uv"
  rm -rf "$env"
  "$@" venv -q --python 3.11 "$env" &&
    { "$env/bin/python" -m ensurepip >/dev/null 2>&1 || "$@" pip install -q --python "$env/bin/python" pip; }
}

with_venv() { # PYTHON
  say "making the environment with $("$1" --version) ($1)"
  rm -rf "$env"
  "$1" -m venv "$env"
}

fits() { # PYTHON: is it there, and of a version that the lock can be installed for?
  command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

make_env() {
  local program python
  for program in micromamba mamba conda "${MAMBA_EXE:-}" "${CONDA_EXE:-}"; do
    if [ -n "$program" ] && command -v "$program" >/dev/null; then
      with_conda "$program" && return
      say "$program could not make an environment; trying the next way"
    fi
  done
  if command -v uv >/dev/null; then
    with_uv uv && return
    say "uv could not make an environment; trying the next way"
  elif [ -n "${CRYODL_SCIPION_PYTHON:-}" ] && "$CRYODL_SCIPION_PYTHON" -m uv --version >/dev/null 2>&1; then
    with_uv "$CRYODL_SCIPION_PYTHON" -m uv && return
    say "uv could not make an environment; trying the next way"
  fi
  for python in python3.11 python3.12 python3.13 python3; do
    if fits "$python"; then
      with_venv "$python" && return
      say "$python has no working venv (on Debian: apt-get install python3-venv); trying the next Python"
    fi
  done
  say "no way to get a Python 3.11, 3.12 or 3.13. Install conda, micromamba, uv, or Python 3.11 with venv (on Debian:" \
    "apt-get install python3-venv), or set CRYODL_PYTHON to a Python that has the packages of requirements.lock." >&2
  return 1
}

if command -v flock >/dev/null; then
  exec 9>"$home/.install-lock"
  flock -n 9 || { say "another installation in $home is running; waiting for it"; flock 9; }
fi
if [ -e "$marker" ] && [ -x "$env/bin/python" ]; then
  say "the environment in $env is ready"
  exit 0
fi
[ ! -e "$env" ] || say "$env is from a stopped installation or another version: it is made anew"
make_env
say "installing the packages of requirements.lock (several GB with the CUDA build of torch)"
packages() { # ARGUMENTS of pip
  # CRYODL_PIP_ARGS holds several words.
  # shellcheck disable=SC2086
  "$env/bin/python" -m pip install --no-input --progress-bar off "$@" ${CRYODL_PIP_ARGS:-}
}
packages --require-hashes --no-deps -r "$here/requirements.hashes"
packages --no-deps --only-binary torch --report "$env/torch.json" "$(grep ^torch== "$here/requirements.lock")"
# "hash": "sha256=..." is all that Debian 12's pip 23.0 writes; later ones add "sha256": "..."
checksum=$(grep -Eo 'sha256(=|": *")[0-9a-f]{64}' "$env/torch.json" | grep -Eo '[0-9a-f]{64}$' | sort -u || true)
if grep -q "sha256:${checksum:-unknown}" "$here/requirements.torch"; then
  cuda=$(grep -l '^Requires-Dist: nvidia' "$env"/lib/python*/site-packages/torch-*.dist-info/METADATA || true)
  # it is there already; what is missing are NVIDIA's packages
  [ -z "$cuda" ] || packages --require-hashes --no-deps -r "$here/requirements.torch"
elif [ -n "${CRYODL_PIP_ARGS:-}" ]; then
  say "this build of torch (sha256 ${checksum:-unknown}) is not in requirements.torch: nobody compared its checksum"
else
  say "pip brought a build of torch (sha256 ${checksum:-unknown}) that is not in requirements.torch, so it may not be used. If you" \
    "want it, name the index that has it: CRYODL_PIP_ARGS='--extra-index-url ...'." >&2
  exit 1
fi
packages -r "$here/requirements.lock"
# `import cryodl` works in the environment's own Python, too.
site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
[ ! -d "$site" ] || (cd "$here/../engine" && pwd) >"$site/cryodl.pth"
check || { say "the new environment in $env does not work; see above. It is not marked as ready." >&2; exit 1; }
: >"$marker"
real=$(readlink -f "$env/bin/python") own=${HOME:-/}
[[ $real != "$own"/* || $(readlink -f "$env") == "$own"/* ]] || say "its Python lies in your home ($real): users who cannot read" \
  "that cannot run cryodl. For them, remove $env and install with conda or with the system's Python."
say "the environment in $env is ready"
