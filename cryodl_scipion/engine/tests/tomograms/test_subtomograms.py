# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing RELION's subtomograms: every version, weights as they were measured, and every fault named."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from subtomogram_data import density

from cryodl.core.volumes import wedge
from cryodl.io.mrc import write_map
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms, write_subtomograms_star

BOX = 8
OPTICS = dict(rlnOpticsGroup=[1], rlnImagePixelSize=[10.0], rlnImageSize=[BOX], rlnImageDimensionality=[3])
ROWS = dict(
    rlnImageName=["vols/a.mrc", "vols/b.mrc"],
    rlnTomoName=["t1", "t2"],
    rlnAngleRot=[10.0, 20.0],
    rlnAngleTilt=[30.0, 40.0],
    rlnAnglePsi=[50.0, 60.0],
    rlnOriginXAngst=[20.0, 0.0],
    rlnOriginYAngst=[-10.0, 0.0],
    rlnOriginZAngst=[5.0, 0.0],
    rlnClassNumber=[2, 1],
    rlnRandomSubset=[1, 2],
    rlnOpticsGroup=[1, 1],
    cryodlTiltMin=[-60.0, -40.0],
    cryodlTiltMax=[60.0, 50.0],
    rlnStrange=["x", "y"],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project with two volumes that hold their own number, and a STAR file in a job's folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("vols", "job"):
        Path(name).mkdir()
    for name, value in (("a", 1.0), ("b", 2.0)):
        write_map(f"vols/{name}.mrc", np.full((BOX,) * 3, value), 10.0)
    star()
    return tmp_path


def star(path="job/p.star", optics=OPTICS, without=(), **changes):
    rows = {k: v for k, v in dict(ROWS, **changes).items() if k not in without}
    write_tables(path, {"optics": optics, "particles": rows} if optics else {"": rows})
    return path


def test_each_row_gets_its_own_volume_and_numbers():
    found = read_subtomograms("job/p.star", ("classes", "angles"))
    assert found.volumes([1, 0]).mean((1, 2, 3)).tolist() == [2, 1] and found.volumes([]).shape == (0, BOX, BOX, BOX)
    assert (found.pixel_size, found.box, len(found)) == (10.0, BOX, 2)
    # RELION's origin of +20 Å in x: the particle lies 2 px left of the middle
    assert found.shifts_zyx.tolist() == [[-0.5, 1, -2], [0, 0, 0]]
    assert found.classes.tolist() == [2, 1] and found.halves.tolist() == [1, 2] and found.tomograms == ("t1", "t2")
    assert found.angles[1].tolist() == [20, 40, 60] and found.tilts.tolist() == [[-60, 60], [-40, 50]]


def test_the_weights_are_the_wedge_of_each_tilt_range():
    weights = read_subtomograms("job/p.star").weights([1, 0])
    assert torch.equal(weights[0], wedge(BOX, -40, 50)) and torch.equal(weights[1], wedge(BOX, -60, 60))


def test_a_file_without_tilt_ranges_has_those_that_are_given():
    star(without=("cryodlTiltMin", "cryodlTiltMax"))
    assert read_subtomograms("job/p.star", tilt_min=-50, tilt_max=40).tilts.tolist() == [[-50, 40]] * 2


@pytest.mark.parametrize("form", ["half", "full", "with multiplicities"])
def test_weights_are_read_from_either_form_of_relions_files(form):
    """A wedge of unequal limits: a mirrored axis would be another one."""
    expected = wedge(BOX, -30, 60).numpy()
    if form == "full":
        frequency = np.rint(np.fft.fftfreq(BOX) * BOX).astype(int)
        values = np.zeros((BOX,) * 3, np.float32)
        for k, kz in enumerate(frequency):
            for j, kx in enumerate(range(BOX // 2 + 1)):
                for sign in (1, -1):  # a real volume's transform: k and -k are alike
                    values[(BOX // 2 + sign * kz) % BOX, :, (BOX // 2 + sign * kx) % BOX] = expected[k, 0, j]
    else:
        values = expected if form == "half" else np.concatenate([expected, np.full_like(expected, 9)])
    write_map("vols/w.mrc", -3.0 * values, 10.0)  # as a CTF: of any sign and size
    found = read_subtomograms(star(rlnCtfImage=["vols/w.mrc"] * 2))
    assert torch.equal(found.weights([1])[0], torch.from_numpy(expected))


@pytest.mark.parametrize("pixel_size, warned", [(10.5, True), (10.1, False)])
def test_headers_of_another_pixel_size_than_the_file_says_are_a_warning(pixel_size, warned, capsys):
    path = star(optics=dict(OPTICS, rlnImagePixelSize=[pixel_size]))
    assert read_subtomograms(path).pixel_size == pixel_size
    assert ("is 10.5 Å (rlnImagePixelSize), that in the header" in capsys.readouterr().out) == warned


def test_a_later_header_of_another_pixel_size_is_a_warning(capsys):
    path = star()
    assert read_subtomograms(path).pixel_size == 10 and "in the header" not in capsys.readouterr().out
    later = read_subtomograms(path).files[-1]
    write_map(later, np.ones((BOX,) * 3), 5.0)
    read_subtomograms(path)
    assert f"that in the header of {later} 5 Å (1 of 2 headers" in capsys.readouterr().out


def test_a_file_may_hold_many_subtomograms():
    Path("me@lab").mkdir()
    write_map("me@lab/many.mrc", np.repeat([5.0, 6.0, 7.0], BOX)[:, None, None] * np.ones((3 * BOX, BOX, BOX)), 10.0)
    found = read_subtomograms(star(rlnImageName=["000003@me@lab/many.mrc", "000001@me@lab/many.mrc"]))
    write_subtomograms_star("job/again.star", found)
    for one in (found, read_subtomograms("job/again.star")):
        assert one.volumes(slice(None)).mean((1, 2, 3)).tolist() == [7, 5]


def test_files_of_relion_3_0_have_origins_in_pixels_and_no_optics_table():
    rows = dict(
        rlnOriginX=[2.0, 0.0],
        rlnOriginY=[-1.0, 0.0],
        rlnOriginZ=[0.5, 0.0],
        rlnMagnification=[10000.0] * 2,
        rlnDetectorPixelSize=[10.0] * 2,
    )
    star(optics=None, without=("rlnOpticsGroup", "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"), **rows)
    found = read_subtomograms("job/p.star")
    assert found.pixel_size == pytest.approx(10.0) and found.shifts_zyx[0] == pytest.approx([-0.5, 1, -2])
    write_subtomograms_star("job/again.star", found)
    assert read_subtomograms("job/again.star").shifts_zyx[0] == pytest.approx([-0.5, 1, -2])
    assert read_tables("job/again.star")["optics"]["rlnImageDimensionality"] == ["3"]


def test_all_columns_are_written_and_files_are_found_again():
    write_map("vols/w.mrc", wedge(BOX, -60, 60).numpy(), 10.0)
    found = read_subtomograms(star(rlnCtfImage=["vols/w.mrc"] * 2))
    Path("job/new").mkdir()
    write_subtomograms_star("job/new/q.star", found, {"rlnClassNumber": [0, 7], "rlnRandomSubset": None})
    again = read_subtomograms("job/new/q.star")
    assert again.columns["rlnStrange"] == ["x", "y"] and again.classes.tolist() == [0, 7] and again.halves is None
    assert torch.equal(again.volumes([0, 1]), found.volumes([0, 1])) and len(again.weight_files) == 2
    assert again.names == ("vols/a.mrc", "vols/b.mrc")  # relative to the project, as they were
    with pytest.raises(ValueError, match="rlnClassNumber has 1 values for 2 subtomograms"):
        write_subtomograms_star("job/new/r.star", found, {"rlnClassNumber": [0]})


def test_a_subset_keeps_rows_together():
    part = read_subtomograms("job/p.star").subset(np.array([False, True]))
    assert part.names == ["vols/b.mrc"] and part.tomograms == ["t2"] and part.columns["rlnStrange"] == ["y"]
    assert part.volumes([0]).mean() == 2 and part.tilts.tolist() == [[-40, 50]]


def test_volumes_are_z_y_x_as_in_the_file():
    volume = density("corner", BOX)
    write_map("vols/a.mrc", volume, 10.0)
    assert torch.equal(read_subtomograms("job/p.star").volumes([0])[0], torch.from_numpy(volume))
    with mrcfile.open("vols/a.mrc") as mrc:
        assert np.array_equal(mrc.data[1, 2, 3], volume[1, 2, 3])


@pytest.mark.parametrize(
    "optics, changes, words",
    [
        (OPTICS, dict(without=("rlnClassNumber",)), "without classes .rlnClassNumber"),
        (OPTICS, dict(without=("rlnAnglePsi",)), "but not rlnAnglePsi"),
        (
            OPTICS,
            dict(rlnImageName=["vols/a.mrc", "vols/gone.mrc"]),
            "names the volume vols/gone.mrc, which is neither",
        ),
        (OPTICS, dict(rlnCtfImage=["vols/a.mrc", "None"]), "for some subtomograms and none for others"),
        (OPTICS, dict(cryodlTiltMax=[60.0, -70.0]), "subtomogram 2 has a tilt range .* of -40 to -70°"),
        (OPTICS, dict(rlnClassNumber=["one", 2]), "subtomogram 1 has rlnClassNumber 'one'; a number is needed"),
        (OPTICS, dict(rlnClassNumber=[1, 2.5]), "p.star: subtomogram 2 has rlnClassNumber 2.5; .* a whole number"),
        (OPTICS, dict(rlnRandomSubset=[0.5, 1]), "subtomogram 1 has rlnRandomSubset 0.5"),
        (OPTICS, dict(rlnAngleRot=["nan", 2]), "subtomogram 1 has a value"),
        (
            dict(OPTICS, rlnImageDimensionality=[2]),
            {},
            "has particle images .rlnImageDimensionality is 2.; subtomograms are needed",
        ),
        ({k: v for k, v in OPTICS.items() if k != "rlnImagePixelSize"}, {}, "no rlnImagePixelSize"),
        (
            dict(
                OPTICS,
                rlnOpticsGroup=[1, 2],
                rlnImagePixelSize=[10.0, 12.0],
                rlnImageSize=[BOX] * 2,
                rlnImageDimensionality=[3, 3],
            ),
            dict(rlnOpticsGroup=[1, 2]),
            "of 10 and of 12 Å/px",
        ),
        (OPTICS, {name: [] for name in ROWS}, "has no particles"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(optics, changes, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_subtomograms(star(optics=optics, **changes), ("classes", "angles"))


def test_whole_numbers_may_be_written_with_a_point():
    assert read_subtomograms(star(rlnClassNumber=["2.000000", "1.0"])).classes.tolist() == [2, 1]


def test_volumes_that_are_no_cubes_of_one_size_are_refused():
    write_map("vols/b.mrc", np.zeros((6, 6, 6)), 10.0)
    with pytest.raises(ValueError, match=r"subtomograms of 8 px .*a.mrc.* and of 6 px .*b.mrc"):
        read_subtomograms("job/p.star")
    write_map("vols/b.mrc", np.zeros((6, BOX, BOX)), 10.0)
    with pytest.raises(ValueError, match="b.mrc has 8 x 8 x 6 voxels; subtomograms must be cubes"):
        read_subtomograms("job/p.star")


def test_weights_of_another_size_or_without_any_value_are_refused():
    write_map("vols/w.mrc", np.ones((6, 6, 4)), 10.0)
    with pytest.raises(ValueError, match="w.mrc have 4 x 6 x 6 values; for subtomograms of 8 px they must have"):
        read_subtomograms(star(rlnCtfImage=["vols/w.mrc"] * 2))
    write_map("vols/w.mrc", np.zeros((BOX, BOX, BOX // 2 + 1)), 10.0)
    with pytest.raises(ValueError, match="w.mrc are zero almost everywhere"):
        read_subtomograms(star(rlnCtfImage=["vols/w.mrc"] * 2)).weights([0])
    write_map("vols/good.mrc", np.ones((BOX, BOX, BOX // 2 + 1)), 10.0)
    write_map("vols/b.mrc", np.arange(BOX**3).reshape((BOX,) * 3), 10.0)
    skipped = []
    kept = read_subtomograms(
        star(rlnCtfImage=["vols/w.mrc", "vols/good.mrc"]), skip=lambda *told: skipped.append(str(told[2]))
    )
    assert len(kept) == 1 and "zero almost everywhere" in skipped[0]


@pytest.mark.filterwarnings("ignore:Data array contains NaN")
def test_values_that_are_no_numbers_are_named_when_read():
    write_map("vols/b.mrc", np.full((BOX,) * 3, np.nan), 10.0)
    found = read_subtomograms("job/p.star")
    with pytest.raises(ValueError, match="b.mrc holds values that are not finite"):
        found.volumes([1])
