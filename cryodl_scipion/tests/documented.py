# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of Result.outputs that a command of the real engine documents, for whoever takes its place in tests."""

import ast
import glob
import os
import re

COMMANDS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "engine", "cryodl", "*", "commands"
)


def documentedOutputs(command):
    """The set of keys that the docstring of commands/<module>.py lists after 'Result.outputs', or None if it lists
    none.

    The list ends with the first full stop: 'name (what it is), names {key: what}, other [what]'. 'those of pick' stands
    for the keys of that command. Remarks are in brackets of any kind.
    """
    found = glob.glob(os.path.join(COMMANDS, command.replace("-", "_") + ".py"))
    if not found:
        return None
    with open(found[0], encoding="utf-8") as file:
        text = " ".join((ast.get_docstring(ast.parse(file.read())) or "").split())
    found = re.search(r"Result\.outputs[^:]*: (.*)", text)
    if not found:
        return None
    listed = re.split(r"\.(?: |$)", _withoutBrackets(found.group(1)))[0]
    keys = set()
    for item in re.split(r",|;| and ", listed):
        words = item.split()
        if words[:2] == ["those", "of"]:
            keys |= documentedOutputs(words[2])
        elif words:
            keys.add(words[0])
    return keys


def _withoutBrackets(text):
    depth, kept = 0, []
    for letter in text:
        depth -= letter in ")]}"
        if not depth and letter not in ")]}":
            kept.append(letter if letter not in "([{" else " ")
        depth += letter in "([{"
    return "".join(kept)


def checkOutputs(command, outputs):
    """Raises KeyError if these outputs of a command have other keys than it documents."""
    documented = documentedOutputs(command)
    if documented is not None and documented != set(outputs):
        raise KeyError(
            "Outputs of %s: %s are documented and missing, %s are there and not documented."
            % (command, sorted(documented - set(outputs)) or "none", sorted(set(outputs) - documented) or "none")
        )
