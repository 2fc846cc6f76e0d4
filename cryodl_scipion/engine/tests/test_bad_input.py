# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input through the command line: exit code 2 and one sentence that names what is wrong and what to do.

| Bad input | test |
|---|---|
| empty set | test_an_empty_set_is_an_error |
| micrographs of different sizes | test_pick.py: test_micrographs_of_different_sizes_and_formats_in_one_run |
| micrographs of different pixel sizes | test_predict.py: test_the_same_scene_at_two_pixel_sizes_gives_the_same_places |
| truncated or corrupt MRC | test_bad_files_are_skipped_with_their_reason; test_micrographs.py |
| all zeros, all NaN | test_bad_files_are_skipped_with_their_reason; test_normalize.py |
| missing file | test_a_file_that_is_missing_is_named |
| coordinate outside its micrograph | test_training_says_what_is_wrong_with_its_labels |
| names that do not match | test_training_says_what_is_wrong_with_its_labels |
| too few coordinates | test_training_says_what_is_wrong_with_its_labels |
| particle larger than the micrograph | test_a_particle_larger_than_the_micrograph_is_refused |
| model of another version, damaged, not a model | test_what_is_no_model_is_refused; test_model.py |
| disk full | test_a_full_disk_is_named_and_leaves_no_half_file; test_files.py |
| killed in the middle | test_interrupted.py; test_training.py |
| GPU asked for and absent | test_a_gpu_that_is_absent_is_an_error; test_devices.py |
| GPU or host memory too small | test_predict.py: test_too_little_memory_...; test_too_little_memory_for_training_... |
| spaces, % and quotes in paths | test_pick.py and test_train_picker.py: test_paths_with_spaces_percent_and_quotes |
| one bad among many | test_pick.py and test_train_picker.py: test_one_bad_... |
"""

import errno
import json
import resource
import shutil

import numpy as np
import pytest
import torch
from synthetic import run_cryodl, write_mrc, write_star

from cryodl.contract import Failure, Result
from cryodl.io import micrographs
from cryodl.running.cli import _sentence, main


def pick_arguments(folder, micrographs=("mics/*.mrc",), model="model", more=()):
    return [
        "pick",
        "--micrographs",
        *[str(folder / m) for m in micrographs],
        "--pixel-size",
        "4",
        "--model",
        str(folder / model),
        "--output",
        str(folder / "out"),
        "--device",
        "cpu",
        "--result",
        str(folder / "result.json"),
        *more,
    ]


def train_arguments(folder, **values):
    values = dict(
        {
            "--micrographs": folder / "mics/*.mrc",
            "--coordinates": folder / "coordinates",
            "--pixel-size": 4,
            "--particle-diameter": 120,
            "--output": folder / "new",
            "--device": "cpu",
            "--steps": 2,
            "--batch-size": 1,
            "--result": folder / "result.json",
        },
        **values,
    )
    return ["train-picker", *[str(part) for pair in values.items() for part in pair]]


def message_of(arguments, folder, capsys, kind="input"):
    """The message of a command that must fail by the user's fault; the same on stderr and in failure.json."""
    assert main(arguments) == 2
    failure = Failure.read(folder / "failure.json")
    printed = capsys.readouterr().err
    assert failure.kind == kind and printed.splitlines()[-1] == f"cryodl: error: {failure.message}"
    assert "Traceback" not in printed and not (folder / "result.json").exists()
    return failure.message


def test_an_empty_set_is_an_error(project, capsys):
    request = dict(
        contract_version=1,
        command="pick",
        config=dict(micrographs=[], pixel_size=4.0, model=str(project / "model"), output=str(project / "out")),
    )
    (project / "request.json").write_text(json.dumps(request))
    arguments = ["pick", "--request", str(project / "request.json"), "--result", str(project / "result.json")]
    message = message_of(arguments, project, capsys)
    assert "Micrographs (--micrographs) is empty" in message
    (project / "list.txt").write_text("")
    assert "lists no file" in message_of(pick_arguments(project, ["list.txt"]), project, capsys)
    assert "No file matches" in message_of(pick_arguments(project, ["nothing*.mrc"]), project, capsys)


def test_a_file_that_is_missing_is_named(project, capsys):
    assert "gone.mrc" in message_of(pick_arguments(project, ["gone.mrc"]), project, capsys)
    message = message_of(train_arguments(project, **{"--coordinates": project / "gone"}), project, capsys)
    assert "Coordinates" in message and "gone do not exist" in message


def damage(path):
    """{name: file} of micrographs that cannot be picked."""
    whole = (path / "mic0.mrc").read_bytes()
    nan = np.full((256, 320), np.nan, np.float32)
    (path / "truncated.mrc").write_bytes(whole[: len(whole) // 2])
    (path / "header_only.mrc").write_bytes(whole[:1024])
    (path / "empty.mrc").write_bytes(b"")
    (path / "rubbish.mrc").write_bytes(b"rubbish " * 5000)
    write_mrc(path / "zeros.mrc", np.zeros((256, 320), np.float32))
    (path / "nan.mrc").write_bytes(whole[:1024] + nan.tobytes())
    write_mrc(path / "movie.mrc", np.zeros((3, 256, 320), np.float32))
    (path / "folder.mrc").mkdir()
    return {
        "truncated": "truncated",
        "header_only": "truncated",
        "empty": "0 bytes",
        "rubbish": "readable|damaged",
        "zeros": "constant",
        "nan": "not numbers",
        "movie": "motion-corrected",
        "folder": "is a folder",
    }


def test_bad_files_are_skipped_with_their_reason(project):
    import re

    expected = damage(project / "mics")
    assert main(pick_arguments(project)) == 0
    result = Result.read(project / "result.json")
    assert {s.item for s in result.skipped} == set(expected)
    for skipped in result.skipped:
        assert re.search(expected[skipped.item], skipped.reason), skipped
    assert set(result.outputs["coordinates"]) == {"mic0", "mic1"}
    assert any(f"{len(expected)} micrographs were skipped" in w for w in result.warnings)


def test_if_all_are_bad_the_run_fails_and_names_the_first(project, capsys):
    for i in (0, 1):
        write_mrc(project / f"mics/mic{i}.mrc", np.zeros((256, 320), np.float32))
    # a caller in batches must tell it from other errors
    message = message_of(pick_arguments(project), project, capsys, kind="all skipped")
    assert "Of 2 micrographs, none" in message and "mic0.mrc" in message and "constant" in message


def test_a_file_that_may_not_be_read_is_skipped(project, monkeypatch):
    real = micrographs.read_data

    def unreadable(path, header):
        if str(path).endswith("mic1.mrc"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, header)

    monkeypatch.setattr(micrographs, "read_data", unreadable)
    assert main(pick_arguments(project)) == 0
    (skipped,) = Result.read(project / "result.json").skipped
    assert skipped.item == "mic1" and "Permission denied" in skipped.reason


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda f: write_star(f / "coordinates/mic1.star", [[10, 10], [900, 20]]),
            ("1 coordinate of mic1 outside", "mic1.mrc (320 x 256 px)", "x 20, y 900", "binning"),
        ),
        (
            lambda f: [p.rename(p.with_name(f"other_{p.name}")) for p in list((f / "coordinates").iterdir())],
            ("other_mic0, other_mic1", "mic0, mic1", "without folder and extension"),
        ),
        (
            lambda f: [write_star(f / f"coordinates/mic{i}.star", [[50, 50]]) for i in (0, 1)],
            ("has 2 particles", "at least"),
        ),
        (
            lambda f: [p.unlink() for p in list((f / "coordinates").iterdir())],
            ("has no coordinates", ".star, .box, .cbox"),
        ),
        (
            lambda f: (f / "coordinates/mic0.star").write_text("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 a\n"),
            ("mic0.star", "'a'"),
        ),
        (
            lambda f: shutil.copy(f / "coordinates/mic0.star", f / "coordinates/mic0_autopick.star"),
            ("mic0", "mic0_autopick", "Keep one"),
        ),
    ],
    ids=["outside", "names", "too few", "no files", "bad number", "two lists"],
)
def test_training_says_what_is_wrong_with_its_labels(project, capsys, change, words):
    change(project)
    message = message_of(train_arguments(project), project, capsys)
    for word in words:
        assert word in message
    assert not (project / "new").exists()


def test_a_particle_larger_than_the_micrograph_is_refused(project, capsys):
    message = message_of(
        pick_arguments(project, more=["--particle-diameter", "2000"]), project, capsys, kind="all skipped"
    )
    for word in ("2000 Å", "256 px x 4 Å/px", "Check pixel size and diameter"):
        assert word in message
    message = message_of(train_arguments(project, **{"--particle-diameter": 2000}), project, capsys)
    assert "2000 Å" in message and ".mrc" in message


def test_a_particle_of_a_few_pixels_is_refused(project, capsys):
    """The pixel size is ten times too large: the micrograph would be blown up tenfold."""
    message = message_of(train_arguments(project, **{"--pixel-size": 40}), project, capsys)
    assert "only 3.0 px at 40 Å/px" in message and "at least 8 px" in message and "Check pixel size" in message


def change_card(folder, **values):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(dict(card, **values)))


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda m: change_card(m, format_version=7), ("format version 7", "reads 2")),
        (lambda m: (m / "weights.safetensors").write_bytes(b"x"), ("damaged", "checksum")),
        (lambda m: (m / "card.json").unlink(), ("is not a model", "card.json")),
        (lambda m: change_card(m, kind="denoiser"), ("'particle denoiser'", "picker")),
        (lambda m: change_card(m, network="transformer"), ("'transformer'", "unet")),
        (lambda m: shutil.rmtree(m), ("neither a folder nor a shipped model",)),
    ],
    ids=["version", "damaged", "no card", "kind", "network", "gone"],
)
def test_what_is_no_model_is_refused(project, capsys, harm, words):
    harm(project / "model")
    message = message_of(pick_arguments(project), project, capsys)
    for word in words:
        assert word in message


def test_a_model_whose_weights_do_not_fit_its_network_is_refused(project, capsys):
    from cryodl.io.model import write_model

    card = json.loads((project / "model/card.json").read_text())
    card = {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}
    write_model(project / "model", card, {"other.weight": torch.zeros(3)})
    message = message_of(pick_arguments(project), project, capsys)
    assert str(project / "model") in message and "unet" in message
    message = message_of(train_arguments(project, **{"--start-from": project / "model"}), project, capsys)
    assert str(project / "model") in message


def test_a_gpu_that_is_absent_is_an_error(project, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments in (pick_arguments(project, more=["--device", "7"]), train_arguments(project, **{"--device": 7})):
        message = message_of(arguments, project, capsys)
        assert "GPU 7 was asked for (--device 7)" in message and "--device cpu" in message


def test_an_output_that_exists_is_not_replaced(project, capsys):
    (project / "new").mkdir()
    (project / "new/notes.txt").touch()
    assert "(--output) exists already" in message_of(train_arguments(project), project, capsys)


def limit(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_is_named_and_leaves_no_half_file(project):
    """A real limit on the size of files stands for the full disk."""
    done = run_cryodl(pick_arguments(project, more=["--threshold", "0"]), project, limit(600))
    assert done.returncode == 2, done.stderr
    assert "out/avoided/mic0.json: File too large" in done.stderr
    assert list((project / "out").rglob("*.star")) == [] and list((project / "out").rglob(".*")) == []
    assert not (project / "result.json").exists()
    assert main(pick_arguments(project)) == 0  # with room again the same command finishes


def test_the_advice_on_a_full_disk_holds_in_a_form_too():
    locked = OSError(errno.EACCES, "Cannot write a/b.png: Permission denied. Nothing was left there")
    assert _sentence(locked) == f"{locked.strerror}. Choose another folder, or check its permissions."
    assert _sentence(OSError(errno.ENOSPC, "No space left on device", "a.mrc")).endswith("Free space on its disk.")
    assert "Raise the limit on the size of files (ulimit -f)" in _sentence(OSError(errno.EFBIG, "File too large"))
    own = "Cannot write to out: No space left on device. Free disk space, or choose another folder."
    assert _sentence(OSError(errno.ENOSPC, own)) == own  # which has its own advice


@pytest.mark.slow
def test_a_full_disk_while_training_is_named_and_can_be_continued(project):
    done = run_cryodl(train_arguments(project), project, limit(20000))
    assert done.returncode == 2, done.stderr
    assert "Cannot write" in done.stderr and ".safetensors" in done.stderr and not (project / "new").exists()
    assert Failure.read(project / "failure.json").kind == "input"
    assert main(train_arguments(project)) == 0 and (project / "new/card.json").exists()


def test_too_little_memory_for_training_names_the_batch_size(project, capsys, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("cryodl.learning.recipe.fit", full)
    message = message_of(train_arguments(project), project, capsys)
    assert "memory of CPU" in message and "batches of 1 crops" in message and "--batch-size" in message


def test_a_folder_or_the_same_file_twice_is_named(project, capsys):
    assert "mics is a folder; give its files" in message_of(pick_arguments(project, ["mics"]), project, capsys)
    message = message_of(pick_arguments(project, ["mics/mic0.mrc", "mics/../mics/mic0.mrc"]), project, capsys)
    assert "mic0.mrc is given twice" in message


def test_a_place_where_nothing_can_be_written_is_named(project, capsys):
    (project / "out").write_text("a file, not a folder")
    message = message_of(pick_arguments(project), project, capsys)
    assert (
        str(project / "out") in message
        and "Errno" not in message
        and "is a file" in message
        and "another name" in message
    )


def test_labels_that_teach_nothing_are_said(project, capsys):
    """Coordinates of a binned copy: all are inside, none is on a particle."""
    from cryodl.io.coordinates import read_coordinates, write_coordinates

    for name, (yx, scores) in read_coordinates(project / "coordinates").items():
        write_coordinates(project / f"coordinates/{name}.star", np.vstack([yx / 4, yx / 4 + 3]), np.ones(2 * len(yx)))
    assert main(train_arguments(project, **{"--steps": 3})) == 0
    assert any("has not learnt these particles" in w for w in Result.read(project / "result.json").warnings)
