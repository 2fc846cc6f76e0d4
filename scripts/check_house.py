#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to each protocol, command and network, and is not there; see CONTRIBUTING.md.

python scripts/check_house.py [FOLDER]    lists what is missing in a checkout, and exits 1 if anything is.
"""

import ast
import importlib
import re
import sys
import typing
from pathlib import Path

# Commands whose protocols are tested with the engine itself.
REALLY_RUN = ("report", "select-classes")
Lines = typing.Iterator[str]


class House:
    """The texts of a checkout, and its contract."""

    def __init__(self, top: Path) -> None:
        self.plugin, self.engine = top / "cryodl_scipion", top / "cryodl_scipion" / "engine" / "cryodl"
        self.protocols = self.plugin / "protocols"
        self.plugin_tests = text_of(self.plugin / "tests", "test_*.py")
        self.answers = text_of(self.plugin / "tests", "fake_*.py")
        self.engine_tests = text_of(self.engine.parent / "tests", "*.py")
        sys.path.insert(0, str(self.engine.parent))
        self.contract = importlib.import_module("cryodl.contract")

    def place(self, path: Path) -> str:
        return str(path.relative_to(self.plugin.parent))


def text_of(folder: Path, pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob(pattern)))


def classes(path: Path) -> typing.Iterator[ast.ClassDef]:
    return (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef))


def says(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def of_protocols(house: House) -> Lines:
    """What protocols lack: import, place in Scipion's tree, docstring, test."""
    imported = (house.protocols / "__init__.py").read_text(encoding="utf-8")
    tree = (house.plugin / "protocols.conf").read_text(encoding="utf-8")
    names = set()
    for path in sorted(house.protocols.rglob("*.py")):
        for node in classes(path):
            own = [n for n in node.body if isinstance(n, (ast.Assign, ast.AnnAssign)) and n.value]
            own = [getattr(t, "id", "") for n in own for t in (n.targets if isinstance(n, ast.Assign) else [n.target])]
            if "_label" not in own:
                continue  # a base that Scipion does not show
            names.add(node.name)
            where = f"{house.place(path)}: {node.name}"
            if not says(imported, node.name):
                yield f"{where} is not imported in protocols/__init__.py, so that Scipion does not find it."
            if f'"{node.name}"' not in tree:
                yield f"{where} is not listed in protocols.conf, so that it stands nowhere in Scipion's tree."
            if not ast.get_docstring(node):
                yield f"{where} has no docstring, of which its page and its help are made."
            if not says(house.plugin_tests, node.name):
                yield f"{where} is in no test of cryodl_scipion/tests."
    for name in sorted(set(re.findall(r'"value": "(\w+)"', tree)) - names):
        yield f"protocols.conf: there is no protocol {name}."


def of_commands(house: House) -> Lines:
    """What commands lack: function, example, protocol, fake answer, test; and those without a row."""
    configs, protocols = set(), text_of(house.protocols, "*.py")
    for name, row in house.contract.EVERY_COMMAND.items():
        configs.add(row.config.__name__)
        module = house.engine / (row.module.replace(".", "/") + ".py")
        if not module.exists():
            yield f"{name}: there is no {house.place(module)}, where it is done."
        if row.outputs is None:
            continue  # doctor: it only reports
        if not issubclass(row.config, house.contract.Config):
            yield f"{name}: {row.config.__name__} is no Config, so that its values cannot be checked together."
        if not row.example:
            yield f"{name}: its row has no example for --help."
        if f'"{name}"' not in house.engine_tests and not says(house.engine_tests, row.config.__name__):
            yield f'{name}: neither "{name}" nor {row.config.__name__} is in a test of cryodl_scipion/engine/tests.'
        run = says(protocols, row.config.__name__)
        if row.form and not row.dev and not run:
            yield f"{name}: no protocol runs it. If none is wanted, its row says form=False."
        if run and f'"{name}"' not in house.answers and name not in REALLY_RUN:
            yield f"{name}: the fake engine has no answer; put one in WORK of a fake_*.py in cryodl_scipion/tests."
    for path in sorted((house.engine / "contract").rglob("*.py")):
        found = [node.name for node in classes(path)]
        for name in found:
            if name.endswith("Config") and name[:-6] + "Outputs" in found and name not in configs:
                yield f"{house.place(path)}: {name} and its outputs have no row in COMMANDS."


def of_networks(house: House) -> Lines:
    """Networks of the registry without their class."""
    for row in house.contract.NETWORKS:
        path = house.engine / (row.module.replace(".", "/") + ".py")
        if row.method not in [node.name for node in classes(path)]:
            yield f"{house.place(path)}: NETWORKS names the {row.kind} {row.name}, and there is no class {row.method}."


def of_stub(house: House) -> Lines:
    """Whether the functions that editors and mypy see are those of the contract."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    path = house.engine / "__init__.pyi"
    if not path.exists() or path.read_text(encoding="utf-8") != importlib.import_module("reference").stub():
        yield f"{house.place(path)} is not that of the contract. Run: python scripts/reference.py --stub"


def main() -> int:
    house = House(Path(sys.argv[1] if len(sys.argv) > 1 else __file__ + "/../..").resolve())
    missing = [line for check in (of_protocols, of_commands, of_networks, of_stub) for line in check(house)]
    print("\n".join(missing) if missing else "Protocols, commands and networks have all that belongs to them.")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
