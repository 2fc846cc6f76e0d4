# SPDX-License-Identifier: GPL-3.0-or-later
"""Too little memory, and stopped commands: sentences that say what is true and what helps."""

import resource
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from synthetic import environment, run_cryodl
from test_bad_input import pick_arguments, train_arguments

from cryodl.contract import COMMANDS, EVERY_COMMAND, Failure
from cryodl.io import memory
from cryodl.io.memory import (
    _file_cache,
    available_memory,
    is_memory_error,
    memory_sentence,
    release_pages,
    require_memory,
)
from cryodl.io.stacks import read_images
from cryodl.running.cli import main


def test_errors_of_numpy_and_of_torch_are_known():
    errors = []
    for allocate in (lambda: np.zeros((1 << 28, 1 << 28), np.int8), lambda: torch.zeros(1 << 58)):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            allocate()
        errors.append(caught.value)
    errors.append(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert all(map(is_memory_error, errors)) and not is_memory_error(RuntimeError("shapes differ"))
    sentence = memory_sentence(errors[2], COMMANDS["train-picker"])
    assert sentence.startswith("too little memory (a part of 2.00 GiB was refused). Try a smaller batch size (--batch-")
    assert "Use a machine" in memory_sentence(MemoryError(), COMMANDS["segment"])
    assert memory_sentence(MemoryError(), COMMANDS["reconstruct"]).startswith("too little memory. Use a machine")
    assert memory_sentence(ValueError("x"), COMMANDS["pick"]) == ""


def test_too_little_memory_is_the_users_to_mend(project, monkeypatch, capsys):
    def full(config, *more, **settings):
        raise MemoryError

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick", full)
    assert main(pick_arguments(project)) == 2
    assert Failure.read(project / "failure.json").kind == "input"
    error = capsys.readouterr().err
    assert "Traceback" not in error and "too little memory" in error


def test_the_limit_of_the_process_counts():
    code = (
        "import resource, torch; from cryodl.io.memory import *; there = available_memory(); "
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); print(there, available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert after < min(before + 1, 3 << 30)
    require_memory(1e6, "A map", "Bin it.")
    with pytest.raises(ValueError, match="A map needs 1e[+]06 GB of memory, but .* GB are free. Bin it."):
        require_memory(1e15, "A map", "Bin it.")
    assert available_memory() > 1e8


def test_a_real_limit_on_memory_ends_in_a_sentence(project):
    """The libraries alone take 1.4 GB of address space here; the limit leaves the training next to nothing."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (int(1.6e9), int(1.6e9)))
    done = run_cryodl(train_arguments(project, **{"--batch-size": 512}), project, limit)
    assert done.returncode == 2, done.stderr
    assert "memory" in done.stderr and "--batch-size" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command, words",
    [
        ("pick", "continues after the last finished micrograph"),
        ("train-denoiser", "at the step that it had reached"),
        ("denoise", "begins anew"),
        ("consensus-picks", "begins anew"),
        ("annotate", "is in the annotations"),
        ("estimate-ctf", "continues after the last finished micrograph"),
        ("pick-filaments", "continues after the last finished micrograph"),
        ("train-filament-picker", "at the step that it had reached"),
        ("classify-2d", "continues after the last finished pass"),
        ("pick-by-hand", "is in the folder of coordinates"),
    ],
)
def test_ctrl_c_says_what_the_same_command_will_do(command, words):
    assert words in EVERY_COMMAND[command].stopped


def test_ctrl_c_ends_with_that_sentence(project, monkeypatch, capsys):
    def stopped(config, *more, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick", stopped)
    assert main(pick_arguments(project)) == 130
    assert COMMANDS["pick"].stopped in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", "a\nb"])
def test_a_name_cannot_leave_the_output_folder(project, capsys, name):
    assert main(pick_arguments(project, more=["--names", "fine", name])) == 2
    assert "cannot be the name of a file in the output folder" in capsys.readouterr().err
    assert not (project / "out").exists()


def test_cached_files_of_a_control_group_count_as_free(tmp_path):
    (tmp_path / "memory.stat").write_text("anon 700\ninactive_file 30\nactive_file 12\ntotal_active_file 99\n")
    assert _file_cache(str(tmp_path / "memory.stat"), "") == 42
    assert _file_cache(str(tmp_path / "none"), "") == 0


def resident():
    """MB of this process that are in memory."""
    words = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(words["VmRSS"].split()[0]) / 1024


def test_pages_of_a_mapped_file_leave_the_memory_and_what_was_written_stays(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (64, 2**18))  # 64 MB
    before = resident()
    for number in range(64):
        array[number] = number
    assert resident() > before + 50
    release_pages(array)
    assert resident() < before + 10
    assert np.array_equal(array[:, 5], np.arange(64))
    assert np.array_equal(np.load(tmp_path / "a.npy")[:, -1], array[:, 0])
    release_pages(np.zeros(3))  # others are left as they are


def test_a_stack_that_is_read_in_parts_is_not_held_as_a_whole(tmp_path):
    mrcfile.write(tmp_path / "s.mrcs", np.ones((4000, 64, 64), np.float32))  # 66 MB
    before = resident()
    for start in range(0, 4000, 250):
        numbers = np.arange(start, start + 250)
        assert read_images([str(tmp_path / "s.mrcs")] * 250, numbers).shape == (250, 64, 64)
    assert resident() < before + 30


@pytest.mark.parametrize("groups", ["0::/slurm/job_1/step\n", "5:cpu:/\n4:memory:/slurm/job_1/step\n0::/\n"])
def test_the_limit_of_a_queue_s_job_counts_wherever_its_group_lies(tmp_path, monkeypatch, groups):
    second = groups.startswith("0")
    top = tmp_path / ("sys/fs/cgroup" if second else "sys/fs/cgroup/memory")
    limit, used = ("max", "current") if second else ("limit_in_bytes", "usage_in_bytes")
    (top / "slurm/job_1/step").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    none = "max" if second else "9223372036854771712"
    for place, allowed, taken in ((".", none, 9), ("slurm/job_1", 4000, 1000), ("slurm/job_1/step", none, 500)):
        (top / place / f"memory.{limit}").write_text(str(allowed))
        (top / place / f"memory.{used}").write_text(str(taken))
    monkeypatch.setattr(memory, "Path", lambda *parts: Path(tmp_path, *(str(part).lstrip("/") for part in parts)))
    assert memory._group() == 3000
