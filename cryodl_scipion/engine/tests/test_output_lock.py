# SPDX-License-Identifier: GPL-3.0-or-later
"""Two commands on one output are held apart, and an engine ends with the protocol that started it."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest
from synthetic import environment

from cryodl.contract import COMMANDS, PickConfig, ReconstructConfig
from cryodl.contract.processes import PARENT_VARIABLE, has_ended, process_name, remove_abandoned, temporary_path
from cryodl.io.output_lock import lock_path, output_lock

HOLD = """
import sys, time
from cryodl.contract import COMMANDS, PickConfig, ReconstructConfig
from cryodl.io.output_lock import output_lock
command, output, *names = sys.argv[1:]
config = (PickConfig(tuple(names), 4.0, output) if command == "pick" else
          ReconstructConfig("particles.star", output))
with output_lock(COMMANDS[command], config):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """Start a process that holds the output of a command; it is killed at the end."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.mrc").write_bytes(b"x")
    started = []

    def start(*words):
        started.append(
            subprocess.Popen([sys.executable, "-c", HOLD, *words], env=environment(), text=True, stdout=subprocess.PIPE)
        )
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def reconstruct(output):
    return output_lock(COMMANDS["reconstruct"], ReconstructConfig("particles.star", output), wait=0.0)


def pick(output, *names):
    return output_lock(COMMANDS["pick"], PickConfig(names, 4.0, output), wait=0.0)


def test_a_file_that_another_command_writes_is_refused_until_that_one_is_dead(hold, tmp_path):
    process = hold("reconstruct", "map.mrc")
    words = rf"cryodl reconstruct \(process {process.pid} on .*map.mrc \(--output\). Wait"
    with pytest.raises(ValueError, match=words):
        with reconstruct("map.mrc"):
            pass
    with reconstruct("other.mrc"):
        assert lock_path(tmp_path / "other.mrc").exists()
    process.kill()
    process.wait()
    assert lock_path(tmp_path / "map.mrc").exists()  # killed: its file stays, but binds nobody
    with reconstruct("map.mrc"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mrc", "b.mrc", "c.mrc"]


def test_a_command_may_run_others_within_its_folder_and_then_on_all_of_it(hold):
    """As auto-pick does: it picks in the folder of each round, and at last in its own."""
    with reconstruct("out"):
        with pick("out/round", "a.mrc"):
            pass
        with pick("out", "a.mrc"):
            pass
    hold("reconstruct", "out")  # nothing is held afterwards
    with pytest.raises(ValueError, match="is working on"):
        with pick("out", "a.mrc"):
            pass


def test_runs_that_share_a_folder_are_held_apart_by_micrograph(hold, tmp_path):
    hold("pick", "picks", "a.mrc", "b.mrc")
    with pick("picks", "c.mrc"):
        pass
    with pytest.raises(ValueError, match="Another cryodl command is working on b in .*picks"):
        with pick("picks", "c.mrc", "b.mrc"):
            pass
    with pytest.raises(ValueError, match="is working on .*picks"):
        with reconstruct("picks"):
            pass


def test_while_one_run_trains_a_model_for_the_folder_no_other_trains_but_others_may_use_it(tmp_path, monkeypatch):
    from cryodl.contract import DenoiseMicrographsConfig

    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.mrc").write_bytes(b"x")

    def run(name):
        monkeypatch.delenv("CRYODL_HELD_LOCK", raising=False)  # as in another process
        return output_lock(COMMANDS["denoise-micrographs"], DenoiseMicrographsConfig((f"{name}.mrc",), 4.0, "out"), 0.0)

    with run("a"):
        with pytest.raises(ValueError, match="is working on the model in .*out"):
            with run("b"):
                pass
        (tmp_path / "out/model").mkdir(parents=True)
        (tmp_path / "out/model/card.json").write_text("{}")
        with run("b"):
            pass


@pytest.mark.parametrize("command", ("annotate", "pick-by-hand"))
def test_what_is_drawn_or_picked_is_one_windows_alone(tmp_path, monkeypatch, command):
    from cryodl.contract import AnnotateConfig, PickByHandConfig

    drawn = str(tmp_path / "drawn")
    config = {
        "annotate": AnnotateConfig(("a.mrc",), drawn, "membrane", "anna"),
        "pick-by-hand": PickByHandConfig(("a.mrc",), 1.0, 90.0, drawn),
    }[command]
    with output_lock(COMMANDS[command], config):
        monkeypatch.delenv("CRYODL_HELD_LOCK", raising=False)  # as in another process
        with pytest.raises(ValueError, match=f"cryodl {command} .* is working on .*drawn"):
            with output_lock(COMMANDS[command], config, 0.0):
                pass


def test_a_place_where_nothing_can_be_written_is_told_before_the_work():
    with pytest.raises(OSError, match=r"Cannot write to /sys \(--output\)"):
        with reconstruct("/sys/map.mrc"):
            pass


def test_an_output_that_is_a_file_is_told_before_the_work(tmp_path):
    (tmp_path / "picks").write_text("of another kind")
    config = PickConfig(micrographs=("a.mrc",), pixel_size=1.0, output=str(tmp_path / "picks"))
    for output in ("picks", "picks/below"):
        config = dataclasses.replace(config, output=str(tmp_path / output))
        with pytest.raises(ValueError, match=r"picks \(--output\) is a file, and a folder is needed there\. Choose"):
            with output_lock(COMMANDS["pick"], config):
                pass


def test_a_full_disk_is_told_with_the_output(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '.*/map.mrc'"):
        with reconstruct(tmp_path / "map.mrc"), open("/dev/full", "wb", buffering=0) as file:
            file.write(b"1")


def test_a_training_keeps_its_step_when_its_protocol_ends(tmp_path):
    """A time limit ends the protocol at once, while the training is in a step."""
    engine = (
        "import os, time; from cryodl.io import stopping; stopping.end_with_parent()\n"
        "with stopping.stoppable(), stopping.held() as asked:\n"
        "    open('engine', 'w').write(str(os.getpid()))\n"
        "    while not asked(): time.sleep(0.1)\n"
        "    time.sleep(1.5); open('kept', 'w').write(str(asked()))"
    )
    protocol = (
        "import os, subprocess, sys; from cryodl.contract.processes import *; "
        "subprocess.run([sys.executable, '-c', os.environ['ENGINE']], env=dict(os.environ, "
        "CRYODL_PARENT=process_name()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", protocol], cwd=tmp_path, env=dict(environment(), ENGINE=engine))
    try:
        _wait(lambda: (tmp_path / "engine").exists() and (tmp_path / "engine").read_text())
    finally:
        parent.kill()
        parent.wait()
    _wait(lambda: (tmp_path / "kept").exists() and (tmp_path / "kept").read_text() == "15")


def test_an_engine_ends_with_its_protocol_also_behind_a_shell(tmp_path):
    """protocol -> shell -> engine; the protocol is killed with SIGKILL."""
    engine = (
        "import os, time; from cryodl.io.stopping import end_with_parent; end_with_parent(); "
        "open('engine', 'w').write(str(os.getpid())); time.sleep(60)"
    )
    protocol = (
        "import os, subprocess, sys; from cryodl.contract.processes import *; "
        "subprocess.run('true; \"' + sys.executable + '\" -c \"$ENGINE\"; true', shell=True, "
        "env=dict(os.environ, CRYODL_PARENT=process_name()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", protocol], cwd=tmp_path, env=dict(environment(), ENGINE=engine))
    try:
        _wait(lambda: (tmp_path / "engine").exists() and (tmp_path / "engine").read_text())
        child = process_name(int((tmp_path / "engine").read_text()))
        assert child and not has_ended(child)
    finally:
        parent.kill()
        parent.wait()
    _wait(lambda: has_ended(child))


def test_an_engine_started_by_hand_outlives_its_shell(tmp_path):
    code = (
        "import time; from cryodl.io.stopping import end_with_parent; end_with_parent(); time.sleep(1.2); "
        "open('done', 'w')"
    )
    variables = {k: v for k, v in environment().items() if k != PARENT_VARIABLE}
    subprocess.run(f"nohup '{sys.executable}' -c \"{code}\" >log 2>&1 &", shell=True, cwd=tmp_path, env=variables)
    _wait((tmp_path / "done").exists)
    assert (tmp_path / "done").exists()


def test_a_process_of_another_machine_is_never_said_to_have_ended():
    boot, namespace, pid, start = process_name().split(":")
    assert not has_ended(process_name())
    assert has_ended(f"{boot}:{namespace}:{pid}:{int(start) - 1}")  # the number was used again
    assert not has_ended(f"other:{namespace}:{pid}:1") and not has_ended(f"{boot}:0:{pid}:1")


def test_temporary_files_of_dead_processes_go_and_all_others_stay(tmp_path):
    mine = temporary_path(tmp_path / "a.star")
    assert mine.endswith(f".{os.getpid()}.tmp.star")
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = [
        os.path.basename(mine).replace(str(os.getpid()), str(dead.pid)),
        os.path.basename(mine),
        f".a.star.elsewhere.{dead.pid}.tmp.star",
        "notes.tmp",
    ]
    for name in names:
        (tmp_path / name).write_text("x")
    assert remove_abandoned(tmp_path) == names[:1]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[1:])


def _wait(ready, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)
