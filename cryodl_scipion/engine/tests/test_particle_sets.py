# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing RELION's particles: all columns kept, the right image for each row, and every fault named."""

import contextlib
import dataclasses
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import torch

from cryodl.core.optics import ctf_rfft
from cryodl.io import messages
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.io.star import read_tables, write_tables
from cryodl.reconstruction.halves import split_halves

BOX = 8
OPTICS = dict(
    rlnOpticsGroup=[1],
    rlnVoltage=[300],
    rlnSphericalAberration=[2.7],
    rlnAmplitudeContrast=[0.1],
    rlnImagePixelSize=[2.0],
    rlnImageSize=[BOX],
)
ROWS = dict(
    rlnImageName=["000003@stacks/a.mrcs", "000001@stacks/b.mrcs"],
    rlnAngleRot=[10.0, 20.0],
    rlnAngleTilt=[30.0, 40.0],
    rlnAnglePsi=[50.0, 60.0],
    rlnOriginXAngst=[4.0, 0.0],
    rlnOriginYAngst=[-2.0, 1.0],
    rlnDefocusU=[9000.0, 15000.0],
    rlnDefocusV=[8000.0, 14000.0],
    rlnDefocusAngle=[15.0, -70.0],
    rlnMicrographName=["m1.mrc", "m2.mrc"],
    rlnRandomSubset=[1, 2],
    rlnClassNumber=[3, 1],
    rlnOpticsGroup=[1, 1],
    rlnStrange=["x", "y"],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project with two stacks whose images hold their own number, and a STAR file in a folder of a job."""
    monkeypatch.chdir(tmp_path)
    for name in ("stacks", "job"):
        Path(name).mkdir()
    for name, first in (("a", 0), ("b", 100)):
        write_stack(f"stacks/{name}.mrcs", first + np.arange(4.0))
    star()
    return tmp_path


def write_stack(path, values, box=BOX, pixel_size=2.0):
    with StackWriter(path, len(values), box, pixel_size) as stack:
        stack.add(np.ones((len(values), box, box)) * np.reshape(values, (-1, 1, 1)))


def star(path="job/p.star", optics=OPTICS, without=(), **changes):
    rows = {k: v for k, v in dict(ROWS, **changes).items() if k not in without}
    write_tables(path, {"optics": optics, "particles": rows})
    return path


def test_each_row_gets_its_own_image_and_numbers():
    particles = read_particles("job/p.star", ("angles", "ctf", "raw"))
    assert particles.images([1, 0]).mean((1, 2)).tolist() == [100, 2]
    assert particles.images(slice(0, 1)).dtype == torch.float32 and particles.images([]).shape == (0, BOX, BOX)
    assert (particles.pixel_size, particles.box, len(particles)) == (2.0, BOX, 2)
    assert particles.angles.tolist() == [[10, 30, 50], [20, 40, 60]]
    # RELION's origin +4 Å in x: the particle lies 2 px left of the middle
    assert particles.shifts_yx.tolist() == [[1, -2], [-0.5, 0]]
    assert particles.halves.tolist() == [1, 2] and particles.classes.tolist() == [3, 1]
    assert particles.micrographs == ("m1.mrc", "m2.mrc") and particles.denoiser == ""


def test_the_ctf_is_that_of_each_particle():
    particles = read_particles("job/p.star")
    expected = ctf_rfft((BOX, BOX), 2.0, 15000, 14000, -70, 300, 2.7, 0.1)
    assert torch.allclose(particles.ctf([1])[0], expected, atol=1e-5)
    assert particles.ctf([0, 1], box=16, pixel_size=1.0).shape == (2, 16, 9)


@pytest.mark.parametrize(
    "label, change", [("rlnCtfDataArePhaseFlipped", torch.abs), ("rlnCtfDataAreCtfPremultiplied", torch.square)]
)
def test_the_ctf_of_treated_images_is_what_they_really_have(label, change):
    plain = read_particles("job/p.star").ctf([0, 1])
    treated = read_particles(star(optics=dict(OPTICS, **{label: [1]})))
    assert torch.equal(treated.ctf([0, 1]), change(plain))


def test_a_phase_plate_shifts_the_ctf():
    particles = read_particles(star(rlnPhaseShift=[90.0, 0.0]))
    assert float(particles.ctf([0])[0, 0, 0]) > 0.9 > 0.2 > float(particles.ctf([1])[0, 0, 0])


def test_a_subset_keeps_rows_together():
    part = read_particles("job/p.star").subset(np.array([False, True]))
    assert part.images([0]).mean() == 100 and part.angles.tolist() == [[20, 40, 60]]
    assert part.columns["rlnStrange"] == ["y"]
    assert part.optics[0].defocus_u == 15000 and part.micrographs == ("m2.mrc",)


def test_written_particles_are_read_back_with_all_their_columns():
    particles = read_particles("job/p.star")
    write_particles_star("job/out.star", particles, {"rlnAngleRot": np.array([1.5, 2.5]), "cryodlScore": [0.25, 1e-5]})
    again = read_particles("job/out.star")
    assert again.images([0, 1]).mean((1, 2)).tolist() == [2, 100] and again.names == particles.names
    assert again.angles[:, 0].tolist() == [1.5, 2.5] and again.columns["rlnStrange"] == ["x", "y"]
    assert [float(v) for v in again.columns["cryodlScore"]] == [0.25, 1e-5]
    assert particles.columns["rlnAngleRot"] == ["10.000000", "20.000000"]  # the set itself is as it was


def test_a_new_stack_takes_the_place_of_the_raw_images_and_their_names_are_kept():
    particles = read_particles("job/p.star")
    write_stack("job/new.mrcs", [7.0, 8.0], box=4, pixel_size=4.0)
    write_particles_star("job/new.star", particles, {"cryodlDenoiser": ["m"] * 2}, "job/new.mrcs", 4.0, 4)
    again = read_particles("job/new.star")
    assert again.names == ("000001@job/new.mrcs", "000002@job/new.mrcs") and again.images([1]).mean() == 8
    assert again.columns["rlnImageOriginalName"] == list(particles.names)
    assert (again.box, again.pixel_size, again.denoiser) == (4, 4.0, "m")
    assert again.shifts_yx.tolist() == (particles.shifts_yx / 2).tolist()
    with pytest.raises(ValueError, match="denoised images .by m.; raw images are needed"):
        read_particles("job/new.star", ("raw",))


def test_a_file_written_elsewhere_still_finds_the_images(tmp_path, tmp_path_factory, monkeypatch):
    particles = read_particles("job/p.star")
    other = tmp_path_factory.mktemp("other")
    monkeypatch.chdir(other)
    write_particles_star(other / "p.star", particles)
    assert read_particles(other / "p.star").images([0]).mean() == 2


def test_the_stack_beside_the_star_file_goes_before_one_of_the_same_name_in_the_current_folder():
    write_stack("job/s.mrcs", [1.0]), write_stack("s.mrcs", [2.0])
    particles = read_particles(star(rlnImageName=["1@s.mrcs"] * 2))
    assert particles.images([0]).mean() == 1


def test_a_file_of_relion_3_0_is_read_and_written_as_3_1():
    old = {k: v for k, v in ROWS.items() if "Angst" not in k and k != "rlnOpticsGroup"}
    old.update(
        rlnOriginX=[2.0, 0.0],
        rlnOriginY=[-1.0, 0.5],
        rlnVoltage=[300, 200],
        rlnSphericalAberration=[2.7, 1.4],
        rlnAmplitudeContrast=[0.1, 0.07],
        rlnDetectorPixelSize=[5.0, 5.0],
        rlnMagnification=[25000, 25000],
    )
    write_tables("job/old.star", {"": old})
    particles = read_particles("job/old.star", ("angles", "ctf"))
    assert particles.pixel_size == 2.0 and particles.shifts_yx.tolist() == [[1, -2], [-0.5, 0]]
    assert [o.voltage_kv for o in particles.optics] == [300, 200]
    write_particles_star("job/new.star", particles)
    again = read_particles("job/new.star")
    assert again.shifts_yx.tolist() == particles.shifts_yx.tolist() and [o.cs_mm for o in again.optics] == [2.7, 1.4]
    assert set(read_tables("job/new.star")) == {"optics", "particles"} and "rlnMagnification" not in again.columns


def test_particles_of_relion_3_0_with_and_without_flipped_phases_are_refused():
    columns = dict(rlnImageName=["1@stacks/a.mrcs", "2@stacks/a.mrcs"], rlnPixelSize=[2, 2])
    for flipped, words in (([1, 1], ""), ([0, 1], "mixes images with different CTF treatment")):
        write_tables("p.star", {"": dict(columns, rlnCtfDataArePhaseFlipped=flipped)})
        with contextlib.nullcontext() if not words else pytest.raises(ValueError, match=words):
            assert read_particles("p.star").ctf_state == "flipped"


def test_a_second_table_of_particles_is_not_left_out_in_silence():
    rows = dict(rlnImageName=["1@stacks/a.mrcs"], rlnOpticsGroup=[1])
    write_tables("p.star", {"optics": OPTICS, "particles": rows, "more": rows})
    with pytest.raises(ValueError, match="2 tables with rlnImageName"):
        read_particles("p.star")


def test_shifts_in_px_beside_an_optics_table_are_shifts():
    pixels = dict(rlnOriginX=[2.0, 0.0], rlnOriginY=[-1.0, 0.5])
    particles = read_particles(star(without=("rlnOriginXAngst", "rlnOriginYAngst"), **pixels))
    assert particles.shifts_yx.tolist() == [[1, -2], [-0.5, 0]]
    assert [float(x) for x in particles.columns["rlnOriginXAngst"]] == [4, 0] and "rlnOriginX" not in particles.columns


@pytest.mark.parametrize(
    "changes, needs, words",
    [
        (dict(without=("rlnAngleRot", "rlnAngleTilt")), ("angles",), ["without angles", "assign-orientations"]),
        (dict(without=("rlnAngleTilt",)), (), ["rlnAngleRot and rlnAnglePsi, but not rlnAngleTilt"]),
        (dict(without=("rlnOriginXAngst",)), (), ["rlnOriginYAngst, but not rlnOriginXAngst"]),
        (dict(without=("rlnDefocusU",)), ("ctf",), ["without a CTF"]),
        (dict(without=("rlnDefocusV",)), (), ["rlnDefocusU, but not rlnDefocusV"]),
        (dict(rlnDefocusU=[0, 0], rlnDefocusV=[0, 0]), ("ctf",), ["without a CTF"]),
        (dict(rlnImageName=["5@stacks/a.mrcs", "1@stacks/b.mrcs"]), (), ["image 5", "stacks/a.mrcs", "has only 4"]),
        (dict(rlnImageName=["1@stacks/a.mrcs", "1@stacks/c.mrcs"]), (), ["stacks/c.mrcs", "neither beside"]),
        (dict(rlnImageName=["x@stacks/a.mrcs", "1@stacks/b.mrcs"]), (), ["x@stacks/a.mrcs"]),
        (dict(rlnAngleRot=["nan", 1.0]), (), ["particle 1", "rlnAngleRot"]),
        (dict(rlnOpticsGroup=[1, 2]), (), ["optics group 2"]),
        (dict(without=("rlnImageName",)), (), ["no particles"]),
        (dict(optics=dict(OPTICS, rlnImagePixelSize=[0])), (), ["positive"]),
        (dict(optics=dict(OPTICS, rlnImagePixelSize=["a"])), (), ["optics group 1 has rlnImagePixelSize 'a'"]),
        (dict(optics=dict(OPTICS, rlnImagePixelSize=["inf"])), (), ["optics group 1", "rlnImagePixelSize"]),
        (dict(optics=dict(OPTICS, rlnVoltage=[0])), (), ["a voltage (rlnVoltage) of 0 kV"]),
        (dict(optics=dict(OPTICS, rlnVoltage=[300000])), (), ["a voltage (rlnVoltage) of 300000 kV"]),
        (dict(rlnDefocusU=["a", 1]), (), ["particle 1 has rlnDefocusU 'a'"]),
        (dict(optics={k: v for k, v in OPTICS.items() if k != "rlnImagePixelSize"}), (), ["rlnImagePixelSize"]),
        (
            dict(optics={k: v for k, v in OPTICS.items() if k != "rlnVoltage"}),
            (),
            ["its optics table lacks rlnVoltage"],
        ),
        (
            dict(optics={k: v for k, v in OPTICS.items() if k != "rlnOpticsGroup"}),
            (),
            ["optics table lacks rlnOpticsG"],
        ),
        (dict(optics=dict(OPTICS, rlnImageDimensionality=[3])), (), ["subtomograms"]),
        (dict(optics=dict(OPTICS, rlnAmplitudeContrast=[10])), (), ["rlnAmplitudeContrast) of 10; it is a fraction"]),
        (
            dict(optics={k: v + [200 if k == "rlnVoltage" else v[0]] for k, v in OPTICS.items()}),
            (),
            ["two different optics groups with the number 1"],
        ),
        (dict(rlnRandomSubset=[1, 1.5]), (), ["particle 2", "rlnRandomSubset 1.5"]),
        (
            dict(
                optics={k: v + [1.5 if k == "rlnImagePixelSize" else 2] for k, v in OPTICS.items()},
                rlnOpticsGroup=[1, 2],
            ),
            (),
            ["1.5", "2 Å/px"],
        ),
    ],
)
def test_what_a_file_lacks_is_said(changes, needs, words):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_particles(star(**changes), needs)
    assert all(word in str(error.value) for word in ["p.star" if "x@" not in words[0] else "x@", *words])


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(rlnImageName=["1@stacks/a.mrcs", "000001@stacks/a.mrcs"]), "has 2 particles of 1 images"),
        (
            dict(rlnDefocusU=[-9000, -15000], rlnDefocusV=[-8000, -14000]),
            "a median defocus (rlnDefocusU) of -1.15e+04 Å",
        ),
        (dict(rlnDefocusU=[900, 1500], rlnDefocusV=[800, 1400]), "a median defocus (rlnDefocusU) of 1150 Å"),
        (dict(rlnDefocusU=[2000, 3500], rlnDefocusV=[1900, 3400]), "a median defocus (rlnDefocusU) of 2700 Å"),
        (dict(rlnDefocusU=[900, 15000]), ""),
        (dict(rlnDefocusU=[0, 15000], rlnDefocusV=[0, 14000]), "1 of 2 images have a defocus (rlnDefocusU) of 0"),
        (dict(rlnDefocusU=[0, 15000], rlnDefocusV=[0, 14000], rlnPhaseShift=[90, 90]), ""),
        (dict(rlnDefocusU=[900, 1500], rlnDefocusV=[800, 1400], rlnPhaseShift=[90, 90]), ""),
    ],
)
def test_copies_of_an_image_and_a_defocus_in_other_units_are_warned_of(changes, words):
    with messages.collected() as warnings:
        read_particles(star(**changes))
        said = warnings()
    assert len(said) == bool(words) and all(words in sentence for sentence in said)


ONE_PLACE = dict(rlnMicrographName=["m1.mrc"] * 2, rlnCoordinateX=[60, 60], rlnCoordinateY=[40, 40])


@pytest.mark.parametrize(
    "changes, original, said",
    [
        ({}, [1.0], True),
        (dict(rlnCoordinateX=[60, 70]), [1.0], False),
        (dict(rlnCoordinateX=[60, 70]), [0.0], False),  # not known: all would lie at 0
        (dict(rlnCoordinateX=[60, 61.5]), [1.0], False),  # Scipion's word for not known: 3 Å apart, not 1.5
        (dict(rlnMicrographName=["m1.mrc", "m2.mrc"]), [1.0], False),
        (dict(rlnHelicalTubeID=[1, 1]), [1.0], False),
        (dict(rlnCoordinateX=["nan", 60]), [1.0], False),  # their images are good nevertheless
        (dict(rlnCoordinateX=["None", "None"], rlnCoordinateY=["None", "None"]), [1.0], False),
        ({}, ["None"], False),
    ],
)
def test_images_of_one_place_are_warned_of_and_positions_that_are_no_numbers_hinder_nobody(changes, original, said):
    optics = dict(OPTICS, rlnMicrographOriginalPixelSize=original)
    with messages.collected() as warnings:
        read_particles(star(optics=optics, rlnOriginXAngst=[0, 0], rlnOriginYAngst=[0, 0], **{**ONE_PLACE, **changes}))
        assert ["lie within 2 Å of another one of their micrograph" in text for text in warnings()] == [True] * said


def test_places_are_in_the_pixels_of_each_groups_micrographs_and_one_place_is_of_one_half():
    """In the pixels of the first group the two were 40 px apart."""
    optics = {name: values * 2 for name, values in OPTICS.items()}
    optics.update(rlnOpticsGroup=[1, 2], rlnMicrographOriginalPixelSize=[1.0, 2.0])
    rows = dict(ONE_PLACE, rlnCoordinateX=[60, 30], rlnCoordinateY=[40, 20], rlnOriginXAngst=[0, 0])
    with messages.collected() as warnings:
        path = star(optics=optics, without=["rlnRandomSubset"], rlnOriginYAngst=[0, 0], rlnOpticsGroup=[1, 2], **rows)
        pair = read_particles(path)
        assert any("2 of the 2 particles" in text for text in warnings())
    many = pair.subset(np.tile([0, 1], 20))
    many = dataclasses.replace(many, numbers=np.arange(40), micrographs=[f"m{n // 2}.mrc" for n in range(40)])
    halves = [split_halves(many, seed).reshape(20, 2) for seed in range(3)]
    assert all((half[:, 0] == half[:, 1]).all() and 1 < half[:, 0].mean() < 2 for half in halves)


def test_four_copies_of_one_place_are_in_one_half_and_coordinates_that_all_share_part_nobody():
    """By nearest neighbours alone four copies were two pairs, 14 times of 50; where the same coordinates stood at all
    particles, all were of half 1, and reconstruct said to remove a column rlnRandomSubset that was not there."""
    rng, count = np.random.default_rng(0), 80
    yx = np.repeat(10.0 * BOX * np.arange(count // 4)[:, None], 4, 0) + rng.normal(0, 0.01 * BOX, (count, 2)) + BOX
    pair = read_particles(
        star(**ONE_PLACE, without=["rlnRandomSubset"], rlnOriginXAngst=[0, 0], rlnOriginYAngst=[0, 0])
    )
    places = pair.subset(np.zeros(count, int))
    places = dataclasses.replace(places, numbers=np.arange(count))
    apart = dict(places.columns, rlnCoordinateX=list(map(str, yx[:, 1])), rlnCoordinateY=list(map(str, yx[:, 0])))
    halves = split_halves(dataclasses.replace(places, columns=apart), 0).reshape(-1, 4)
    assert (halves == halves[:, :1]).all() and halves.mean() == 1.5
    assert np.bincount(split_halves(places, 0)).tolist() == [0, 40, 40]


@pytest.mark.parametrize("size, said", [(2 * BOX, True), (BOX, False), ("None", False)])
def test_a_box_size_that_the_images_do_not_have_is_said(size, said):
    with messages.collected() as warnings:
        read_particles(star(optics=dict(OPTICS, rlnImageSize=[size])))
        assert [f"images of {2 * BOX} px (rlnImageSize), but they have {BOX}" in text for text in warnings()] == [
            True
        ] * said


def test_relion_5_s_stacks_of_tilt_images_are_no_images():
    # one name for a stack of the tilts of a particle: its first image would be taken for the particle
    general = "data_general\n\n_rlnTomoSubTomosAre2DStacks                       {}\n\n"
    text = Path("job/p.star").read_text()
    Path("job/p.star").write_text(general.format(0) + text.replace("000003@", "").replace("000001@", ""))
    assert len(read_particles("job/p.star")) == 2
    Path("job/p.star").write_text(general.format(1) + text)
    with pytest.raises(ValueError, match="p.star has a stack of tilt images for each particle"):
        read_particles("job/p.star")
    # an editor of tables may lose the general one; visible frames stand with such stacks alone
    tables = {name: dict(columns) for name, columns in read_tables("job/p.star").items() if name != "general"}
    tables["particles"]["rlnTomoVisibleFrames"] = ["[1,1,0]"] * 2
    write_tables("job/p.star", tables)
    with pytest.raises(ValueError, match="p.star has a stack of tilt.*commands on subtomograms take it"):
        read_particles("job/p.star")


def test_an_empty_set_is_refused():
    Path("job/p.star").write_text("\ndata_particles\n\nloop_\n_rlnImageName #1\n\n")
    with pytest.raises(ValueError, match="has no particles"):
        read_particles("job/p.star")


def test_of_a_table_of_classes_it_is_said_that_their_particles_are_needed():
    write_tables("classes.star", {"classes": dict(rlnReferenceImage=["1@a.mrcs"], rlnClassDistribution=[1.0])})
    with pytest.raises(ValueError, match="lists classes: give the STAR file of their particles"):
        read_particles("classes.star")


def test_stacks_of_two_box_sizes_are_refused():
    write_stack("stacks/b.mrcs", [1.0], box=10)
    with pytest.raises(ValueError, match="8 px .*10 px"):
        read_particles("job/p.star")


def test_a_name_that_no_file_can_have_is_that_of_a_missing_stack():
    path = Path("job/p.star")
    path.write_text(path.read_text().replace("stacks/a.mrcs", "a" * 3000))
    with pytest.raises(FileNotFoundError, match="neither beside it"):
        read_particles(str(path))


def test_a_stack_that_is_cut_short_is_refused():
    whole = Path("stacks/a.mrcs").read_bytes()
    Path("stacks/a.mrcs").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="a.mrcs is truncated"):
        read_particles("job/p.star")


def test_pixels_that_are_not_square_are_refused():
    with mrcfile.open("stacks/b.mrcs", "r+") as mrc:
        mrc.voxel_size = (2.0, 2.5, 2.0)
    with pytest.raises(ValueError, match="b.mrcs has pixels of 2 x 2.5 Å"):
        read_particles("job/p.star")


def test_an_image_with_nan_is_named():
    with mrcfile.open("stacks/a.mrcs", "r+") as mrc:
        mrc.data[2, 3, 3] = np.nan
    particles = read_particles("job/p.star")
    assert particles.images([1]).isfinite().all()
    with pytest.raises(ValueError, match="Image 3 of .*a.mrcs"):
        particles.images([0, 1])


def test_a_replaced_stack_is_read_anew():
    particles = read_particles("job/p.star")
    assert particles.images([0]).mean() == 2
    write_stack("stacks/a.mrcs", [5.0] * 5)
    assert particles.images([0]).mean() == 5


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_every_kind_of_number_is_read(kind):
    with mrcfile.new("stacks/a.mrcs", overwrite=True) as mrc:
        mrc.set_data(np.arange(4).repeat(64).reshape(4, 8, 8).astype(kind))
        mrc.set_image_stack()
    assert read_particles("job/p.star").images([0]).mean() == 2


def test_a_stack_is_written_whole_or_not_at_all():
    with pytest.raises(ValueError, match="3 images, but 2 came"):
        with StackWriter("s.mrcs", 3, 4, 1.5) as stack:
            stack.add(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="is not part of a volume"):
        with StackWriter("s.mrcs", 3, 4, 1.5) as stack:
            stack.add(torch.zeros(4, 4, 4))
    with pytest.raises(KeyboardInterrupt):
        with StackWriter("s.mrcs", 3, 4, 1.5):
            raise KeyboardInterrupt
    assert not list(Path().glob("*s.mrcs*"))


def test_a_written_stack_is_valid_and_its_header_true():
    images = np.random.default_rng(0).normal(3, 2, (5, 6, 6)).astype(np.float32)
    with StackWriter("s.mrcs", 5, 6, 1.5) as stack:
        stack.add(images[:2]), stack.add(torch.from_numpy(images[2:]))
    assert mrcfile.validate("s.mrcs") and np.array_equal(mrcfile.read("s.mrcs"), images)
    with mrcfile.open("s.mrcs") as mrc:
        assert mrc.is_image_stack() and float(mrc.voxel_size.x) == 1.5
        found = [float(mrc.header[k]) for k in ("dmin", "dmax", "dmean", "rms")]
    assert found == pytest.approx([images.min(), images.max(), images.mean(), images.std()], rel=1e-4)


def test_texts_with_blanks_and_empty_texts_survive():
    write_tables("t.star", {"a": {"one": ["b c", ""], "two": [1.23456789, 3e-7]}})
    table = read_tables("t.star")["a"]
    assert table["one"] == ["b c", "None"] and [float(v) for v in table["two"]] == pytest.approx([1.234568, 3e-7])
    assert gemmi.cif.read_file("t.star").find_block("a")


@pytest.mark.parametrize(
    "name", ["data_001.mrc", "_x.mrc", "#1.mrc", "$a.mrc", "LOOP_1", "'q.mrc", '"q.mrc', ";x", "it's.mrc"]
)
def test_names_that_begin_as_words_of_the_format_do_survive(name):
    assert read_particles(star(rlnMicrographName=[name, "m2.mrc"])).micrographs == (name, "m2.mrc")


def test_the_raw_image_of_a_denoised_one_is_that_which_was_denoised_not_one_before_it():
    particles = read_particles(star(rlnImageOriginalName=["000001@before.mrcs", "000002@before.mrcs"]))
    write_stack("job/new.mrcs", [7.0, 8.0])
    write_particles_star("job/new.star", particles, {"cryodlDenoiser": ["m"] * 2}, "job/new.mrcs")
    assert read_particles("job/new.star").columns["rlnImageOriginalName"] == list(particles.names)
