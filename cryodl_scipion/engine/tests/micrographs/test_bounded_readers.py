# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that promise more than they hold, or more than the memory does: refused with a sentence, at no cost."""

import gzip
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from synthetic import blob_project, environment, run_cryodl, write_mrc, write_untrained_model

from cryodl.contract import Result
from cryodl.io.memory import TooLittleMemory
from cryodl.io.micrographs import read_micrograph
from cryodl.io.stacks import stack_shape
from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main

IMAGE = np.arange(24 * 32, dtype=np.float32).reshape(24, 32)


def patched(path, offset, form, *values):
    """The file with other values in its header."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("read", [read_micrograph, Tomogram, stack_shape])
def test_an_extended_header_of_two_gigabytes_in_a_small_file_is_refused(tmp_path, read):
    path = patched(write_mrc(tmp_path / "a.mrc", IMAGE), 92, "<i", 2**31 - 1)
    with pytest.raises(ValueError, match=r"a.mrc .*2147483647 bytes \(NSYMBT\)"):
        read(path)


def test_a_micrograph_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_mrc(tmp_path / "a.mrc", IMAGE)
    monkeypatch.setattr("cryodl.io.memory.available_memory", lambda: 5000.0)
    with pytest.raises(TooLittleMemory, match=r"a.mrc \(32 x 24 x 1 values of mode 2\) needs 6.14e-06 GB .* Bin it"):
        read_micrograph(path)


def test_a_gz_is_read_as_far_as_its_header_says(tmp_path):
    """30 MB of zeros behind the image; and a header that promises more than there is."""
    plain = write_mrc(tmp_path / "a.mrc", IMAGE)
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(plain.read_bytes() + bytes(30_000_000)))
    assert (read_micrograph(tmp_path / "a.mrc.gz") == IMAGE).all()
    lies = patched(plain, 0, "<ii", 20000, 10000).read_bytes()
    (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(lies))
    with pytest.raises(ValueError, match="b.mrc.gz is damaged or truncated: its header states 20000 x 10000 x 1"):
        read_micrograph(tmp_path / "b.mrc.gz")


def test_a_compressed_tiff_that_expands_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cryodl.io.micrographs.MAX_EXPANDED", 1 << 20)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    (tmp_path / "a.tif.gz").write_bytes(gzip.compress((tmp_path / "a.tif").read_bytes() + bytes(2_000_000)))
    with pytest.raises(ValueError, match="a.tif.gz expands to more than 1 MB"):
        read_micrograph(tmp_path / "a.tif.gz")


def test_a_tiff_whose_chain_of_pages_never_ends_is_its_first_page(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE[::-1])
    data = path.read_bytes()
    (start,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, start)
    patched(path, start + 2 + 12 * tags, "<I", start)  # the next page is this one
    assert (read_micrograph(path) == IMAGE).all()


def test_a_tiff_movie_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IMAGE, IMAGE]), photometric="minisblack")
    with pytest.raises(
        ValueError, match=r"a\.tif has an array of shape \(2 or more, 24, 32\); .* \(motion-corrected\)"
    ):
        read_micrograph(tmp_path / "a.tif")


def test_a_tiff_that_promises_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE)
    data = path.read_bytes()
    (start,) = struct.unpack_from("<I", data, 4)
    for position in range(start + 2, start + 40, 12):
        if struct.unpack_from("<H", data, position)[0] in (256, 257):  # width and length
            patched(path, position, "<HHII", struct.unpack_from("<H", data, position)[0], 4, 1, 200_000)
    with pytest.raises(ValueError, match="a.tif is damaged: its tags promise 200000 x 200000 values"):
        read_micrograph(path)


def test_values_beyond_float32_are_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE.astype(np.float64) * 1e300)
    with pytest.raises(ValueError, match=r"a.tif has values up to 7.67e\+302, above the range of 32-bit numbers"):
        read_micrograph(tmp_path / "a.tif")


def test_a_name_that_is_not_utf8_is_skipped_counted_and_named(project):
    source = project / "mics/mic0.mrc"
    strange = os.fsdecode(os.fsencode(str(project / "mics/")) + b"/m\xe9c.mrc")
    with open(strange, "wb") as file:
        file.write(source.read_bytes())
    done = run_cryodl(
        [
            *"pick --micrographs mics/*.mrc --pixel-size 4 --model model --output out --device cpu".split(),
            "--result",
            "result.json",
        ],
        project,
    )
    assert done.returncode == 0, done.stderr
    (skipped,) = Result.read(project / "result.json").skipped
    assert "is not UTF-8. Rename the file." in skipped.reason and skipped.path.endswith("m\udce9c.mrc")
    assert "m\\udce9c.mrc" in done.stdout and len(list((project / "out").glob("*.star"))) == 2


def test_a_list_that_is_not_utf8_is_named(project, capsys):
    (project / "list.txt").write_bytes("mics/mic0.mrc\nmics/m\u00e9c.mrc\n".encode("latin1"))
    assert (
        main(
            [
                *"pick --pixel-size 4 --micrographs".split(),
                str(project / "list.txt"),
                "--model",
                str(project / "model"),
                "--output",
                str(project / "out"),
            ]
        )
        == 2
    )
    assert "list.txt is not UTF-8 text: byte 21 is 0xe9" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_micrograph_too_large_for_the_network_is_skipped_and_the_next_one_picked(project, monkeypatch, error):
    from cryodl.micrographs.pickers.predict import Picker

    candidates, calls = Picker.candidates, []

    def first_is_too_large(self, *arguments):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return candidates(self, *arguments)

    monkeypatch.setattr(Picker, "candidates", first_is_too_large)
    assert (
        main(
            [
                "pick",
                "--micrographs",
                str(project / "mics/*.mrc"),
                "--pixel-size",
                "4",
                "--model",
                str(project / "model"),
                "--output",
                str(project / "out"),
                "--device",
                "cpu",
                "--result",
                str(project / "result.json"),
            ]
        )
        == 0
    )
    (skipped,) = Result.read(project / "result.json").skipped
    assert "mic0.mrc is too large for the memory" in skipped.reason


@pytest.mark.slow
def test_a_command_works_where_the_locale_has_only_ascii(tmp_path):
    """Python is told not to take UTF-8 instead: names and units outside ASCII are escaped in the log."""
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model")
    variables = dict(environment(), LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii:strict")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cryodl",
            *"pick --micrographs mics/*.mrc --pixel-size 4 --model model --output out --device cpu".split(),
        ],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and (tmp_path / "out/mic0.star").exists(), done.stderr


def test_a_refused_command_leaves_no_working_folder(tmp_path):
    from cryodl.io.unfinished import RECORD, remove_unused

    folder = tmp_path / "model.partial"
    (folder / "views").mkdir(parents=True)
    (folder / RECORD).write_text("{}")
    (folder / "checkpoint.safetensors").write_text("hours")
    remove_unused(str(tmp_path / "model"))
    assert folder.exists()
    (folder / "checkpoint.safetensors").unlink()
    remove_unused(str(tmp_path / "model"))
    assert not folder.exists()
