# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the section "Windows" of the protocols' pages: each picture of window_pictures.py with its caption.

    python -m scipion python scripts/window_sections.py

The words are those of the tabs and of the forms; run it when a picture or a tab's text has changed.
"""

import os
import re
from typing import Any, Dict, Iterator, List, Tuple

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURES = os.path.join(TOP, "docs", "images", "windows")
TITLE = "## Windows"


def captions(domain: Any, protocol: Any) -> Iterator[Tuple[str, str, str]]:
    """(name of the picture, title, sentence) of all windows that a protocol could have, the main one first."""
    from pyworkflow.viewer import DESKTOP_TKINTER
    from window_pictures import pageOf

    page = pageOf(protocol)
    yield page, "What Analyze results opens", ""
    yield f"{page}_particle", "A particle, which a click on it enlarges", ""
    for viewer in domain.findViewers(protocol, DESKTOP_TKINTER):
        for panel in getattr(viewer, "_PANELS", ()):
            yield f"{page}_{panel.name[len('show') :].lower()}", panel.label, panel.help
    for field, param in protocol.getDefinition().iterParams():
        label = param.getLabel()
        yield f"{page}_wizard_{field.lower()}", f"The wizard of *{label}*", ""


def continued(sentence: str) -> str:
    """A sentence as it goes on after a colon: in lower case, unless it begins with an abbreviation or a symbol."""
    word = sentence.split(" ")[0]
    ordinary = len(word) == 1 or (word[1:].isalpha() and word[1:].islower())
    return sentence[:1].lower() + sentence[1:] if ordinary else sentence


def section(found: List[Tuple[str, str, str]]) -> str:
    """The section's text. found: of captions."""
    parts = [TITLE]
    for name, title, sentence in found:
        plain = title.replace("*", "")
        told = f"{plain}: {continued(sentence)}" if sentence else plain
        parts += [f"![{plain}](images/windows/{name}.png)", f"*{told.rstrip('.').replace('*', '')}.*"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Rewrite the sections of all pages."""
    import pyworkflow as pw
    from window_pictures import pageOf

    pw.Config.setDomain("pwem")
    domain = pw.Config.getDomain()
    domain.getPlugins()
    there = {name[: -len(".png")] for name in os.listdir(PICTURES)}
    pages: Dict[str, Dict[str, Tuple[str, str, str]]] = {}
    for name, protocolClass in sorted(domain.getProtocols().items()):
        if name.startswith("CryodlProt"):
            protocol = protocolClass()
            for entry in captions(domain, protocol):
                if entry[0] in there:
                    pages.setdefault(pageOf(protocol), {}).setdefault(entry[0], entry)
    for page, found in pages.items():
        path = os.path.join(TOP, "docs", page + ".md")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = re.sub(rf"\n*{TITLE}\n.*\Z", "\n", text, flags=re.S)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n\n" + section(list(found.values())))
    missing = there - {name for found in pages.values() for name in found}
    if missing:
        raise SystemExit(f"No window is known of {', '.join(sorted(missing))}.")


if __name__ == "__main__":
    main()
