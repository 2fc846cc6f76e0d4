#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Maintainers, after lock.sh: write requirements.licences, the licence that each package of requirements.lock states.
#   bash licences.sh PYTHON      PYTHON: of an environment with these packages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
"$1" - >requirements.licences.new <<'END'
from importlib.metadata import metadata

print("# Licences of the packages in requirements.lock, as their own metadata state them. Made by licences.sh.")
for line in open("requirements.lock"):
    name, _, version = line.strip().partition("==")
    if version:
        said = metadata(name)
        licence = said.get("License-Expression") or " AND ".join(
            row.split(" :: ")[-1] for row in said.get_all("Classifier") or [] if row.startswith("License ::")
        )
        print(f"{name}=={version}: {licence or (said.get('License') or 'not stated').splitlines()[0]}")
END
mv requirements.licences.new requirements.licences
