# SPDX-License-Identifier: GPL-3.0-or-later
"""What MkDocs calls while it builds the site (mkdocs.yml): generated pages, links, checks.

The pages of the protocols lie in .cryodl/pages (protocol_pages.py), those of the commands come from reference.py.
Where a page writes *cryodl - pick particles*, the site has a link to the page of that protocol. A warning ends
`scripts/docs` with an error.
"""

import json
import logging
import re
import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_PROTOCOLS = Path(__file__).resolve().parent.parent / ".cryodl" / "pages"
_LOG = logging.getLogger("mkdocs.plugins.cryodl")
_RUN_ON = re.compile(r"<p>(?:(?!</p>).)*\n\s*[-*] .*?</p>", re.DOTALL)  # a list without an empty line before it
_ELSEWHERE = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)]*)\)")
_NAMED = re.compile(r"(?<!\[)([*`])cryodl - ([^*`\n]+)\1")


def on_config(config: MkDocsConfig) -> None:
    """The protocols' pages in the menu, at the item `Protocols`."""
    menu = _menu()["menu"]
    for item in config.nav or []:
        if "Protocols" in item:
            item["Protocols"] = ["protocols.md", *({wing: pages} for wing, pages in menu.items())]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of docs/ and the generated ones; a protocol's names the pages that tell more of it."""
    named: typing.Dict[str, typing.Dict[str, None]] = {}
    for file in list(files.documentation_pages()):
        text = file.content_string
        title = re.search(r"^# (.+)$", text, re.M)
        for _, label in _NAMED.findall(text):
            more = f"- [{title[1] if title else file.src_uri}]({file.src_uri})"
            named.setdefault(_menu()["labels"].get(label, ""), {})[more] = None  # once each, in order
    for path in sorted(_PROTOCOLS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if path.name in named:
            text += "\n## Read on\n\n" + "\n".join(named[path.name]) + "\n"
        files.append(File.generated(config, path.name, content=text))
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: typing.Any) -> str:
    """Protocols' names as links; links to files outside docs/ are names: the site is read where no repository is."""

    def linked(found: typing.Any) -> str:
        label = " ".join(found[2].split())
        target = _menu()["labels"].get(label)
        if target is None:
            _LOG.warning(f"{page.file.src_uri} names a protocol that does not exist: {label}")
        above = "../" * page.file.src_uri.count("/")
        return f"[*{label}*]({above}{target})" if target != page.file.src_uri else found[0]

    return _NAMED.sub(linked, _OUTSIDE.sub(r"\1 (`\2`)", markdown))


def on_page_content(html: str, page: Page, **_: typing.Any) -> None:
    """Warn of lists that became one paragraph."""
    for found in _RUN_ON.findall(html):
        _LOG.warning(f"{page.file.src_uri}: a list needs an empty line before it: {found[:80]!r}")


def on_post_page(output: str, page: Page, **_: typing.Any) -> None:
    """Warn of what a page would load from elsewhere: the site is read offline."""
    for found in _ELSEWHERE.findall(output):
        _LOG.warning(f"{page.file.src_uri} loads something from elsewhere: {found[:160]}")


def _menu() -> typing.Any:
    return json.loads((_PROTOCOLS / "protocols.json").read_text(encoding="utf-8"))
