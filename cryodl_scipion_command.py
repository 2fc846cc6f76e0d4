# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cryodl` of the installed plugin. Standard library only: importing the plugin would start Scipion.

It lies beside the package because importing anything inside runs the package's own file, which imports Scipion. Its
name comes after the package's in the alphabet: Scipion's installer takes the first name for the plugin.
"""

import importlib
import os
import sys
import types
from typing import Any

PACKAGE = "cryodl_scipion"


def main() -> Any:
    """Start the engine with this process's arguments; does not return unless there is no environment."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), PACKAGE)
    if PACKAGE not in sys.modules:  # the package without its own file, so that its parts can be imported alone
        package = types.ModuleType(PACKAGE)
        package.__path__ = [folder]
        sys.modules[PACKAGE] = package
    return importlib.import_module(PACKAGE + ".starting.command_line").main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
