# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's installer, and what Plugin says about it. No network, no torch."""

import re
import shlex
import subprocess

import pytest

from cryodl_scipion import Plugin
from cryodl_scipion.starting import environment
from cryodl_scipion.tests.programs import writeProgram

# Stands for a program that makes environments: its python takes every command and writes each into $LOG.
FAKE_ENVIRONMENT = """#!/bin/sh
echo "{name} $*" >>"$LOG"
for word; do case $word in */env) env=$word ;; esac; done
mkdir -p "$env/bin"
cat >"$env/bin/python" <<'END'
#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in *"$BREAK"*) [ -z "$BREAK" ] || exit 1 ;; esac
for word; do
  [ "$before" != --report ] || echo "$REPORT" | sed "s/TORCH/$TORCH/g" >"$word"
  before=$word
done
case "$*" in *--report*)
  info=$(dirname "$0")/../lib/python3.11/site-packages/torch-2.13.0.dist-info
  mkdir -p "$info"
  echo "Requires-Dist: $NEEDS" >"$info/METADATA"
esac
END
chmod +x "$env/bin/python"
exit {code}
"""


# sha256 of torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl, as pytorch.org lists it
CPU_BUILD = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
OLD_REPORT = '{"archive_info": {"hash": "sha256=TORCH"}}'  # of pip 23.0, which Debian 12 has
REPORT = '{"archive_info": {"hash": "sha256=TORCH", "hashes": {"sha256": "TORCH"}}}'


class Installer:
    """install_env.sh with programs of our own; `log` is what they were asked to do."""

    def __init__(self, folder):
        self.bin, self.home, self.logFile = folder / "bin", folder / "my home", folder / "log"

    def has(self, name, code=0):
        writeProgram(self.bin / name, FAKE_ENVIRONMENT.format(name=name, code=code))

    def run(self, breakAt="", torch=CPU_BUILD, needs="numpy", report=REPORT, **variables):
        # The machine's own conda or uv stay out: PATH has only the system's folders.
        fake = dict(LOG=str(self.logFile), BREAK=breakAt, TORCH=torch, NEEDS=needs, REPORT=report)
        env = {"HOME": str(self.home), **fake, "PATH": f"{self.bin}:/usr/bin:/bin", **variables}
        return subprocess.run(
            ["bash", environment.installFile("install_env.sh"), str(self.home)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def log(self):
        return self.logFile.read_text() if self.logFile.exists() else ""

    def problems(self):
        return environment.environmentProblems(str(self.home), "")


@pytest.fixture
def installer(tmp_path):
    return Installer(tmp_path)


def test_installing_ends_with_a_marker_that_the_plugin_accepts(installer):
    installer.has("micromamba")
    done = installer.run()
    assert done.returncode == 0, done.stdout
    assert installer.problems() == []
    assert "micromamba create" in installer.log and "requirements.lock" in installer.log
    assert installer.log.index("-m pip install") < installer.log.index("-m cryodl doctor")


def test_installing_twice_does_nothing_the_second_time(installer):
    installer.has("conda")
    assert installer.run().returncode == 0
    before = installer.log
    done = installer.run()
    assert done.returncode == 0 and installer.log == before and "is ready" in done.stdout


@pytest.mark.parametrize("breakAt", ["pip install", "cryodl doctor"])
def test_a_half_installed_environment_is_named_and_made_anew(installer, breakAt):
    installer.has("mamba")
    assert installer.run(breakAt=breakAt).returncode != 0
    assert "incomplete" in installer.problems()[0] and "installb cryodl" in installer.problems()[0]
    (installer.home / "env" / "leftover").write_text("")
    assert installer.run().returncode == 0
    assert installer.problems() == [] and not (installer.home / "env" / "leftover").exists()


def test_when_conda_fails_the_next_way_is_taken(installer):
    installer.has("conda", code=1)
    installer.has("uv")
    done = installer.run()
    assert done.returncode == 0, done.stdout
    assert "conda could not make an environment" in done.stdout and "uv venv" in installer.log


def test_pip_arguments_of_the_user_reach_pip(installer):
    installer.has("conda")
    installer.run(CRYODL_PIP_ARGS="--extra-index-url file:///wheels --no-cache-dir")
    assert "requirements.lock --extra-index-url file:///wheels --no-cache-dir" in installer.log


def test_every_pip_tells_the_checksum_of_torch(installer):
    installer.has("conda")
    assert installer.run(report=OLD_REPORT).returncode == 0
    next((installer.home / "env").glob("cryodl-ready-*")).unlink()
    done = installer.run(report='{"archive_info": {}}')
    assert done.returncode == 1 and "(sha256 unknown) that is not in requirements.torch" in done.stdout


@pytest.mark.parametrize("report", [OLD_REPORT, REPORT])
def test_torch_is_held_to_its_checksum_unless_the_user_names_where_it_is(installer, report):
    installer.has("conda")
    done = installer.run(torch="0" * 64, report=report)
    assert done.returncode == 1 and "that is not in requirements.torch, so it may not be used" in done.stdout
    assert installer.problems() and "cryodl doctor" not in installer.log
    done = installer.run(torch="0" * 64, report=report, CRYODL_PIP_ARGS="--extra-index-url file:///wheels")
    assert done.returncode == 0 and "nobody compared its checksum" in done.stdout


@pytest.mark.parametrize("needs, checked", [("numpy", False), ("nvidia-cublas==13.1.1.3", True)])
def test_what_the_build_for_cuda_needs_is_held_to_its_checksums_too(installer, needs, checked):
    installer.has("conda")
    assert installer.run(needs=needs).returncode == 0
    assert ("--require-hashes --no-deps -r" in installer.log.split("--report")[1]) is checked


def test_a_python_in_the_installers_home_is_told_to_others(installer, tmp_path):
    moved = 'mkdir -p "$HOME"; mv "$env/bin/python" "$HOME/python3.11"; ln -s "$HOME/python3.11" "$env/bin/python"'
    program = FAKE_ENVIRONMENT.format(name="conda", code=0)
    writeProgram(installer.bin / "conda", program.replace("\nexit 0", f"\n{moved}"))
    done = installer.run(HOME=str(tmp_path / "root"))
    assert done.returncode == 0 and f"lies in your home ({tmp_path}/root/python3.11)" in done.stdout


def test_environment_of_another_lock_is_named(installer):
    (installer.home / "env").mkdir(parents=True)
    (installer.home / "env" / "cryodl-ready-000000000000").write_text("")
    assert "another version" in installer.problems()[0]


def test_missing_environment_is_named_with_its_folder_and_the_remedy(installer):
    (problem,) = installer.problems()
    assert str(installer.home) in problem and "scipion installb cryodl" in problem


def test_install_command_keeps_special_characters(tmp_path):
    home = str(tmp_path / "it's 100% $HOME")
    command = environment.installCommand(home, "--find-links '/a b'", "true && ")
    words = shlex.split(command)
    assert words[:2] == ["true", "&&"] and words[-1] == home and "CRYODL_PIP_ARGS=--find-links '/a b'" in words


def test_lock_is_exact_and_has_no_index_and_no_local_label():
    with open(environment.installFile("requirements.lock")) as file:
        lines = [line.strip() for line in file if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in lines)


def test_every_locked_package_has_checksums():
    checked = _read("requirements.hashes") + _read("requirements.torch")
    names = set(re.findall(r"^(\S+==\S+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", checked, re.M))
    locked = {line for line in _read("requirements.lock").splitlines() if not line.startswith("#")}
    assert locked <= names and checked.count("==") - checked.count(" == ") == len(names)
    assert all(name.startswith(("nvidia-", "cuda-", "triton==")) for name in names - locked)
    assert f"--hash=sha256:{CPU_BUILD}" in checked


def _read(name):
    with open(environment.installFile(name), encoding="utf-8") as file:
        return file.read()


def test_nothing_of_scipions_python_leaks_into_the_engine(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/scipion")
    monkeypatch.setenv("PYTHONHOME", "/scipion")
    monkeypatch.setenv("VIRTUAL_ENV", "/scipion")
    environ = Plugin.getEnviron()
    assert environ["PYTHONPATH"] == Plugin.getEngineFolder() and environ["PYTHONNOUSERSITE"] == "1"
    assert "PYTHONHOME" not in environ and "VIRTUAL_ENV" not in environ
