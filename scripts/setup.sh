# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by demo and test: everything they need, in the git-ignored folder .cryodl of the checkout.
# What is there already is not made again, so calling set_up twice is quick.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$top/.cryodl
# tk: without it pwem does not load, also where there is no display. xvfb: forms and viewers are tested on a virtual
# screen; its fonts come with fonts-dejavu-core. The rest is for Qt, which Scipion's own viewer of sets (micrographs,
# particles, classes) needs: without it a double click on them opens nothing.
debian_packages="python3 python3-venv python3-tk relion openmpi-bin xvfb xauth fonts-dejavu-core libgl1 libegl1
  libglib2.0-0 libdbus-1-3 libxkbcommon-x11-0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
  libxcb-shape0 libxcb-xinerama0 libxcb-xkb1"

say() { printf '\n== %s\n' "$*"; }

die() { printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

set_up() {
  # Scipion starts its own programs by unquoted paths (pyworkflow 3.11); only projects may have such names.
  local unusable='[[:space:]"$`%&;()*?<>|\\'"'"']'
  [[ ! $top =~ $unusable ]] || die "the folder $top has a space or another special character in its path," \
    "where Scipion cannot be installed. Move the clone to a folder without."
  mkdir -p "$work"
  system_packages
  scipion_environment
  settings
  engine_environment
}

system_packages() {
  local missing=() name as_root=()
  if ! command -v dpkg-query >/dev/null; then
    for name in python3 relion_refine mpirun Xvfb; do
      command -v "$name" >/dev/null || die "$name is not installed. On Debian 12 this script installs it; here" \
        "install python3 with venv and tk, RELION 3.1 or 4.0, Open MPI and Xvfb yourself."
    done
    return
  fi
  for name in $debian_packages; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || die "Debian packages are missing. Run this line, then this script again:

  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}
"
  fi
  say "Installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >"$work/apt.log" 2>&1 || { tail -20 "$work/apt.log"; die "apt-get failed; see $work/apt.log."; }
}

# A name that changes when one of the files does.
fingerprint() { cat "$@" | sha256sum | cut -c1-12; }

scipion_environment() {
  local stamp requirements=$top/scripts/requirements-scipion.txt
  # The folder's name is in it because a Python environment cannot be moved.
  stamp=$work/scipion/installed-$(echo "$top" | fingerprint - "$requirements" "$top/pyproject.toml")
  [ ! -e "$stamp" ] || [ ! -x "$work/scipion/bin/python" ] || return 0
  say "Installing Scipion and this plugin into .cryodl/scipion (2 to 5 minutes)"
  rm -rf "$work/scipion"
  env -u PYTHONPATH -u PYTHONHOME python3 -m venv "$work/scipion" || die "python3 -m venv failed."
  pip_install -r "$requirements"
  pip_install -e "$top"
  touch "$stamp"
}

pip_install() {
  env -u PYTHONPATH -u PYTHONHOME PIP_DISABLE_PIP_VERSION_CHECK=1 "$work/scipion/bin/python" -m pip install "$@" \
    >"$work/pip.log" 2>&1 || { tail -20 "$work/pip.log"; die "pip could not install $*; see $work/pip.log."; }
}

settings() { # A Scipion of our own: nothing of a Scipion that this user may have is read or changed.
  unset PYTHONPATH PYTHONHOME EM_ROOT SCIPION_SOFTWARE CRYODL_HOME VIEWERS
  export VIRTUAL_ENV=$work/scipion PATH=$work/scipion/bin:$PATH PYTHONNOUSERSITE=1
  export SCIPION_HOME=$work/home SCIPION_USER_DATA=$work/userdata SCIPION_DOMAIN=pwem SCIPION_NOTIFY=False
  export SCIPION_LOCAL_CONFIG=$work/home/config/scipion.conf SCIPION_TEST_NOSYNC=True
  mkdir -p "$SCIPION_HOME/config" "$SCIPION_HOME/software/em" "$SCIPION_USER_DATA/projects"
  SCIPION_HOSTS=$(echo "$work"/scipion/lib/python3*/site-packages/scipion/templates/hosts.template)
  export SCIPION_HOSTS
  # The relion plugin reads RELION's version from the folder's name.
  local version
  version=$(relion_refine --version 2>/dev/null | sed -n 's/.*RELION version: *\([0-9.]*[0-9]\).*/\1/p' | head -1)
  export RELION_HOME=$work/relion-${version:-3.1.3}
  mkdir -p "$RELION_HOME"
  ln -sfn "$(dirname "$(command -v relion_refine)")" "$RELION_HOME/bin"
  # Its plugin for tomograms takes RELION 3 for a folder whose name ends so, and every other for RELION 4.
  export RELIONTOMO_HOME=$work/relion-3.1
  ln -sfn "$RELION_HOME" "$RELIONTOMO_HOME"
}

engine_environment() {
  local script=$top/cryodl_scipion/install
  engine_home=$SCIPION_HOME/software/em/cryodl-$(sed -n 's/^ENV_VERSION = "\(.*\)"/\1/p' \
    "$top/cryodl_scipion/starting/environment.py")
  engine_python=${CRYODL_PYTHON:-$engine_home/env/bin/python}
  [ -z "${CRYODL_PYTHON:-}" ] || return 0
  [ ! -e "$engine_home/env/cryodl-ready-$(fingerprint "$script/requirements.lock")" ] || return 0
  say "Building the engine's environment: python -m scipion installb cryodl (1 to 10 minutes)"
  python -m scipion installb cryodl >"$work/installb.log" 2>&1 ||
    { tail -30 "$work/installb.log"; die "the engine's environment could not be built; see $work/installb.log."; }
  bash "$script/install_env.sh" "$engine_home"
}
