# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial's commands do what its page says."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from cryodl.running.cli import main

TOP = Path(__file__).parents[4]
PAGE = TOP / "docs" / "tutorial.md"


@pytest.mark.skipif(not PAGE.exists(), reason="needs the checkout's pages")
def test_the_tutorials_commands_give_what_the_page_says(tmp_path, monkeypatch, capsys):
    """The training is cut short: two steps tell whether the command is right."""
    for folder in ("micrographs", "coordinates"):
        shutil.copytree(TOP / "data" / "demo" / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    printed = {}
    for program, name, *words in commands:
        assert program == "cryodl"
        assert main([name, *words, *(["--steps", "2"] if name == "train-picker" else [])]) == 0
        printed.setdefault(name, capsys.readouterr().out)
    assert "370 picks in 3 micrographs" in PAGE.read_text(encoding="utf-8")
    picks = int(re.search(r"(\d+) picks in 3 micrographs", printed["pick"]).group(1))
    assert abs(picks - 370) < 40
    precision, recall = map(float, re.search(r"(\S+) +(\S+) .* all together", printed["evaluate-picks"]).groups())
    assert precision == pytest.approx(0.65, abs=0.08) and recall == pytest.approx(0.98, abs=0.03)
    assert "3 good and 0 bad micrographs" in printed["assess-micrographs"]
    assert (tmp_path / "picks" / "pictures" / "065.png").exists() and (
        tmp_path / "models" / "mine" / "card.json"
    ).exists()
