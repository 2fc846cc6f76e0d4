# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for the whole checkout that no checker of pyproject.toml knows: versions, links, data of models."""

import ast
import glob
import json
import os
import pathlib
import re
import sys

import pytest

import cryodl_scipion

PACKAGE = os.path.dirname(os.path.abspath(cryodl_scipion.__file__))
ENGINE = os.path.join(PACKAGE, "engine")
TOP = os.path.dirname(PACKAGE)
DEMO = os.path.join(TOP, "data", "demo", "micrographs")
inCheckout = pytest.mark.skipif(not os.path.isdir(DEMO), reason="the demo's data are in the checkout only")

SINCE_3_9 = {"removeprefix", "removesuffix"}  # methods of str


def sources(folder):
    return sorted(glob.glob(os.path.join(folder, "**", "*.py"), recursive=True))


def importedBy(path):
    """Top-level names of all absolute imports of a file."""
    with open(path, encoding="utf-8") as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.split(".")[0] for name in names}


def attributesOf(tree):
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_scipion_side_calls_no_method_that_python_3_8_lacks():
    contract = os.path.join(ENGINE, "cryodl", "contract")  # Scipion's Python runs it, too
    ours = [path for path in sources(PACKAGE) if not path.startswith(ENGINE) or path.startswith(contract)]
    assert ours
    for path in ours:
        with open(path, encoding="utf-8") as file:
            assert not attributesOf(ast.parse(file.read())) & SINCE_3_9, path


def test_lock_holds_what_the_engine_imports():
    """Every third-party module of the engine is a package of requirements.in, by its own name there."""
    ours = {"cryodl", "synthetic", "pytest"} | {
        os.path.basename(p)[:-3] for p in sources(os.path.join(ENGINE, "tests"))
    }
    standard = getattr(sys, "stdlib_module_names", None)  # since Python 3.10
    if standard is None:
        pytest.skip("needs Python 3.10, which knows its own modules")
    with open(os.path.join(PACKAGE, "install", "requirements.in")) as file:
        listed = {re.split("[=<>]", line.strip())[0] for line in file if line.strip() and line[0] != "#"}
    distributions = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
    used = {
        distributions.get(name, name.replace("_", "-"))
        for path in sources(os.path.join(ENGINE, "cryodl"))
        for name in importedBy(path) - ours - set(standard)
    }
    optional = {"umap", "pandas"}  # fit-heterogeneity --umap says how to install it; cryodl.table(pandas=True) takes it
    assert used <= listed | optional | {"typing-extensions"}  # which mypy alone reads


def test_the_engine_alone_asks_for_the_same_packages():
    with open(os.path.join(PACKAGE, "install", "requirements.in")) as file:
        listed = [line.strip() for line in file if line.strip() and line[0] != "#"]
    with open(os.path.join(ENGINE, "pyproject.toml")) as file:
        asked = re.search(r"^dependencies = \[(.*?)\]", file.read(), re.S | re.M)
    assert asked and re.findall('"(.+?)"', asked.group(1)) == listed


def test_the_engine_alone_has_all_of_its_data():
    """Of `pip install cryodl_scipion/engine`; the patterns count from any package."""
    engine = pathlib.Path(ENGINE)
    listed = re.search(r'^"\*" = \[(.*)\]', (engine / "pyproject.toml").read_text("utf-8"), re.M)
    files = [path for path in (engine / "cryodl").rglob("*") if path.is_file() and not path.suffix.startswith(".py")]
    patterns = re.findall('"(.+?)"', listed.group(1))
    assert files and not [str(path) for path in files if not any(path.match(pattern) for pattern in patterns)]


@inCheckout
def test_the_demos_model_has_not_seen_the_demos_micrographs():
    demo = {os.path.splitext(name)[0] for name in os.listdir(DEMO)}
    with open(os.path.join(ENGINE, "cryodl", "models", "ribosome", "card.json"), encoding="utf-8") as file:
        training = json.load(file)["training"]
    seen = training["micrographs"] + training["validation_micrographs"]
    assert seen and not demo & {os.path.splitext(os.path.basename(name))[0] for name in seen}


@inCheckout
def test_every_shipped_card_names_what_its_model_learned_from():
    cards = glob.glob(os.path.join(ENGINE, "cryodl", "models", "*", "card.json"))
    assert len(cards) >= 2
    for path in cards:
        with open(path, encoding="utf-8") as file:
            card = json.load(file)
        training = card["training"]
        learnt, examples = {
            "map_improver": ("molecules", "maps"),
            "class_ranker": ("structures", "averages"),
            "segmenter": ("structures", "cells"),
            "filament_picker": ("made_up", "simulated_micrographs"),
            "micrograph_denoiser": ("structures", "simulated_micrographs"),
        }.get(card["kind"], ("micrographs", "particles"))
        # a model that learnt from simulated micrographs only has no list of real ones
        named = training.get(learnt) or training.get("simulated_micrographs")
        assert named and training[examples] > 0 and training["steps"] > 0, path


@inCheckout
def test_version_is_the_same_in_the_citation_and_the_changes():
    for name, pattern in (("CITATION.cff", r"^version: (.+)$"), ("CHANGES.md", r"^## (\S+)")):
        with open(os.path.join(TOP, name), encoding="utf-8") as file:
            assert re.search(pattern, file.read(), re.M).group(1) == cryodl_scipion.__version__, name


@inCheckout
def test_files_that_the_documents_link_to_exist():
    for path in glob.glob(os.path.join(TOP, "*.md")) + glob.glob(os.path.join(TOP, "docs", "*.md")):
        with open(path, encoding="utf-8") as file:
            links = re.findall(r"\]\(([^)#]+)\)", file.read())
        lost = [
            link
            for link in links
            if not link.startswith("http") and not os.path.exists(os.path.join(os.path.dirname(path), link))
        ]
        assert not lost, path


@inCheckout
def test_every_picture_is_shown_and_a_page_names_entries_of_its_own_menu():
    texts = {}
    for path in (
        *glob.glob(os.path.join(TOP, "docs", "*.md")),
        *(os.path.join(TOP, f) for f in ("README.md", "mkdocs.yml")),
    ):
        with open(path, encoding="utf-8") as file:
            texts[os.path.basename(path)] = file.read()
    pictures = [os.path.basename(path) for path in glob.glob(os.path.join(TOP, "docs", "images", "*.png"))]
    assert [one for one in pictures if not any(f"images/{one}" in text for text in texts.values())] == []
    for name, text in texts.items():
        for entry in re.findall(r"\*(\w+)\* (?:of this site|in the menu)|Outputs: \*(\w+)\*", text):
            assert f"\n  - {''.join(entry)}:" in texts["mkdocs.yml"], (name, entry)


@inCheckout
def test_the_pages_are_as_many_and_as_long_as_a_reader_can_take():
    words = {}
    for path in [
        *glob.glob(os.path.join(TOP, "docs", "*.md")),
        *(os.path.join(TOP, name) for name in ("README.md", "CONTRIBUTING.md")),
    ]:
        with open(path, encoding="utf-8") as file:
            words[os.path.basename(path)] = len(file.read().split())
    assert len(words) <= 50 and sum(words.values()) <= 50_000
    with open(os.path.join(TOP, "mkdocs.yml"), encoding="utf-8") as file:
        menu = file.read()
    listed = {
        title: re.findall(r"^ {6}- .*: (\S+\.md)$", menu.split(f"- {title}:\n")[1].split("\n  - ")[0], re.M)
        for title in ("How to", "How it works", "Benchmarks")
    }
    assert [len(pages) for pages in listed.values()] == [10, 9, 6], listed
    assert not [page for page in listed["How it works"] if words[page] > 1000]


@inCheckout
def test_no_two_figures_that_stand_together_are_typed_in_two_places():
    """Tables and single figures are written from benchmarks/figures by page_tables.py; what is typed is rare."""
    written = r"```.*?```|<!-- table (\S+) -->\n.*?<!-- end of table -->|<!--figure:.*?<!---->"
    number = re.compile(r"(?<![\d.\w-])\d+\.\d{2,}(?![\d.]*\w)")
    seen, twice = {}, []
    for path in sorted(glob.glob(os.path.join(TOP, "docs", "*.md")) + [os.path.join(TOP, "README.md")]):
        with open(path, encoding="utf-8") as file:
            text = re.sub(written, lambda m: re.sub(r"[^\n]", " ", m[0]), file.read(), flags=re.S)
        found = list(number.finditer(text))
        for one, other in zip(found, found[1:]):
            line = text.count("\n", 0, one.start()) + 1
            short = max(len(n[0].replace(".", "").lstrip("0")) for n in (one, other)) < 3  # SNRs and other settings
            if other.start() - one.end() > 25 or short or one[0].startswith("3.1"):  # versions of Python
                continue
            first = seen.setdefault((one[0], other[0]), (path, line))
            if abs(first[1] - line) > 1 or first[0] != path:
                twice.append(
                    f"{one[0]}, {other[0]}: {os.path.basename(first[0])} {first[1]}, {os.path.basename(path)} {line}"
                )
    assert not twice, "\n".join(twice)


@inCheckout
def test_every_picture_of_a_window_is_small_and_of_a_protocol():
    pages = [os.path.basename(p)[:-3] for p in sources(os.path.join(PACKAGE, "protocols"))]
    pages = [page for page in pages if page.startswith("protocol_")]
    for path in glob.glob(os.path.join(TOP, "docs", "images", "windows", "*.png")):
        name = os.path.basename(path)
        assert any(name.startswith((page + "_", page + ".")) for page in pages), name
        assert os.path.getsize(path) < 100_000, name
