# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks of tilt images of RELION 5 and Warp become subtomograms. The files are made from RELION's own formulas
(Euler_angles2matrix, setProjectionMatrix, getCtf, CTF::getCTF of version 5.0), which share nothing with the code."""

import contextlib
import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from cryodl.contract import AllSkipped
from cryodl.io.relion_tables import image_dimensions
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms, write_subtomograms_star

BOX, PIXEL, HAND = 32, 6.0, -1.0
BLOBS = np.array([[30, 0, 0], [0, 42, 0], [-20, -15, 36], [10, -36, -25], [-42, 10, -10.0]])  # Å, x y z
HEIGHTS, WIDTH = (1, 0.8, 1.2, 0.9, 1.1), 9.0


def euler_matrix(rot, tilt, psi):
    """Euler_angles2matrix."""
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.radians([rot, tilt, psi])), np.sin(np.radians([rot, tilt, psi]))
    cc, cs, sc, ss = cb * ca, cb * sa, sb * ca, sb * sa
    return np.array(
        [
            [cg * cc - sg * sa, cg * cs + sg * ca, -cg * sb],
            [-sg * cc - cg * sa, -sg * cs + cg * ca, sg * sb],
            [sc, ss, cb],
        ]
    )


def turned(x, y, z):
    """Rz Ry Rx, of setProjectionMatrix."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians([x, y, z])), np.sin(np.radians([x, y, z]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x


def transfer(defocus_u, defocus_v, angle, scale, dose):
    """CTF::getCTF times the weight of the dose, on the grid of fft2."""
    wavelength = 12.2643247 / np.sqrt(3e5 * (1 + 3e5 * 0.978466e-6))
    k = np.fft.fftfreq(BOX, PIXEL)
    square, direction = k[None] ** 2 + k[:, None] ** 2, np.arctan2(k[:, None], k[None])
    mean, half = (defocus_u + defocus_v) / 2, (defocus_u - defocus_v) / 2
    defocus = -mean - half * np.cos(2 * (direction - np.radians(angle)))
    phase = np.pi * wavelength * square * defocus + np.pi / 2 * 2.7e7 * wavelength**3 * square**2 - np.arcsin(0.1)
    with np.errstate(divide="ignore"):
        critical = 0.245 * square**-0.8325 + 2.81
    return -np.sin(phase) * scale * np.exp(-dose / 2 / critical)


def project(folder, multiplied=True, warp=False, count=3, **changes):
    """A project of tilt stacks. Returns what the subtomograms are, (n, box, box, box)."""
    rng, nominal = np.random.default_rng(1), np.arange(-60, 61, 4.0)
    number, slope = len(nominal), np.array([rng.normal(0, 1, len(nominal)), nominal, rng.normal(85, 0.3, len(nominal))])
    rotations = np.array([turned(*angles) for angles in slope.T])
    defocus, scale = 28000 + rng.normal(0, 300, number), np.cos(np.radians(nominal))
    dose = np.argsort(np.argsort(np.abs(nominal), kind="stable")) * 2.5
    axis, rows, truth = (np.arange(BOX) - BOX // 2) * PIXEL, [], []
    Path(folder, "stacks").mkdir(parents=True)
    for particle in range(count):
        position = rng.uniform(-1, 1, 3) * [800, 800, 8000]
        subtomogram, pose = rng.uniform([-180, 0, -180], [180, 180, 180], (2, 3))
        blobs = BLOBS @ euler_matrix(*pose).T
        seen, images = np.ones(number, int), []
        seen[rng.choice(number, 4, replace=False)] = 0
        for frame in range(number):
            if not seen[frame] and not warp:  # RELION leaves these images out
                continue
            places = blobs @ euler_matrix(*subtomogram).T @ rotations[frame].T
            squares = [(axis[None] - x) ** 2 + (axis[:, None] - y) ** 2 for x, y, _ in places]
            image = sum(h * np.exp(-square / 2 / WIDTH**2) for h, square in zip(HEIGHTS, squares))
            deep = HAND * (rotations[frame] @ position)[2]
            factor = transfer(defocus[frame] + deep, defocus[frame] - 700 + deep, 30, scale[frame], dose[frame])
            image = np.fft.ifft2(np.fft.fft2(image) * (factor**2 if multiplied else factor)).real
            # an image that nobody should look at
            images.append(image if seen[frame] else np.full_like(image, 50.0))
        name = f"stacks/{particle + 1}_stack2d.mrcs"
        mrcfile.write(Path(folder, name), np.array(images, np.float32))
        rows.append((name, position, subtomogram, pose, json.dumps(seen.tolist()).replace(" ", "")))
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        squares = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 for a, b, c in blobs]
        truth.append(sum(h * np.exp(-square / 2 / WIDTH**2) for h, square in zip(HEIGHTS, squares)))
    names, positions, turns, poses, visible = (list(column) for column in zip(*rows))
    size = np.array([2000, 2000, 1000])
    px = np.array(positions) / (PIXEL / 2) + size / 2  # of the images before they were binned by 2
    where = {f"rlnCoordinate{a}": px[:, i] for i, a in enumerate("XYZ")}
    if not warp:
        where = {f"rlnCenteredCoordinate{a}Angst": np.array(positions)[:, i] for i, a in enumerate("XYZ")}
    angles = zip(("Rot", "Tilt", "Psi"), np.array(poses).T, np.array(turns).T)
    where.update({f"{w}{a}": v for a, p, t in angles for w, v in (("rlnAngle", p), ("rlnTomoSubtomogram", t))})
    particles = dict(
        rlnTomoName=["TS_1"] * count, rlnImageName=names, rlnTomoVisibleFrames=visible, rlnStrange=list("abc")[:count]
    )
    optics = dict(rlnOpticsGroup=[1], rlnImagePixelSize=[PIXEL], rlnImageSize=[BOX], rlnImageDimensionality=[2])
    optics["rlnCtfDataAreCtfPremultiplied"] = [int(multiplied)]
    general = dict(rlnTomoSubTomosAre2DStacks=[1])
    tables = dict(general=general, optics=optics, particles=dict(particles, **where, **changes))
    write_tables(Path(folder, "particles.star"), tables)
    tilts = dict(rlnDefocusU=defocus, rlnDefocusV=defocus - 700, rlnDefocusAngle=[30] * number)
    tilts.update(rlnCtfScalefactor=scale, rlnMicrographPreExposure=dose)
    whole = dict(rlnTomoName=["TS_1"], rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    whole.update(rlnTomoTiltSeriesPixelSize=[PIXEL / 2], rlnTomoHand=[HAND])
    whole.update({f"rlnTomoSize{a}": [n] for a, n in zip("XYZ", size)})
    if warp:  # matrices, in one file
        text = lambda row: "[" + ",".join(map(str, [*row, 0])) + "]"
        matrices = {f"rlnTomoProj{a}": [text(m[i]) for m in rotations] for i, a in enumerate("XYZ")}
        write_tables(Path(folder, "tomograms.star"), {"global": whole, "TS_1": {**matrices, **tilts}})
    else:
        write_tables(Path(folder, "TS_1.star"), {"TS_1": {**dict(zip(TILTS, slope)), **tilts}})
        write_tables(Path(folder, "tomograms.star"), {"global": dict(whole, rlnTomoTiltSeriesStarFile=["TS_1.star"])})
    return torch.tensor(np.array(truth), dtype=torch.float32)


TILTS = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot")


def likeness(subtomograms, truth):
    """(n,) correlation with the truth in what was measured."""
    axes = (1, 2, 3)
    seen = torch.fft.rfftn(truth, dim=axes) * subtomograms.weights(slice(None))
    one = torch.fft.irfftn(seen, s=truth.shape[1:], dim=axes).flatten(1)
    other = subtomograms.volumes(slice(None)).flatten(1)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(one, other)])


@pytest.mark.parametrize("kind", [{}, dict(multiplied=False), dict(warp=True)])
def test_a_stack_adds_up_to_the_subtomogram(tmp_path, kind):
    truth = project(tmp_path / "p", **kind)
    found = read_subtomograms(tmp_path / "p/particles.star", ("angles",))
    assert (len(found), found.box, found.pixel_size) == (3, BOX, PIXEL)
    assert likeness(found, truth).min() > 0.95
    sums = found.sums([0, 2])
    assert sums.shape == (2, BOX, BOX, BOX // 2 + 1) and 0.05 < (sums > 0).float().mean() < 0.7
    # a particle far from the middle has another defocus, of the sign that the hand says
    tables = read_tables(tmp_path / "p/tomograms.star")
    tables["global"]["rlnTomoHand"] = [-HAND]
    write_tables(tmp_path / "p/tomograms.star", tables)
    other = read_subtomograms(tmp_path / "p/particles.star")
    assert likeness(other, truth).mean() < likeness(found, truth).mean() - 0.005


def test_a_selection_goes_back_as_stacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = project("relion/Extract")
    found = read_subtomograms("relion/Extract/particles.star").subset([2, 0])
    Path("chosen").mkdir()
    write_subtomograms_star("chosen/good.star", found, dict(rlnClassNumber=[1, 2]))
    tables = read_tables("chosen/good.star")
    assert list(tables["general"].values()) == [["1"]] and list(tables["particles"]["rlnStrange"]) == ["c", "a"]
    again = read_subtomograms("chosen/good.star", ("classes",))  # by the optimisation set beside it
    assert torch.equal(again.volumes([0, 1]), found.volumes([0, 1])) and likeness(again, truth[[2, 0]]).min() > 0.95
    assert image_dimensions("chosen/good.star") == 3
    Path("relion/Extract/tomograms.star").unlink()
    with pytest.raises(FileNotFoundError, match="particles.star has a stack of tilt images.*optimisation_set.star"):
        read_subtomograms("relion/Extract/particles.star")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(rlnTomoName=["TS_2"] * 3), "tomograms.star has no tomogram TS_2"),
        (dict(rlnTomoVisibleFrames=["[1,0,1]"] * 3), "a particle has 2 visible of 3 frames .*series TS_1 has 31"),
        (dict(rlnTomoVisibleFrames=["[1,zero]"] * 3), r"particles.star has '\[1,zero\]'"),
        (dict(rlnImageName=["stacks/none.mrcs"] * 3), "none.mrcs"),
        (dict(rlnTomoVisibleFrames=["[" + "1," * 30 + "1]"] * 3), "31 visible of 31 .*1_stack2d.mrcs has 27 images"),
        (dict(rlnTomoVisibleFrames=None), "lacks rlnTomoVisibleFrames of the particles"),
        (dict(rlnCenteredCoordinateXAngst=None), "YAngst .*but not rlnCenteredCoordinateXAngst"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, changes, words):
    project(tmp_path / "p")
    tables = read_tables(tmp_path / "p/particles.star")
    tables["particles"] = {k: v for k, v in {**tables["particles"], **changes}.items() if v is not None}
    write_tables(tmp_path / "p/particles.star", tables)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_subtomograms(tmp_path / "p/particles.star")


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("TS_1", dict(rlnDefocusV=None), "TS_1.star lacks rlnDefocusV of the tilt series TS_1"),
        ("TS_1", dict(rlnDefocusU=[0] * 31, rlnDefocusV=[0] * 31), "TS_1.star has a defocus of 0"),
        ("TS_1", dict(rlnMicrographPreExposure=None), "lacks rlnMicrographPreExposure"),
        ("tomograms", dict(rlnTomoHand=None, rlnVoltage=None), "tomograms.star lacks rlnTomoHand, rlnVoltage"),
        ("tomograms", dict(rlnTomoTiltSeriesStarFile=["none.star"]), "tomograms.star names the tilt series none.star"),
    ],
)
def test_what_the_geometry_lacks_is_said(tmp_path, file, changes, words):
    project(tmp_path / "p")
    tables = read_tables(tmp_path / f"p/{file}.star")
    block = next(iter(tables))
    tables[block] = {k: v for k, v in {**tables[block], **changes}.items() if v is not None}
    write_tables(tmp_path / f"p/{file}.star", tables)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_subtomograms(tmp_path / "p/particles.star")


@pytest.mark.parametrize("fault", ["frames", "visible", "nan", "constant", "series", "lost"])
def test_a_stack_that_does_not_fit_is_left_out_and_named(tmp_path, fault):
    truth = project(tmp_path / "p")
    stack = tmp_path / "p/stacks/2_stack2d.mrcs"
    images = mrcfile.read(stack).copy()
    images = dict(frames=images[:-2], nan=images * np.nan, constant=images * 0).get(fault, images)
    with pytest.warns(RuntimeWarning) if fault == "nan" else contextlib.nullcontext():
        mrcfile.write(stack, images, overwrite=True)
    if fault == "visible":
        tables = read_tables(tmp_path / "p/particles.star")
        seen = tables["particles"]["rlnTomoVisibleFrames"]
        tables["particles"]["rlnTomoVisibleFrames"] = [seen[0], "[1,0]", seen[2]]
        write_tables(tmp_path / "p/particles.star", tables)
    if fault in ("series", "lost"):  # of one tomogram of two
        tables = read_tables(tmp_path / "p/tomograms.star")["global"]
        tables = {k: [*v, *v] for k, v in tables.items()}
        both = dict(tables, rlnTomoName=["TS_1", "TS_2"], rlnTomoTiltSeriesStarFile=["TS_1.star", "TS_2.star"])
        write_tables(tmp_path / "p/tomograms.star", {"global": both})
        if fault == "series":
            (tmp_path / "p/TS_2.star").write_text("data_TS_2\n\nloop_\n_rlnDefocusU #1\n1000\n")
        tables = read_tables(tmp_path / "p/particles.star")
        tables["particles"]["rlnTomoName"] = ["TS_1", "TS_2", "TS_1"]
        write_tables(tmp_path / "p/particles.star", tables)
    skipped = []
    skip = lambda name, path, reason, what: skipped.append((name, str(reason)))
    found = read_subtomograms(tmp_path / "p/particles.star", skip=skip)
    assert [name for name, _ in skipped] == ["stacks/2_stack2d.mrcs"] and list(found.columns["rlnStrange"]) == [
        "a",
        "c",
    ]
    assert likeness(found, truth[[0, 2]]).min() > 0.95
    words = dict(frames="2_stack2d.mrcs has 25 images", visible="1 visible of 2 frames", nan="not finite")
    words.update(series="TS_2.star lacks rlnDefocusV", lost="TS_2.star")
    assert words.get(fault, "2_stack2d.mrcs is constant") in skipped[0][1]


def test_stacks_of_which_none_fits_are_refused(tmp_path):
    project(tmp_path / "p", rlnTomoVisibleFrames=["[1,0]"] * 3)
    with pytest.raises(AllSkipped, match="Of 3 .*1 visible of 2 frames"):
        read_subtomograms(tmp_path / "p/particles.star", skip=lambda *told: None)


def test_a_mirror_is_no_projection(tmp_path):
    project(tmp_path / "p", warp=True)
    tables = read_tables(tmp_path / "p/tomograms.star")
    tables["TS_1"]["rlnTomoProjX"] = tables["TS_1"]["rlnTomoProjY"]
    write_tables(tmp_path / "p/tomograms.star", tables)
    with pytest.raises(ValueError, match="rlnTomoProjX, rlnTomoProjY, rlnTomoProjZ of tilt 1 of TS_1 are no rotation"):
        read_subtomograms(tmp_path / "p/particles.star")


def test_b_factors_of_tilts_are_part_of_their_ctf(tmp_path):
    project(tmp_path / "p")
    plain = read_subtomograms(tmp_path / "p/particles.star").sums([0])
    tables = read_tables(tmp_path / "p/TS_1.star")
    tables["TS_1"]["rlnCtfBfactor"] = [2000] * 31
    write_tables(tmp_path / "p/TS_1.star", tables)
    blurred = read_subtomograms(tmp_path / "p/particles.star").sums([0])
    assert (blurred > 0).sum() < 0.9 * (plain > 0).sum()


def test_only_the_set_that_names_the_file_counts_and_none_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project("p")
    other = dict(rlnTomoParticlesFile=["x/particles.star"], rlnTomoTomogramsFile=["x/tomograms.star"])
    write_tables("p/a_optimisation_set.star", {"": other})
    own = dict(rlnTomoParticlesFile=["p/particles.star"], rlnTomoTomogramsFile=["p/tomograms.star"])
    write_tables("p/b_optimisation_set.star", {"": dict(own, rlnTomoTrajectoriesFile=["p/motion.star"])})
    Path("p/run_optimisation_set.star").write_text("RELION's")
    found = read_subtomograms("p/particles.star")
    Path("p/run_optimisation_set.star").rename("p/run_optimisation_set.kept")
    Path("out").mkdir()
    Path("out/run_optimisation_set.star").write_text("RELION's")
    write_subtomograms_star("out/run.star", found)
    assert Path("out/run_optimisation_set.star").read_text() == "RELION's"
    (table,) = read_tables("out/run_cryodl_optimisation_set.star").values()
    assert list(table["rlnTomoTrajectoriesFile"]) == ["p/motion.star"]
