# SPDX-License-Identifier: GPL-3.0-or-later
"""What MkDocs calls while it builds the site (mkdocs.yml): generated pages, links to files of the repository, checks.

A warning ends `scripts/docs` with an error.
"""

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

_LOG = logging.getLogger("mkdocs.plugins.cryodl")
_RUN_ON = re.compile(r"<p>(?:(?!</p>).)*\n\s*[-*] .*?</p>", re.DOTALL)  # a list without an empty line before it
_ELSEWHERE = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of docs/ and those that are written from the contract."""
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: typing.Any) -> str:
    """A page whose links to files outside docs/ are names: the site can be read where no repository is."""
    return _OUTSIDE.sub(r"\1 (`\2`)", markdown)


def on_page_content(html: str, page: Page, **_: typing.Any) -> None:
    """Warn of lists that became one paragraph."""
    for found in _RUN_ON.findall(html):
        _LOG.warning(f"{page.file.src_uri}: a list needs an empty line before it: {found[:80]!r}")


def on_post_page(output: str, page: Page, **_: typing.Any) -> None:
    """Warn of what a page would load from elsewhere: the site is read offline."""
    for found in _ELSEWHERE.findall(output):
        _LOG.warning(f"{page.file.src_uri} loads something from elsewhere: {found[:160]}")
