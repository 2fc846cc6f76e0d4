# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as functions of the package."""

import json
import subprocess
import sys

import numpy as np
import pytest
from synthetic import ENGINE, blob_project, environment, write_untrained_model

import cryodl
from cryodl.contract import COMMANDS
from cryodl.io.star import write_tables

NOTEBOOK = ENGINE.parents[1] / "docs" / "notebook.ipynb"


def test_a_command_is_called_with_its_parameters_and_gives_its_outputs(tmp_path):
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model")
    result = cryodl.pick(
        micrographs=str(tmp_path / "mics/*.mrc"),
        pixel_size=4,
        model=tmp_path / "model",
        output=tmp_path / "out",
        device="cpu",
        threads=1,
    )
    assert list(result.outputs.counts) == ["mic0"] and (tmp_path / "out/mic0.star").exists()


def test_every_command_is_there_with_its_parameters_in_its_help():
    assert {command.function for command in COMMANDS.values()} - {"doctor"} <= set(dir(cryodl))
    assert "Resolution of the map" in cryodl.improve_map.__doc__


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: cryodl.pik, AttributeError, "did you mean pick?"),
        (lambda: cryodl.pick(pixel_sise=1), TypeError, "has no parameter pixel_sise; did you mean pixel_size?"),
        (lambda: cryodl.pick(pixel_size=1), TypeError, "pick() needs micrographs"),
        (lambda: cryodl.improve_map(map="a.mrc", overlap=99), ValueError, "it must be between 0 and 44 px"),
    ],
)
def test_mistakes_are_said_in_a_sentence(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


def test_importing_the_package_imports_no_torch():
    code = "import cryodl, sys; dir(cryodl); sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0


@pytest.mark.skipif(not NOTEBOOK.exists(), reason="the pages are not here")
def test_the_notebook_of_the_pages_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    (tmp_path / "data").symlink_to(NOTEBOOK.parents[1] / "data")
    names = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["found"].outputs.metrics["f1"] > 0.7
    assert len(names["picks"]["rlnCoordinateX"]) == names["result"].outputs.counts["063"] > 50


@pytest.mark.parametrize("names", (["063", "1064"], ["20240101_001", "20240101_002"]))
def test_names_of_digits_stay_names(tmp_path, names):
    (tmp_path / "a.csv").write_text("name,x\n" + "".join(f"{name},0.5\n" for name in names), encoding="utf-8")
    found = cryodl.table(tmp_path / "a.csv")
    assert found["name"].tolist() == names and found["x"].tolist() == [0.5, 0.5]


def test_tables_are_read_by_column(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("name,x\na,1.5\nb,\n", encoding="utf-8")
    found = cryodl.table(tmp_path / "a.csv")
    assert list(found["name"]) == ["a", "b"] and found["x"][0] == 1.5 and np.isnan(found["x"][1])
    write_tables(
        tmp_path / "a.star", dict(optics=dict(rlnVoltage=[300.0]), particles=dict(rlnImageName=["1@a", "2@a"]))
    )
    assert list(cryodl.table(tmp_path / "a.star")["rlnImageName"]) == ["1@a", "2@a"]
    assert cryodl.table(tmp_path / "a.star", "optics")["rlnVoltage"] == [300.0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pandas"):  # the file is not damaged
        cryodl.table(tmp_path / "a.star", pandas=True)
    with pytest.raises(ValueError, match="a.star has no table 'x'; it has 'optics', 'particles'"):
        cryodl.table(tmp_path / "a.star", "x")
