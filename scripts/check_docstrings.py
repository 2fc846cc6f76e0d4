#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's docstrings must say beyond ruff's rules, and public names that stand twice; see CONTRIBUTING.md.

python scripts/check_docstrings.py    lists what is missing, and exits 1 if anything is.
"""

import ast
import re
import sys
import typing
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent.parent / "cryodl_scipion"
ENGINE = PLUGIN / "engine" / "cryodl"
# What each command, and each kind of model, has under the same name.
SHARED = ("run", "main", "model_card", "card_warnings", "load_network")
SECTION = re.compile(r"^([A-Z][a-z]+)\n-+$", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.*)$", re.MULTILINE)
# An entry that has a type and no word more.
SAYS_TYPE = re.compile(r"(\*{0,2}\w+(, \*{0,2}\w+)* : )?[\w.| \[\]]+(, optional)?")
SHAPE = re.compile(r"\([^()]*\)|of any shape|of the shape of|no axes")
ARRAY = re.compile(r"\bnp\.ndarray\b|\btorch\.Tensor\b|^Tensor\b|^ArrayLike\b")
CONTAINER = re.compile(r"typing\.(Callable|Mapping)\b|dict\b")
Function = typing.Union[ast.FunctionDef, ast.AsyncFunctionDef]


class Module:
    """A module of the engine. name: with dots, from `cryodl` on."""

    def __init__(self, path: Path) -> None:
        parts = ("cryodl", *path.relative_to(ENGINE).with_suffix("").parts)
        self.package = ".".join(parts[:-1])
        self.name = self.package if parts[-1] == "__init__" else ".".join(parts)
        self.path, self.tree = path, ast.parse(path.read_text(encoding="utf-8"))
        self.defined = {n.name: n for n in self.tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        self.imported = {
            alias.asname or alias.name: (self.source(node), alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def base(self, node: ast.expr) -> typing.Tuple[str, str]:
        """(module, name) that a base class is called by here: `Config`, or `pick_fields.OnMicrographs`."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return ".".join(self.imported.get(node.value.id, ("", ""))), node.attr
        return self.name, node.id if isinstance(node, ast.Name) else ""

    def source(self, node: ast.ImportFrom) -> str:
        """Name of the module that an import takes from."""
        base = self.package.split(".")
        base = base[: len(base) - node.level + 1] if node.level else []
        return ".".join(base + ([node.module] if node.module else []))


def defined_as(modules: typing.Dict[str, Module], module: str, name: str) -> typing.Optional[typing.Tuple[str, str]]:
    """(module, name) of the definition behind an import, through packages that pass it on."""
    if module not in modules:
        return None
    if name in modules[module].defined:
        return module, name
    found = modules[module].imported.get(name)
    return defined_as(modules, *found) if found and found != (module, name) else None


def public_surface(modules: typing.Dict[str, Module]) -> typing.Set[typing.Tuple[str, str]]:
    """(module, name) of all that a wing or a shared layer imports from another one."""
    uses = (
        (user, defined_as(modules, *source))
        for user in modules.values()
        for source in user.imported.values()
        if not source[1].startswith("_")
    )
    wing = lambda module: (module.name.split(".") + [""])[1]  # or shared layer: the first folder below `cryodl`
    return {found for user, found in uses if found and wing(modules[found[0]]) != wing(user)}


def sections(docstring: str) -> typing.Dict[str, str]:
    """{title: text} of a numpydoc docstring."""
    parts = SECTION.split(docstring)
    return dict(zip(parts[1::2], parts[2::2]))


def arguments(function: Function) -> typing.Dict[str, str]:
    """{name: annotation} of a function's arguments, without self and cls."""
    given = function.args
    every = [
        ("", one) for one in (*given.posonlyargs, *given.args, *given.kwonlyargs) if one.arg not in ("self", "cls")
    ]
    every += [(mark, one) for mark, one in (("*", given.vararg), ("**", given.kwarg)) if one]
    return {mark + one.arg: ast.unparse(one.annotation) if one.annotation else "" for mark, one in every}


def raised(function: Function) -> typing.Set[str]:
    """Names of the exceptions that a function's own body raises."""
    calls = (n.exc for n in ast.walk(function) if isinstance(n, ast.Raise) and n.exc is not None)
    names = (ast.unparse(c.func if isinstance(c, ast.Call) else c) for c in calls)
    return {name for name in names if name.endswith(("Error", "Exception")) and name != "NotImplementedError"}


def faults(function: Function) -> typing.Iterator[str]:
    """Sentences about a function of the public surface: shapes, units and errors, which the signature does not give."""
    text = ast.get_docstring(function) or ""
    found, wanted = sections(text), arguments(function)
    entries = {n: words for names, words in ENTRY.findall(found.get("Parameters", "")) for n in names.split(", ")}
    for name in set(entries) - set(wanted):
        yield f"Parameters has {name}, which is no argument"
    for name, annotation in wanted.items():
        words = entries.get(name) or next(iter(re.findall(rf"\b{re.escape(name)}\b(.*)", text)), "")
        if ARRAY.search(annotation) and not CONTAINER.match(annotation) and not SHAPE.search(words + text):
            yield f"the shape of {name} is missing: `{name} : ndarray, (n, 2)`"
        if re.fullmatch(r"float( \| None)?", annotation) and not words:
            yield f"the unit of {name} is missing: `{name} : float, Å`, or `float, no unit`"
    for title in ("Parameters", "Returns", "Yields"):
        for entry in re.split(r"\n(?=\S)", found.get(title, "").strip()):
            if entry and SAYS_TYPE.fullmatch(entry.strip()):
                yield f"{title}: `{entry.strip()}` says no more than the signature"
    if ARRAY.search(ast.unparse(function.returns) if function.returns else "None") and not SHAPE.search(text):
        yield "the shape of what is returned is missing"
    silent = sorted(name for name in raised(function) if name not in text)
    if silent:
        yield f"{', '.join(silent)} is raised, and not named"


def undocumented(modules: typing.Dict[str, Module]) -> typing.Iterator[typing.Tuple[Module, Function, str]]:
    """Public methods without a docstring that override none that has one."""
    setter = lambda method: any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in method.decorator_list)
    public = lambda node, kind: isinstance(node, kind) and not node.name.startswith("_")
    classes = ((m, node) for m in modules.values() for node in m.defined.values() if public(node, ast.ClassDef))
    for module, node in classes:
        for method in node.body:
            if public(method, ast.FunctionDef) and not (setter(method) or ast.get_docstring(method)):
                if not documented(modules, module, node, method.name):
                    yield module, method, f"{node.name}.{method.name} has no docstring"


def documented(modules: typing.Dict[str, Module], module: Module, owner: ast.ClassDef, name: str) -> bool:
    """Whether a base class documents a method; torch documents `forward`, and the class's docstring its shapes."""
    if name == "forward":
        return True
    for base in owner.bases:
        found = defined_as(modules, *module.base(base))
        if found:
            parent, bearer = modules[found[0]], modules[found[0]].defined[found[1]]
            own = [m for m in bearer.body if isinstance(m, ast.FunctionDef) and m.name == name]
            further = isinstance(bearer, ast.ClassDef) and documented(modules, parent, bearer, name)
            if further or any(ast.get_docstring(m) for m in own):
                return True
    return False


def clashes() -> typing.Iterator[typing.Tuple[Path, ast.AST, str]]:
    """Public classes and functions, of engine and plugin, whose name another module's has; but for SHARED."""
    first: typing.Dict[str, Path] = {}
    for path in sorted(p for p in PLUGIN.rglob("*.py") if "tests" not in p.relative_to(PLUGIN).parts):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_" and node.name not in SHARED:
                other = first.setdefault(node.name, path)
                if other != path:
                    yield path, node, f"{node.name} has the name of one in {other.relative_to(PLUGIN)}"


def main() -> int:
    modules = {module.name: module for module in map(Module, sorted(ENGINE.rglob("*.py")))}
    found: typing.List[typing.Tuple[Path, typing.Any, str]] = [*clashes()]
    found += [(module.path, node, sentence) for module, node, sentence in undocumented(modules)]
    for name, thing in sorted(public_surface(modules)):
        function = modules[name].defined[thing]
        if isinstance(function, ast.FunctionDef):
            found += [(modules[name].path, function, f"{thing}: {sentence}") for sentence in faults(function)]
    for path, node, sentence in found:
        print(f"{path.relative_to(PLUGIN.parent)}:{node.lineno}: {sentence}")
    print(f"{len(found)} faults of docstrings." if found else "Docstrings: no faults.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
