# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the protocols, made of their docstrings, forms, outputs and pictures. Help of a form opens them.

    python scripts/protocol_pages.py FOLDER          (Scipion's Python; scripts/docs runs it)

FOLDER gets protocol_<name>.md for each module of protocols, protocols.md with all of them in tables, and
protocols.json: {"labels": {label: page}, "menu": {wing: [pages]}}.
"""

import configparser
import json
import os
import re
import sys
from typing import Any, Dict, Iterator, List, Tuple

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURES = os.path.join(TOP, "docs", "images")
WINGS = {"micrographs": "Micrographs", "particles": "Particles", "tomograms": "Tomograms", "maps": "Maps"}
OTHERS = "Models and reports"
_SCIPIONS = ("General", "Parallelization")  # tabs that are alike on every form


def sentences(text: str) -> str:
    """A help text or docstring as one paragraph of Markdown."""
    return " ".join(str(text or "").split()).replace("<", "&lt;")


def paragraphs(text: str) -> str:
    """A docstring without the indentation of its lines; paragraphs stay apart."""
    return "\n\n".join(sentences(part) for part in re.split(r"\n\s*\n", text or ""))


def fields(protocol: Any) -> Iterator[Tuple[str, List[str]]]:
    """(name of the tab, an item of a list for each of its fields)."""
    for section in protocol.getDefinition().iterSections():
        found = [line for name, param in section.iterParams() for line in items(protocol, name, param)]
        if found and section.getLabel() not in _SCIPIONS:
            yield section.getLabel(), found


def items(protocol: Any, name: str, param: Any) -> Iterator[str]:
    """The item of a field, or those of a group or line of fields."""
    from pyworkflow.protocol.params import Group, LabelParam, Line

    if isinstance(param, Group):
        for inner, one in param.iterParams():
            yield from items(protocol, inner, one)
    elif not isinstance(param, LabelParam) and param.label.get():
        told = ("", "") if isinstance(param, Line) else (default_of(param), "expert" if param.expertLevel.get() else "")
        more, text = ", ".join(filter(None, told)), sentences(param.help.get())
        yield f"- **{sentences(param.label.get())}**" + (f" ({more})" if more else "") + (f": {text}" if text else "")


def default_of(param: Any) -> str:
    """What a field holds at first, in words; nothing where that is empty."""
    from pyworkflow.protocol.params import BooleanParam, EnumParam, PointerParam

    value = param.default.get()
    if isinstance(param, PointerParam) or value in (None, ""):
        return ""
    if isinstance(param, EnumParam):
        return f"default {param.choices[int(value)]}"
    if isinstance(param, BooleanParam):
        return "default yes" if value in (True, "True") else "default no"
    return f"default {value}"


def outputs(protocol: Any) -> List[str]:
    made = protocol._possibleOutputs or {}
    made = dict(made if isinstance(made, dict) else {one.name: one.value for one in made})
    for way in getattr(protocol, "WAYS", ()):
        made.update(way.POSSIBLE)
    return [f"- `{name}`: {(k if isinstance(k, type) else type(k)).__name__}" for name, k in made.items()]


def pictures_of_form(protocol: Any) -> Iterator[str]:
    """The form's tabs, as scripts/pictures.py took them."""
    from pictures import pages

    for number, (picture, tab) in enumerate(pages(protocol)):
        if os.path.exists(os.path.join(PICTURES, "forms", picture + ".png")):
            yield f"![{f'The tab {tab}' if number else 'The form'}](images/forms/{picture}.png)"


def captions(domain: Any, protocol: Any) -> Iterator[Tuple[str, str, str]]:
    """(name of the picture, title, sentence) of all windows that a protocol could have, the main one first."""
    from pictures import pageOf
    from pyworkflow.viewer import DESKTOP_TKINTER

    page = pageOf(protocol)
    yield page, "What Analyze results opens", ""
    yield f"{page}_particle", "A particle, which a click on it enlarges", ""
    for viewer in domain.findViewers(protocol, DESKTOP_TKINTER):
        for shown in getattr(viewer, "WAYS", ()) or [viewer]:
            for panel in getattr(shown, "_PANELS", ()):
                yield f"{page}_{panel.name[len('show') :].lower()}", panel.label, panel.help
    for field, param in protocol.getDefinition().iterParams():
        yield f"{page}_wizard_{field.lower()}", f"The wizard of *{param.getLabel()}*", ""


def windows(domain: Any, protocol: Any, there: Any) -> Iterator[str]:
    for name, title, sentence in captions(domain, protocol):
        if name in there:
            there.remove(name)
            plain = title.replace("*", "")
            told = f"{plain}: {continued(sentence)}" if sentence else plain
            yield f"![{plain}](images/windows/{name}.png)\n\n*{told.rstrip('.').replace('*', '')}.*"


def continued(sentence: str) -> str:
    """A sentence as it goes on after a colon: in lower case, unless it begins with an abbreviation or a symbol."""
    word = sentence.split(" ")[0]
    usual = len(word) == 1 or (word[1:].isalpha() and word[1:].islower())
    return sentence[:1].lower() + sentence[1:] if usual else sentence


def places() -> Dict[str, List[str]]:
    """{class: where it stands in Scipion's tree}."""
    found: Dict[str, List[str]] = {}
    trees = configparser.ConfigParser(interpolation=None)
    trees.read(os.path.join(TOP, "cryodl_scipion", "protocols.conf"), encoding="utf-8")

    def walk(nodes: List[Any], path: Tuple[str, ...]) -> None:
        for node in nodes:
            if node["tag"] == "protocol":
                found.setdefault(node["value"], []).append(" > ".join(path))
            walk(node.get("children", []), (*path, node["text"]))

    for tree in trees["PROTOCOLS"].values():
        walk(json.loads(tree), ())
    return found


def section_of(protocol: Any, where: List[str], domain: Any, there: Any, level: str) -> List[str]:
    from cryodl_scipion.engine.cryodl import contract

    label = protocol.getClassLabel(prependPackageName=False)
    lines = [f"{level} {label[:1].upper()}{label[1:]}", ""]
    lines += [f"`cryodl - {label}`" + (f", in the tree under *{'* and *'.join(where)}*." if where else "."), ""]
    lines += [paragraphs(type(protocol).__doc__), ""]
    lines += [line for picture in pictures_of_form(protocol) for line in (picture, "")]
    for title, found in (*fields(protocol), ("Outputs", outputs(protocol))):
        lines += [f"{level}# {title}", "", *found, ""] if found else []
    commands = {command.config: name for name, command in contract.EVERY_COMMAND.items()}
    ways = getattr(protocol, "WAYS", ()) or [protocol]
    run = dict.fromkeys(f"`cryodl {commands[way._CONFIG]}`" for way in ways if getattr(way, "_CONFIG", 0) in commands)
    lines += [f"On the command line: {', '.join(run)}.", ""] if run else []
    shown = list(windows(domain, protocol, there))
    return lines + ([f"{level}# Windows", "", "\n\n".join(shown), ""] if shown else [])


def overview(rows: Dict[str, List[Tuple[str, str, str]]]) -> str:
    """The page with all protocols. rows: {wing: [(label, page, docstring)]}."""
    lines = [
        "# Protocols",
        "",
        "What each one does. A page has every field of the form, the outputs and the windows.",
        "",
    ]
    for wing, found in rows.items():
        lines += [f"## {wing}", "", "| Protocol | What it does |", "|---|---|"]
        lines += [f"| [{label}]({page}) | {sentences(text.split(chr(10) * 2)[0])} |" for label, page, text in found]
        lines += [""]
    return "\n".join(lines)


def main(folder: str) -> None:
    import pyworkflow as pw

    pw.Config.setDomain("pwem")
    domain = pw.Config.getDomain()
    domain.getPlugins()
    from cryodl_scipion import protocols

    os.makedirs(folder, exist_ok=True)
    where = places()
    there = {name[: -len(".png")] for name in os.listdir(os.path.join(PICTURES, "windows"))}
    made: Dict[str, List[Any]] = {}
    for value in vars(protocols).values():
        if isinstance(value, type) and value.__name__ in where:
            made.setdefault(value.__module__, []).append(value())
    rows: Dict[str, List[Tuple[str, str, str]]] = {wing: [] for wing in (*WINGS.values(), OTHERS)}
    pages = {}
    for module, ours in made.items():
        page = module.rsplit(".", 1)[-1] + ".md"
        lines: List[str] = []
        for number, protocol in enumerate(ours):
            label = protocol.getClassLabel(prependPackageName=False)
            rows[WINGS.get(module.split(".")[-2], OTHERS)].append((label, page, type(protocol).__doc__))
            lines += section_of(protocol, where[protocol.getClassName()], domain, there, "##" if number else "#")
        pages[page] = "\n".join(lines)
    if there:
        raise SystemExit(f"No window is known of {', '.join(sorted(there))}.")
    pages["protocols.md"] = overview(rows)
    labels = {label: page for found in rows.values() for label, page, _ in found}
    menu = {wing: list(dict.fromkeys(page for _, page, _ in found)) for wing, found in rows.items()}
    pages["protocols.json"] = json.dumps(dict(labels=labels, menu=menu), indent=1)
    for name, text in pages.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
