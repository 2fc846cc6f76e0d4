# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that several files share."""

import importlib.util
from pathlib import Path

import pytest
from synthetic import blob_project, write_untrained_model

from cryodl.contract import Result

_FILE = Path(__file__).resolve().parents[2] / "tests" / "documented.py"  # of the fake engine, too


@pytest.fixture
def project(tmp_path):
    """A folder with two labelled micrographs and a model of random weights, which fires at noise."""
    blob_project(tmp_path)
    write_untrained_model(tmp_path / "model")
    return tmp_path


@pytest.fixture(autouse=True)
def outputs_are_documented(monkeypatch):
    """Every result that a command writes in a test has the outputs that the command documents."""
    spec = importlib.util.spec_from_file_location("documented", _FILE)
    documented = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(documented)
    write = Result.write

    def checked(result, path):
        if "python" in result.versions:  # of a command that ran, not of a test that makes up a result
            documented.checkOutputs(result.command, result.outputs)
        write(result, path)

    monkeypatch.setattr(Result, "write", checked)
