# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cryodl` of the installed plugin, and the check of a Python that the user names. No torch, no network."""

import os
import subprocess
import sys

import pytest

from cryodl_scipion.engine.cryodl.contract.packages import NEEDED
from cryodl_scipion.starting import command_line, environment
from cryodl_scipion.tests.programs import writeProgram

TOP = os.path.dirname(os.path.dirname(environment.engineFolder()))
SCRIPT = os.path.join(TOP, "cryodl_scipion_command.py")
inCheckout = pytest.mark.skipif(not os.path.exists(SCRIPT), reason="the command's file lies beside the package")

# A Python that answers the question which modules import, and shows how it was started otherwise.
PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then echo asked >>"{log}"; echo 'cryodl:{answer}'; exit; fi
echo "started $*"; echo "path $PYTHONPATH"; echo "home ${{PYTHONHOME-none}}"
"""
COMPLETE = '[[3, 11], {}, "/nowhere"]'


@pytest.fixture
def ownPython(tmp_path, monkeypatch):
    """ownPython(answer): the path of a Python that gives it, and a function that counts how often it was asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(answer=COMPLETE, name="python"):
        log = tmp_path / (name + ".log")
        writeProgram(tmp_path / name, PYTHON.format(answer=answer, log=log))
        return str(tmp_path / name), lambda: len(log.read_text().split()) if log.exists() else 0

    return make


def run(*arguments, **variables):
    """The command in a process of its own, with these environment variables alone."""
    return subprocess.run(
        [sys.executable, "-S", SCRIPT] + list(arguments),
        env=dict(dict(PATH="/usr/bin:/bin"), **variables),
        capture_output=True,
        text=True,
    )


@inCheckout
def test_the_command_starts_the_engine_in_its_own_python_without_scipions_variables(ownPython, tmp_path):
    python, _ = ownPython()
    done = run(
        "pick", "--help me", CRYODL_PYTHON=python, XDG_CACHE_HOME=str(tmp_path), PYTHONHOME="", VIRTUAL_ENV="/elsewhere"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "started -m cryodl pick --help me",
        "path " + environment.engineFolder(),
        "home none",
    ]


@inCheckout
def test_the_command_is_standard_library_only():
    code = (
        f"import sys; sys.argv = ['cryodl', 'pick']; sys.path.insert(0, {TOP!r}); import cryodl_scipion_command "
        "as c; c.main(); print([m for m in sys.modules if m.split('.')[0] in ('pwem', 'pyworkflow', 'numpy', "
        "'matplotlib')])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=dict(PATH="/usr/bin:/bin", CRYODL_PYTHON="/nothing"),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]" and "/nothing" in done.stderr


@inCheckout
def test_without_an_environment_the_sentence_names_where_it_was_looked_for_and_what_to_do(tmp_path):
    done = run("pick", CRYODL_HOME=str(tmp_path / "empty"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert str(tmp_path / "empty") in done.stderr and "scipion installb cryodl" in done.stderr


@inCheckout
def test_an_environment_whose_python_cannot_be_read_is_not_called_missing(tmp_path):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to(tmp_path / "of_another_user" / "python3.11")
    done = run("pick", CRYODL_HOME=str(tmp_path))
    assert (
        done.returncode == 1 and "of_another_user/python3.11, was removed or lies where only its owner" in done.stderr
    )


@inCheckout
def test_projects_are_checked_in_scipions_python_alone():
    done = run("check-project", "mine")  # without site-packages there is no Scipion
    assert done.returncode == 1 and "runs in Scipion's Python" in done.stderr and done.stderr.count("\n") == 1


def test_scipions_folder_of_software_is_looked_into(tmp_path):
    found = command_line.homes(dict(SCIPION_HOME="/scipion", EM_ROOT="/em"))
    assert found[0].startswith("/em/cryodl-") and any(f.startswith("/scipion/software/em/cryodl-") for f in found)
    assert command_line.homes(dict(CRYODL_HOME="/own", EM_ROOT="/em")) == ["/own"]
    assert command_line.homes(dict(CRYODL_HOME="~/own")) == [os.path.expanduser("~/own")]


def test_a_program_that_is_no_python_is_refused():
    (problem,) = environment.environmentProblems("", "/bin/true")
    assert "/bin/true, which is not a Python" in problem and "requirements.lock" in problem


def test_a_file_that_is_no_program_is_refused(tmp_path):
    assert "not an executable file" in environment.environmentProblems("", str(tmp_path / "nothing"))[0]


def test_each_package_that_a_python_lacks_is_named_with_the_reason(ownPython):
    python, _ = ownPython('[[3, 10], {"torch": "ImportError: no CUDA", "skimage": "none such"}, "/nowhere"]')
    (problem,) = environment.environmentProblems("", python)
    assert "torch (ImportError: no CUDA)" in problem and "scikit-image (none such)" in problem
    assert "this is Python 3.10" in problem


def test_a_complete_python_is_asked_once_until_it_changes(ownPython):
    python, asked = ownPython()
    assert environment.environmentProblems("", python) == [] == environment.environmentProblems("", python)
    assert asked() == 1
    os.utime(python, (1, 1))
    assert environment.environmentProblems("", python) == [] and asked() == 2


def test_an_incomplete_python_is_asked_each_time(ownPython):
    python, asked = ownPython('[[3, 11], {"gemmi": "none"}, "/nowhere"]')
    assert environment.environmentProblems("", python) and environment.environmentProblems("", python) and asked() == 2


def test_a_real_python_says_which_modules_it_cannot_import():
    version, missing, packages = environment.askPython(sys.executable, ["json", "no_such_module"])
    assert list(missing) == ["no_such_module"] and version == list(sys.version_info[:2]) and os.path.isdir(packages)


def test_the_packages_that_are_checked_are_those_of_the_environment():
    with open(environment.installFile("requirements.in")) as file:
        lines = [line.strip() for line in file if line.strip() and line[0] != "#"]
    assert sorted(line.split("==")[0] for line in lines) == sorted(NEEDED)
