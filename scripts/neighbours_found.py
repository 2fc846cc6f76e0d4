# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Scipion finds of each plugin, and which classes of two plugins have one name. Started by check_neighbours."""

import collections
import os
import sys

import pyworkflow as pw

pw.Config.setDomain("pwem")
domain = pw.Config.getDomain()
domain.getPlugins()


def main() -> None:
    """Print the protocols of each plugin; exit code 1 if ours are not all there."""
    found = collections.Counter(c.__module__.split(".")[0] for c in domain.getProtocols().values())
    for name in sorted(domain.getPlugins()):
        print(f"{name:<16} {found.get(name, 0):4d} protocols")
    ours = [c for c in domain.getProtocols().values() if c.__module__.startswith("cryodl_scipion")]
    lost = [c.__name__ for c in ours if domain.getProtocols()[c.__name__] is not c]
    print(f"ours that another plugin hides: {', '.join(lost) or 'none'}")
    sys.stdout.flush()
    os._exit(0 if ours and not lost else 1)  # pyworkflow leaves threads behind


main()
