# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as functions of the package."""

import subprocess
import sys

import pytest
from synthetic import blob_project, environment, write_untrained_model

import cryodl
from cryodl.contract import COMMANDS


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
