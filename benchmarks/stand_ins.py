# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for packages of the engine that are missing: they can be imported, and say their name when they are used.

Networks need torch and numpy alone, but lie in files that import more.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

PACKAGES = ("accelerate", "matplotlib", "mrcfile", "PIL", "scipy", "skimage", "tifffile", "torch_ctf", "tqdm")


class _Absent(types.ModuleType):
    """A missing package, or anything of it."""

    __path__ = ()  # so that it has submodules

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")

    def __call__(self, *arguments, **more):
        package = self.__name__.split(".")[0]
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Absent(spec.name)

    def exec_module(self, module):
        """There is nothing to run."""


def stand_in() -> list[str]:
    """Put stand-ins in the place of the packages that are missing. Returns their names."""
    missing = [name for name in PACKAGES if not _is_there(name)]
    sys.meta_path.append(_Finder(missing))
    return missing


def _is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
