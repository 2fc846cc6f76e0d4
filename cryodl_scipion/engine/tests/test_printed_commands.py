# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command that a page or a help prints is one that the program of today understands."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cryodl.contract import EVERY_COMMAND
from cryodl.running import cli

TOP = Path(__file__).parents[3]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), *(TOP / "data" / "demo").glob("*.md")])
PROGRAM = re.compile(r"(?:^|(?<=&& )|(?<=; ))(?:\S*scripts/)?cryodl (?!-)")  # `cryodl - pick` is a protocol
SCRIPT = re.compile(r"(?:python|bash|PYTHON) +((?:benchmarks|scripts|cryodl_scipion)/\S+)(.*)")
inCheckout = pytest.mark.skipif(not (TOP / "docs" / "tutorial.md").exists(), reason="needs the checkout's pages")


parser = functools.cache(cli.build_parser)


def printed(text):
    """(command, whether it is a whole one) of a page: lines of its blocks, and what stands in a sentence."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    for line in "\n".join(blocks).splitlines():
        yield line.split("  #")[0].strip(), True
    for word in re.findall(r"`([^`\n]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)):
        yield word, False


def understood(command, whole):
    """Why the command line does not understand a command; None if it does."""
    words = [w for w in shlex.split(command) if w != "..."]
    words = words[1:] if words[0] == "dev" and len(words) > 1 else words
    if words in (["COMMAND", "--help"], ["--help"]):
        return None
    if words[0] == "check-project":  # of the plugin: it runs in Scipion's Python (check_project.py)
        return None if set(words[2:]) <= {"--mend"} else "no such option"
    if words[0] not in EVERY_COMMAND:
        return f"there is no command {words[0]}"
    if "--help" in words or (words[-1].startswith("--") and not whole):  # an option named without its value
        every = {"--help", "--device", "--threads", "--json"}
        row = EVERY_COMMAND[words[0]]
        flags = {info.flag for info in [*cli.describe_all(row.config), *cli.settings_of(row)]} | every
        return None if {w for w in words if w.startswith("--")} <= flags else "no such option"
    try:
        options = parser().parse_args(words)
        if whole and "..." not in command:
            cli._request(EVERY_COMMAND[words[0]], options)
    except (SystemExit, cli.UserError, ValueError, OSError) as error:
        return str(error) or "not understood"
    return None


def options_of(path):
    """Text in which a script's options stand: its own and that of its neighbours which it imports."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"^\s*(?:from|import) (\w+)", text, re.M):
        neighbour = path.parent / f"{name}.py"
        text += neighbour.read_text(encoding="utf-8") if neighbour.exists() else ""
    return text


@inCheckout
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_understood(page, capsys):
    wrong = []
    for text, whole in printed(page.read_text(encoding="utf-8")):
        for part in PROGRAM.split(text)[1:] if PROGRAM.search(text) else ():
            why = understood(part.strip(), whole)
            wrong += [f"cryodl {part}: {why} {capsys.readouterr().err}"] if why else []
    assert not wrong, "\n".join(wrong)


def test_sentences_and_pages_name_no_option_that_is_gone():
    known = {"--help", "--json", "--request", "--result"}
    for row in EVERY_COMMAND.values():
        known |= {info.flag for info in [*cli.describe_all(row.config), *cli.settings_of(row)]}
    others = set("--norm --extract --helix --sym --inverty --print --multiply".split())  # RELION's and pyem's
    others |= set("--standalone --nproc-per-node --version --mend --nogui --devel --requeue --open-mode".split())
    others |= set("--signal --all --quick --fresh --set --gpu".split())  # SLURM's, those of scripts/ and benchmarks/
    texts = {path: path.read_text(encoding="utf-8") for path in Path(cli.__file__).parents[1].rglob("*.py")}
    for page in PAGES:  # without the comments that name figures
        shown = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"))
        texts[page] = " ".join(re.findall(r"`(--[^`]*)`", shown))
    gone = set()
    for path, text in texts.items():
        if path.name not in ("version_0_1_0.py", "CHANGES.md"):  # these tell of what was
            named = set(re.findall(r"(?<![\w<-])--[a-z][a-z0-9-]*[a-z0-9](?![\w-])", text))
            named = {flag.replace("--no-", "--", 1) if flag not in known else flag for flag in named}
            gone |= {f"{path.name} {flag}" for flag in named - known - others}
    assert not gone, sorted(gone)


@inCheckout
def test_the_scripts_of_the_pages_are_there_with_their_options():
    wrong, seen = [], 0
    for page in PAGES:
        for text, _ in printed(page.read_text(encoding="utf-8")):
            for script, words in SCRIPT.findall(text):
                if script.endswith(".md") or "[" in script:
                    continue
                seen += 1
                path = TOP / script.split("::")[0]
                if not path.exists():
                    wrong.append(f"{page.name}: there is no {script}")
                    continue
                known = options_of(path)
                missing = [o for o in re.findall(r"(?<!\S)--[a-z][a-z-]+", words) if o not in known]
                wrong += [f"{page.name}: {script} has no {option}" for option in missing]
    assert seen > 30 and not wrong, "\n".join(wrong)


@inCheckout
def test_the_templates_of_the_pages_are_there():
    names = {
        n for page in PAGES for n in re.findall(r"scipion template cryodl-(\w+)", page.read_text(encoding="utf-8"))
    }
    assert names and all((TOP / "cryodl_scipion" / "templates" / f"{n}.json.template").exists() for n in names)


@pytest.mark.parametrize("name", sorted(set(EVERY_COMMAND) - {"doctor"}))
def test_the_examples_of_the_help_are_understood(name, capsys):
    commands = re.findall(r"^(?:Then: |.*: )?cryodl (\S.*)$", EVERY_COMMAND[name].example, re.M)
    assert commands
    for command in commands:
        assert understood(command, "..." not in command) is None, (command, capsys.readouterr().err)


@inCheckout
def test_the_benchmarks_can_be_imported():
    """They use much of the engine from inside, and nobody runs them for weeks."""
    here = TOP / "benchmarks"
    code = "import run; print(len([run.load(n) for n, (module, _) in run.names().items() if module not in SCIPION]))"
    code = f"SCIPION = {{'scipion_kills', 'slurm'}}; {code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert not done.returncode and int(done.stdout) > 40, done.stderr
