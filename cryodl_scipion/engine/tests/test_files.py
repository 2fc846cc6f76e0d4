# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, lists of files, and files that are written whole or not at all."""

import subprocess
import sys

import numpy as np
import pytest
from synthetic import environment

from cryodl.io.files import (
    expand_paths,
    micrograph_key,
    name_micrographs,
    name_tomograms,
    read_kept,
    rename_folder,
    whole_file,
    whole_rows,
    without_pick_suffix,
)


@pytest.mark.parametrize(
    "name, key",
    [
        ("mics/a.mrc", "a"),
        ("a.mrc.gz", "a"),
        ("A.TIF.bz2", "A"),
        ("000001@mics/a.mrcs", "a"),
        ("a.b.mrc", "a.b"),
        ("a b%.mrc", "a b%"),
        ("a.star", "a"),
        (".mrc", ".mrc"),
        ("a", "a"),
        ("a.mrc.star", "a.mrc"),
        ("/data/me@lab/grid@1.mrc", "grid@1"),
    ],
)
def test_key_has_no_folder_and_no_extension(name, key):
    assert micrograph_key(name) == key


def test_a_copick_tomogram_is_called_as_its_run_and_with_its_file_where_a_run_has_two():
    one, two, other = (
        f"{name}.zarr" for name in ("1/VoxelSpacing10.000/wbp", "1/VoxelSpacing10.000/ctf", "2/VoxelSpacing10.000/wbp")
    )
    assert [name for name, _ in name_tomograms([one, other, "x.mrc"])] == ["1", "2", "x"]
    assert [name for name, _ in name_tomograms([one, two, other])] == ["1__wbp", "1__ctf", "2"]


def test_endings_of_pickers_are_taken_off():
    assert [without_pick_suffix(k) for k in ("a_autopick", "a_manualpick", "a", "_pick")] == ["a", "a", "a", "_pick"]


def test_globs_are_sorted_and_plain_paths_keep_their_order(tmp_path):
    for name in ("c.mrc", "a.mrc", "b.mrc", "[1].mrc"):
        (tmp_path / name).touch()
    found = expand_paths([str(tmp_path / "[abc].mrc")])
    assert [f[-5] for f in found] == ["a", "b", "c"]
    assert expand_paths([str(tmp_path / "c.mrc"), str(tmp_path / "a.mrc")])[0].endswith("c.mrc")
    assert expand_paths([str(tmp_path / "[1].mrc")]) == [str(tmp_path / "[1].mrc")]
    with pytest.raises(FileNotFoundError, match="No file matches '.*gone.mrc'"):
        expand_paths([str(tmp_path / "gone.mrc")])
    assert expand_paths([str(tmp_path / "gone.mrc")], ["gone"]) == [str(tmp_path / "gone.mrc")]


def test_list_files_are_read_beside_themselves(tmp_path):
    for name in ("one.mrc", "two words 50%.mrc"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("one.mrc\n\ntwo words 50%.mrc\n")
    (tmp_path / "list.star").write_text("data_\nloop_\n_rlnMicrographName\none.mrc\n'two words 50%.mrc'\none.mrc\n")
    wanted = [str(tmp_path / "one.mrc"), str(tmp_path / "two words 50%.mrc")]
    assert expand_paths([str(tmp_path / "list.txt")]) == wanted
    assert expand_paths([str(tmp_path / "list.star")]) == wanted
    (tmp_path / "me@lab").mkdir()
    (tmp_path / "me@lab/one.mrc").touch()
    for number in ("", "000001@"):
        (tmp_path / "list.txt").write_text(f"{number}me@lab/one.mrc\n")
        assert expand_paths([str(tmp_path / "list.txt")]) == [str(tmp_path / "me@lab/one.mrc")]


def test_a_name_alone_is_no_file_of_the_same_name_in_a_folder_above_the_list(tmp_path):
    for path in (tmp_path / "a.mrc", tmp_path / "run" / "b.mrc"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    names = tmp_path / "run" / "list.txt"
    names.write_text("a.mrc\nb.mrc\n")
    assert expand_paths([str(names)]) == ["a.mrc", str(tmp_path / "run" / "b.mrc")]


def test_a_list_of_a_job_is_read_from_outside_of_the_project(tmp_path):
    job = tmp_path / "CtfFind" / "job003"
    job.mkdir(parents=True)
    (tmp_path / "mics").mkdir()
    (tmp_path / "mics" / "one.mrc").touch()
    (job / "micrographs_ctf.star").write_text("data_micrographs\nloop_\n_rlnMicrographName\nmics/one.mrc\n")
    assert expand_paths([str(job / "micrographs_ctf.star")]) == [str(tmp_path / "mics" / "one.mrc")]


OPTICS = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 1.06\n2 1.065\n3 2.12\n4 0\n5 None\n"


def test_a_list_of_two_pixel_sizes_is_refused_and_one_of_two_calibrations_is_read(tmp_path):
    listed = tmp_path / "mics.star"
    for name in ("a.mrc", "b.mrc"):
        (tmp_path / name).touch()
    rows = "\ndata_micrographs\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\na.mrc 1\nb.mrc {}\n"
    for group in (2, 4, 5):  # of the last two it is not known
        listed.write_text(OPTICS + rows.format(group))
        assert expand_paths([str(listed)]) == [str(tmp_path / "a.mrc"), str(tmp_path / "b.mrc")]
    listed.write_text(OPTICS + rows.format(3))
    with pytest.raises(ValueError, match=r"mics.star lists micrographs of 1.06 and 2.12 Å/px .* Write a list for each"):
        expand_paths([str(listed)])


def test_what_matches_nothing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such.*mrc"):
        expand_paths([str(tmp_path / "no_such*.mrc")])
    (tmp_path / "list.txt").write_text("gone.mrc\n")
    with pytest.raises(FileNotFoundError, match="list.txt lists no file that is there, .*: gone.mrc"):
        expand_paths([str(tmp_path / "list.txt")])
    (tmp_path / "here.mrc").touch()
    (tmp_path / "list.txt").write_text("gone.mrc\nhere.mrc\n")
    assert expand_paths([str(tmp_path / "list.txt")]) == ["gone.mrc", str(tmp_path / "here.mrc")]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(FileNotFoundError, match="empty.txt lists no file"):
        expand_paths([str(tmp_path / "empty.txt")])


def test_a_name_in_two_folders_is_an_error_unless_names_are_given():
    with pytest.raises(ValueError, match="Two micrographs are called a: x/a.mrc and y/a.mrc"):
        name_micrographs(["x/a.mrc", "y/a.mrc"])
    assert name_micrographs(["x/a.mrc", "y/a.mrc"], ("x_a", "y_a")) == [("x_a", "x/a.mrc"), ("y_a", "y/a.mrc")]
    with pytest.raises(ValueError, match="1 entries for 2 micrographs"):
        name_micrographs(["x/a.mrc", "y/a.mrc"], ("x",))


def test_a_whole_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "a.star"
    with whole_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(OSError, match="Cannot write .*a.star: No space"):
        with whole_file(path) as temporary:
            held = open(temporary, "wb", buffering=0)
            held.write(b"half")
            raise OSError(28, "No space left on device")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
    assert held.seek(0, 2) == 0, "the disk has its space again, though its writer is alive"


def test_a_file_written_within_a_block_of_its_own_is_named_once(tmp_path):
    """Maps said: Cannot write a.mrc: Cannot write .a.mrc.host.7.tmp.mrc: ... Nothing was left there. Nothing was."""
    with pytest.raises(OSError, match="Cannot write [^:]*/a.mrc: No space left on device. Nothing was left there$"):
        with whole_file(tmp_path / "a.mrc") as outer, whole_file(outer):
            raise OSError(28, "No space left on device")


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(OSError, match="Cannot write .*gone/a.star: No such file"):
        with whole_file(tmp_path / "gone" / "a.star") as temporary:
            temporary.write_text("x")


def on_full_disk(code, folder):
    """Run Python code where a real limit on file size stands for the full disk; the write fails in the kernel."""
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n" + code
    return subprocess.run(
        [sys.executable, "-B", "-c", limited], cwd=folder, env=environment(), capture_output=True, text=True
    )


def test_a_full_disk_leaves_the_old_file_and_says_which(tmp_path):
    (tmp_path / "a.star").write_text("old")
    done = on_full_disk(
        "import numpy as np\n"
        "from cryodl.io.coordinates import write_coordinates\n"
        "write_coordinates('a.star', np.zeros((1000, 2)), np.zeros(1000))\n",
        tmp_path,
    )
    assert done.returncode != 0
    assert "Cannot write a.star: File too large. The file that was there before is unchanged" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.star"] and (tmp_path / "a.star").read_text() == "old"


def test_a_full_disk_leaves_nothing_of_a_stack_of_small_images(tmp_path):
    """What their file still holds back is written as it is closed, and fails again."""
    code = (
        "import numpy as np\nfrom cryodl.io.stacks import StackWriter\n"
        "with StackWriter('a.mrcs', 100, 8, 1.0) as stack:\n"
        "    for _ in range(100):\n        stack.add(np.ones((1, 8, 8)))\n"
    )
    assert "Cannot write a.mrcs: File too large. Nothing was left there" in on_full_disk(code, tmp_path).stderr
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_with_the_notes_that_it_cuts(tmp_path):
    (tmp_path / "pick.json").write_text("{}")
    code = "from cryodl.contract import write_json\nwrite_json('pick.json', list(range(5000)))\n"
    assert "File too large: 'pick.json'" in on_full_disk(code, tmp_path).stderr
    assert [p.name for p in tmp_path.iterdir()] == ["pick.json"] and (tmp_path / "pick.json").read_text() == "{}"


def test_a_finished_folder_never_replaces_another(tmp_path):
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        rename_folder(tmp_path / "a.partial", tmp_path / "a")
    rename_folder(tmp_path / "a.partial", tmp_path / "b")
    assert (tmp_path / "b").is_dir() and not (tmp_path / "a.partial").exists()


@pytest.mark.parametrize("part", [0, 0.5])
@pytest.mark.parametrize("name", ["pick.json", "chunk.npz"])
def test_what_a_command_noted_is_named_where_a_power_cut_has_cut_it(tmp_path, name, part):
    path = tmp_path / name
    if name == "chunk.npz":
        np.savez(path, scores=np.arange(3.0))
        assert read_kept(path)["scores"].tolist() == [0, 1, 2]
    else:
        path.write_text('{"threshold": 0.5}')
        assert read_kept(path) == {"threshold": 0.5}
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"/(pick.json|chunk.npz) is damaged \(.*, or choose another --output"):
        read_kept(path)


def test_rows_of_a_table_are_read_up_to_where_it_was_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    assert whole_rows(path) == []
    for text, steps in (("", []), ("step,loss\n5,0.2\n10,", ["5"]), ("step,loss\n5,0.2\n10", ["5"])):
        path.write_text(text)
        assert [row["step"] for row in whole_rows(path)] == steps
