# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference pages of the documentation, written from the contract: every command with its parameters and outputs.

python scripts/reference.py FOLDER
python scripts/reference.py --stub      the commands as functions, for editors and mypy: cryodl/__init__.pyi anew
"""

import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine"))

from cryodl import contract

WINGS = ("micrographs", "particles", "tomograms", "maps")
OTHERS = "others"  # the page of commands that belong to no wing
INDEX = ["# Commands", "", "Every command of `cryodl`. `cryodl COMMAND --help` prints the same in a terminal.", ""]
INDEX += ["*Name* is the label of a parameter in Scipion's forms, where it is on one.", ""]
INDEX += ["| Command | What it does |", "|---|---|"]
_KINDS = {"int": "whole number", "float": "number", "str": "text", "bool": "yes or no", "paths": "files"}


def pages() -> typing.Dict[str, str]:
    """{name below docs/: text} of all generated pages."""
    made = {f"reference/{wing}.md": wing_page(wing) for wing in (*WINGS, OTHERS)}
    return dict(made, **{"reference/index.md": index_page()})


def index_page() -> str:
    rows = [
        f"| [`{name}`]({wing_of(command)}.md#{name}) | {cell(command.summary)} |"
        for name, command in sorted(contract.EVERY_COMMAND.items())
    ]
    return "\n".join([*INDEX, *rows, ""])


def wing_page(wing: str) -> str:
    lines = [f"# Commands: {'reports and checks' if wing == OTHERS else wing}", ""]
    mine = [(name, command) for name, command in contract.EVERY_COMMAND.items() if wing_of(command) == wing]
    return "\n".join([*lines, *(line for name, command in mine for line in command_lines(name, command))])


def command_lines(name: str, command: contract.commands.Command) -> typing.List[str]:
    lines = [f"## {name}", "", " ".join(str(command.config.__doc__).split()), ""]
    lines += ["| Parameter | Name | Type | Default | Allowed | Meaning |", "|---|---|---|---|---|---|"]
    lines += [parameter_row(i) for i in (*contract.describe_all(command.config), *contract.settings_of(command))]
    if command.outputs is not None:
        lines += ["", "Outputs in `result.json`:", "", "| Output | Unit | Meaning |", "|---|---|---|"]
        outputs = contract.describe_outputs(command.outputs)
        lines += [f"| `{info.name}` | {info.unit} | {cell(info.help)} |" for info in outputs]
    return [*lines, ""]


def parameter_row(info: contract.params.ParamInfo) -> str:
    """A parameter as a row of the table: flag, label in Scipion's forms, type and unit, default, range, help."""
    kind = f"{_KINDS[info.kind]}{f', {info.unit}' if info.unit else ''}"
    return f"| `{info.flag}` | {cell(info.label)} | {kind} | {default_of(info)} | {allowed(info)} | {cell(info.help)} |"


def default_of(info: contract.params.ParamInfo) -> str:
    """The default in words; what an absent value means where there is none."""
    if info.required:
        return "required"
    if info.default is None:
        return cell(info.none_means) or "none"
    if info.kind == "bool":
        return "yes" if info.default else "no"
    if info.kind == "paths":
        return " ".join(f"`{word}`" for word in info.default) or "none"
    return f"`{info.default}`" if info.default != "" else "empty"


def allowed(info: contract.params.ParamInfo) -> str:
    if info.choices:
        return ", ".join(f"`{choice}`" for choice in info.choices)
    low, high = ("" if limit is None else f"{limit:g}" for limit in (info.minimum, info.maximum))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""


def cell(text: str) -> str:
    """A text as it can stand in a table's cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def wing_of(command: contract.commands.Command) -> str:
    """Folder of the engine that the command's module lies in, if it is a wing's."""
    folder = command.module.split(".")[0]
    return folder if folder in WINGS else OTHERS


STUB = Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine" / "cryodl" / "__init__.pyi"
_STUB_HEAD = """# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/reference.py --stub from the contract: each command as a function with its parameters.
import os
import typing

from .contract import Result
{imports}

__version__: str
Path = typing.Union[str, os.PathLike[str]]
Paths = typing.Union[Path, typing.Sequence[Path]]

def table(path: Path, name: str = "", pandas: bool = False) -> typing.Any: ...
"""


def stub() -> str:
    commands = [command for command in contract.EVERY_COMMAND.values() if command.wing]
    outputs = {command.outputs for command in commands if command.outputs}
    imports = sorted(f"from .{o.__module__.split('cryodl.')[1]} import {o.__name__}" for o in outputs)
    return "\n".join([_STUB_HEAD.format(imports="\n".join(imports)), *map(_signature, commands)])


def _signature(command: contract.commands.Command) -> str:
    infos = [*contract.describe_all(command.config), *contract.settings_of(command)]
    words = [f"{i.name}: {_type(i)}" + ("" if i.required else " = ...") for i in infos]
    made = command.outputs.__name__ if command.outputs else "typing.Any"
    lines = [f"def {command.function}(", "    *,", *(f"    {word}," for word in words), f") -> Result[{made}]:"]
    return "\n".join([*lines, f'    """{command.summary}"""', ""])


def _type(info: contract.params.ParamInfo) -> str:
    plain = {"paths": "Paths", "str": "Path" if info.path else "str"}.get(info.kind, info.kind)
    closed = info.choices and info.name != "network"  # a new network is one file, and this is another
    plain = f"typing.Literal[{', '.join(map(repr, info.choices))}]" if closed else plain
    return plain if info.required or info.default is not None else f"typing.Optional[{plain}]"


def main() -> None:
    if sys.argv[1] == "--stub":
        STUB.write_text(stub(), encoding="utf-8")
        return
    for name, text in pages().items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
