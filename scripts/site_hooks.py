# SPDX-License-Identifier: GPL-3.0-or-later
"""What MkDocs calls while it builds the site (mkdocs.yml): generated pages, and links to files of the repository."""

import re
import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of docs/ and those that are written from the contract."""
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: typing.Any) -> str:
    """A page whose links to files outside docs/ are names: the site can be read where no repository is."""
    return _OUTSIDE.sub(r"\1 (`\2`)", markdown)
