# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-integrity` on small particles of which the composition is known."""

import csv
import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
import torch
from particle_data import BOX, PIXEL, simulate_particles
from synthetic import lopsided_density, write_mrc

from cryodl.contract import AssessIntegrityConfig, Failure, Result
from cryodl.core.projections import Projector
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.likelihood.observed import Source
from cryodl.particles.integrity import assessment, calibration
from cryodl.particles.integrity.candidates import _filtered
from cryodl.particles.integrity.compositions import simulated
from cryodl.particles.orientations import explained, structure
from cryodl.running.cli import main

EACH = 8
WEDGE = [(3, 9, 0.0), (-3, 6, 0.5)]  # z, radius (px) and radians of a part's blobs


def interrupted(*_):
    raise KeyboardInterrupt


def part_of(density):
    """The density without its blob at (z, y, x) = (-2, -5, 6)."""
    zz, yy, xx = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return np.where((zz + 2) ** 2 + (yy + 5) ** 2 + (xx - 6) ** 2 < 3.5**2, 0, density).astype(np.float32)


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """whole.mrc, part.mrc, and both.star: EACH particles of each, first those of the whole."""
    monkeypatch.chdir(tmp_path)
    write_mrc("whole.mrc", lopsided_density(BOX), PIXEL)
    write_mrc("part.mrc", part_of(lopsided_density(BOX)), PIXEL)
    for seed, name in enumerate(("whole", "part")):
        simulate_particles(f"{name}.star", structure=f"{name}.mrc", count=EACH, snr=1.0, seed=seed)
    sets = [read_particles(f"{name}.star") for name in ("whole", "part")]
    with mrcfile.new("both.mrcs", overwrite=True) as mrc:
        mrc.set_data(np.concatenate([s.images(slice(None)).numpy() for s in sets]))
        mrc.set_image_stack()
        mrc.voxel_size = PIXEL
    text = Path("whole.star").read_text().rstrip("\n").split("\n")
    rows = [line for line in Path("part.star").read_text().split("\n") if "@" in line]
    rows = [line.replace(line.split("@")[0].strip(), f"{i + EACH + 1:06d}", 1) for i, line in enumerate(rows)]
    text = "\n".join(text + rows) + "\n\n"
    Path("both.star").write_text(text.replace("whole.mrcs", "both.mrcs").replace("part.mrcs", "both.mrcs"))
    return tmp_path


def assess(code=0, **options):
    options = dict(
        dict(
            particles="both.star",
            structures=("whole.mrc", "part.mrc"),
            output="out",
            device="cpu",
            threads=1,
            angular_step=15,
            contrast="bright",
            result="result.json",
        ),
        **options,
    )
    words = ["assess-integrity"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def right(particles):
    return int((particles.classes == np.repeat([1, 2], EACH)).sum())


def test_made_up_particles_of_images_multiplied_by_their_ctf_have_such_noise(mixed):
    particles = dataclasses.replace(read_particles("both.star"), ctf_state="multiplied")
    source = Source(particles, 26, "bright", "multiplied", noise=torch.ones(BOX // 2 + 1))
    candidates = SimpleNamespace(source=source, spread=0.0, gain=torch.ones)
    made = simulated(candidates, [Projector(torch.zeros(BOX, BOX, BOX))], np.zeros(400, int), np.ones(400))
    power, ctf = torch.fft.rfft2(made.made).abs().square(), made.ctf(slice(None))
    assert power[ctf < 0.05].mean() < 0.1 * power[ctf > 0.8].mean()


def test_examples_of_flipped_images_are_alike_whether_the_file_says_so_or_not(mixed):
    particles, rows = read_particles("both.star"), np.arange(4)
    said = dataclasses.replace(particles, ctf_state="flipped")
    one, other = (_filtered(Source(p, 26, "bright", "flipped"), rows, np.zeros((4, 2))) for p in (particles, said))
    assert np.allclose(one, other)


def test_a_box_that_the_complex_fills_is_said(mixed, monkeypatch):
    monkeypatch.setattr(structure, "TIGHT", 0.7)  # 104 of 128 Å
    assert any("The complex is 10" in one and "box of 1.5 diameters" in one for one in assess().warnings)


def test_particles_with_angles_are_told_apart(mixed):
    before = Path("both.star").read_bytes(), Path("both.mrcs").read_bytes()
    result = assess(names=("whole", "lacking"))
    out = read_particles("out/particles.star")
    assert right(out) >= 2 * EACH - 1 and result.outputs["names"] == ["whole", "lacking"]
    assert sum(result.outputs["counts"].values()) == 2 * EACH and "whole: " in result.summary[0]
    assert "of these classes are expected to be correct" in result.summary[1]
    assert result.summary[2].startswith("Fractions of the set, if none is junk (95 % interval): ")
    assert "whole, lacking were distinguished" in result.methods[0]
    table = list(csv.reader(open("out/probabilities.csv")))
    assert table[0] == ["name", "composition", "whole", "lacking"] and len(table) == 2 * EACH + 1
    columns = np.array([out.columns[f"cryodlProbability{k}"] for k in (1, 2)], float)
    assert np.allclose(columns.sum(0), 1, atol=1e-5) and (columns.argmax(0) + 1 == out.classes).all()
    assert np.allclose(columns.T, np.array(table[1:])[:, 2:].astype(float))
    record = json.loads(Path("out/integrity.json").read_text())
    assert record["orientations"] == "given" and record["strength"] == pytest.approx(1, abs=0.2)
    # particles that are made up are told apart as well
    assert record["told_apart"] and record["simulated_accuracy"] > 0.9 and record["wobble"] == 0
    assert record["fractions_low"]["whole"] < 0.5 < record["fractions_high"]["whole"]
    assert {p.name for p in Path("out").iterdir()} == {
        "particles.star",
        "probabilities.csv",
        "integrity.json",
        "probabilities.png",
        "examples.png",
    }
    assert (Path("both.star").read_bytes(), Path("both.mrcs").read_bytes()) == before
    assert out.images(slice(None)).equal(read_particles("both.star").images(slice(None)))


def test_particles_without_angles_are_searched(mixed):
    particles = read_particles("both.star")
    kept = {k: v for k, v in particles.columns.items() if not k.startswith(("rlnAngle", "rlnOrigin"))}
    import dataclasses

    write_particles_star("blind.star", dataclasses.replace(particles, columns=kept))
    assess(particles="blind.star")
    assert json.loads(Path("out/integrity.json").read_text())["orientations"] == "search"
    assert right(read_particles("out/particles.star")) >= 2 * EACH - 4
    assert "rlnAngleRot, rlnAngleTilt" in assess(2, particles="blind.star", output="out2", orientations="given")


def test_a_part_that_is_missing_at_any_of_equivalent_places_is_told(mixed, monkeypatch):
    """Angles of a refinement with C4 do not say which of four parts an image lacks."""
    zyx = np.indices((BOX,) * 3).reshape(3, -1).T - BOX // 2
    places = [(z, r * np.sin(a + t), r * np.cos(a + t)) for a in np.radians([0, 90, 180, 270]) for z, r, t in WEDGE]
    blobs = [np.exp(-((zyx - place) ** 2).sum(1) / 8).reshape((BOX,) * 3) for place in places]
    for name, kept in (("ring", blobs), ("gap", blobs[2:])):
        write_mrc(f"{name}.mrc", sum(kept).astype(np.float32), PIXEL)
    for seed, name in enumerate(("ring", "gap")):
        simulate_particles(f"{name}.star", structure=f"{name}.mrc", count=EACH, snr=1.0, seed=seed)
        found = read_particles(f"{name}.star")
        rot = [f"{angle + 90 * (i % 4):.4f}" for i, angle in enumerate(found.angles[:, 0])]
        write_particles_star(f"{name}_c4.star", found, {"rlnAngleRot": rot})
        result = assess(particles=f"{name}_c4.star", structures=("ring.mrc", "gap.mrc"), output=name)
        assert any("looks symmetric (C4), and another" in warning for warning in result.warnings)
        assert result.outputs["counts"][name] >= EACH - 1
        assert json.loads(Path(f"{name}/integrity.json").read_text())["wobble"] < 3
    # evidence at the given angles alone, as a stopped run of a version before may have left it, is not mixed with it
    again = dict(particles="gap_c4.star", structures=("ring.mrc", "gap.mrc"), output="again")
    monkeypatch.setattr(assessment.compositions, "ambiguous_symmetry", lambda densities: "C1")
    monkeypatch.setattr(assessment.IntegrityAssessment, "made_up", interrupted)
    assess(130, **again)
    monkeypatch.undo()
    monkeypatch.chdir(mixed)
    assert assess(**again).outputs["counts"] == result.outputs["counts"]


def test_three_compositions_are_told_apart(mixed):
    zz = np.mgrid[:BOX, :BOX, :BOX][0] - BOX // 2
    write_mrc("bottom.mrc", np.where(zz > 3, 0, lopsided_density(BOX)).astype(np.float32), PIXEL)
    assess(structures=("whole.mrc", "part.mrc", "bottom.mrc"))
    out = read_particles("out/particles.star")
    assert right(out) >= 2 * EACH - 2 and "cryodlProbability3" in out.columns


def test_a_stopped_run_continues_and_ends_the_same(mixed, monkeypatch):
    import cryodl.particles.commands.assess_integrity as command
    from cryodl.particles.integrity.assessment import IntegrityAssessment

    assess(output="whole_run")
    monkeypatch.setattr(command, "CHUNK", 6)
    found, real = [], IntegrityAssessment.evidence

    def stop_at_the_third(assessment, rows, *matrices):
        if rows[0] == 12 and len(rows) == 4:  # not the made-up ones
            raise KeyboardInterrupt
        return real(assessment, rows, *matrices)

    monkeypatch.setattr(IntegrityAssessment, "evidence", stop_at_the_third)
    assess(130)
    assert not Path("out").exists() and len(list(Path("out.partial/evidence").rglob("*.npz"))) == 2
    monkeypatch.setattr(
        IntegrityAssessment, "evidence", lambda assessment, rows: found.append(rows[0]) or real(assessment, rows)
    )
    del found[:]
    assess()
    assert found == [12, 0]  # the last chunk, and the made-up ones
    one, two = (read_particles(f"{name}/particles.star").columns["cryodlProbability1"] for name in ("out", "whole_run"))
    assert np.allclose(np.array(one, float), np.array(two, float), atol=1e-4)


def test_a_larger_set_has_more_made_up_particles_and_a_stopped_run_goes_on_with_them(mixed, monkeypatch):
    """Twice as many as there are particles, in parts: fractions of 400 with 240 are off by twice the set's chance."""
    monkeypatch.setattr(assessment, "SIMULATED", 8)
    monkeypatch.setattr(assessment, "EACH", 4)
    made, judged = [], calibration.judged
    monkeypatch.setattr(calibration, "judged", lambda logs, up, image: made.append(up) or judged(logs, up, image))
    assess(output="at_once")
    (whole,) = made
    assert len(whole.kinds) == 4 * EACH and (whole.kinds[:8] == whole.kinds[8:16]).all()
    assert not np.isclose(whole.logs[:8], whole.logs[8:16]).any()  # other images
    with monkeypatch.context() as patch:
        start = lambda *words, seed: simulated(*words, seed=seed) if seed == 0 else interrupted()
        patch.setattr(assessment.compositions, "simulated", start)
        assess(130)
    (kept,) = Path("out.partial/evidence").rglob("made_up_*")
    # what a version that made up one part only left there
    np.savez(kept.with_name("made_up_0.00.npz"), logs=np.zeros((8, 2)))
    assess()
    assert np.allclose(made[1].logs, whole.logs) and len(made[1].kinds) == len(whole.kinds)


def test_what_cannot_be_told_apart_is_refused(mixed):
    assert "names 1 file; give at least two" in assess(2, structures=("whole.mrc",))
    assert "same density" in assess(2, structures=("whole.mrc", "whole.mrc"), names=("a", "b"))
    assert "the same name (whole, whole)" in assess(2, structures=("whole.mrc", "whole.mrc"))
    write_mrc("shifted.mrc", np.roll(part_of(lopsided_density(BOX)), 11, 2), PIXEL)
    assert "shifted.mrc are not in the same coordinate frame" in assess(2, structures=("whole.mrc", "shifted.mrc"))
    assert not Path("out").exists()


def test_an_image_that_is_not_finite_is_left_out_and_named(mixed):
    with mrcfile.open("both.mrcs", "r+") as mrc:
        mrc.data[3, 4, 5] = np.nan
    result, names = assess(), read_particles("both.star").names
    assert [one.item for one in result.skipped] == [names[3]] and "image 4 has" in result.skipped[0].reason
    rows = Path("out/probabilities.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [name for name in names if name != names[3]]
    assert len(read_particles("out/particles.star")) == len(names) - 1


def test_whether_particles_are_explained_is_asked_as_finely_as_they_are_compared(mixed, monkeypatch):
    """A coarse search explains a set of which a third is something else too well: 72 ± 7 %, not 64 ± 7 %. A pixel size
    that the compositions contradict is seen there, too."""
    steps, before = [], explained.sample_search
    monkeypatch.setattr(explained, "sample_search", lambda *given: steps.append(given[-1]) or before(*given))
    assert not any("if the structure is scaled" in warning for warning in assess().warnings)
    assert steps == [assessment.STEP] and assessment.STEP < explained.STEP
    write_particles_star("other.star", read_particles("both.star"), pixel_size=1.08 * PIXEL)
    (said,) = [w for w in assess(particles="other.star", output="o").warnings if "if the structure is scaled" in w]
    assert "other.star fits the mean of these compositions better" in said
    assert float(re.search("scaled by (.{4}):", said)[1]) == pytest.approx(1.08, rel=0.02)


def test_one_particle_is_enough(mixed):
    particles = read_particles("both.star")
    earlier = {"cryodlProbability": [0.9], "cryodlProbability3": [0.8]}  # of 2-D classes; of three compositions
    write_particles_star("one.star", particles.subset([0]), earlier)
    assert assess(particles="one.star").outputs["counts"] in ({"whole": 1, "part": 0}, {"whole": 0, "part": 1})
    columns = read_particles("out/particles.star").columns
    assert {name for name in columns if name.startswith("cryodlProb")} == {
        "cryodlProbability",
        "cryodlProbability1",
        "cryodlProbability2",
    }


def test_compositions_that_images_do_not_tell_apart_give_no_class(mixed):
    """One blob has a seventeenth less density: nobody can see that in an image."""
    whole = lopsided_density(BOX)
    write_mrc("nearly.mrc", (0.94 * whole + 0.06 * part_of(whole)).astype(np.float32), PIXEL)
    result = assess(structures=("whole.mrc", "nearly.mrc"))
    assert result.outputs["counts"] == {} and result.outputs["separation"] is None
    assert "do not tell these compositions apart" in " ".join(result.warnings)
    assert "without a class" in result.summary[0] and "expected to be correct" not in " ".join(result.summary)
    out = read_particles("out/particles.star")
    assert (out.classes == 0).all() and "cryodlProbability1" in out.columns  # the scores stay
    assert {row[1] for row in csv.reader(open("out/probabilities.csv"))} == {"composition", ""}
    record = json.loads(Path("out/integrity.json").read_text())
    assert not record["told_apart"]
    assert [record[name] for name in ("counts", "fractions", "fractions_low", "fractions_high")] == [{}] * 4
    with mrcfile.mmap("both.mrcs", mode="r+") as mrc:
        mrc.data[:] = np.random.default_rng(1).normal(size=mrc.data.shape)
    assert "the mean of these compositions does not explain" in " ".join(assess(output="noise").warnings)


@pytest.mark.parametrize("orientations", ["given", "search"])
def test_particles_of_another_molecule_have_no_class(mixed, orientations):
    grid = np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2
    rod = ((grid[0] ** 2 + grid[1] ** 2 < 9) & (np.abs(grid[2]) < 12)).astype(np.float32)
    write_mrc("rod.mrc", rod, PIXEL)
    simulate_particles("rod.star", structure="rod.mrc", count=2 * EACH, snr=1.0)
    result = assess(particles="rod.star", orientations=orientations)
    said = " ".join(result.warnings)
    assert "these compositions does not explain these particles" in said and "made-up particles" in said
    assert "these particles are not like them" in said
    assert result.outputs["counts"] == {} and (read_particles("out/particles.star").classes == 0).all()


def test_some_particles_of_another_molecule_are_told_and_have_no_class(mixed, monkeypatch):
    monkeypatch.setattr(calibration, "MORE", 1)
    grid = np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2
    write_mrc("rod.mrc", ((grid[0] ** 2 + grid[1] ** 2 < 9) & (np.abs(grid[2]) < 12)).astype(np.float32), PIXEL)
    simulate_particles("rod.star", structure="rod.mrc", count=3, snr=1.0)
    with mrcfile.open("both.mrcs", "r+") as mrc:
        mrc.data[:3] = read_particles("rod.star").images(slice(None)).numpy()
    result = assess()
    assert any("3 of 16 particles show these compositions less than nearly all" in said for said in result.warnings)
    out = read_particles("out/particles.star")
    assert (out.classes[:3] == 0).all() and right(out) >= 2 * EACH - 4 and result.outputs["separation"] > 0.8
    assert sum(result.outputs["counts"].values()) == 2 * EACH - 3 and "of 13 particles" in result.summary[0]
    columns = np.array([out.columns[f"cryodlProbability{k}"] for k in (1, 2)], float)
    assert (columns[:, :3] == 0).all() and np.allclose(columns[:, 3:].sum(0), 1, atol=1e-5)
    rows = list(csv.reader(open("out/probabilities.csv")))[1:]
    assert [row[1] for row in rows[:3]] == [""] * 3 and all(row[1] for row in rows[3:])


def test_given_angles_that_are_off_make_the_made_up_ones_off_as_far(mixed):
    import dataclasses

    from scipy.spatial.transform import Rotation

    particles = read_particles("both.star")
    turned = Rotation.from_euler("ZYZ", particles.angles, degrees=True) * Rotation.from_rotvec(
        np.random.default_rng(0).normal(scale=4, size=(2 * EACH, 3)), degrees=True
    )
    columns = dict(particles.columns)
    for name, values in zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), turned.as_euler("ZYZ", degrees=True).T):
        columns[name] = [f"{value:.4f}" for value in values]
    write_particles_star("off.star", dataclasses.replace(particles, columns=columns))
    assess(particles="off.star")
    assert 1.5 < json.loads(Path("out/integrity.json").read_text())["wobble"] < 6
    assert right(read_particles("out/particles.star")) >= 2 * EACH - 2


def test_images_that_are_sums_of_a_few_components_are_said_to_be_no_raw_ones(mixed):
    with mrcfile.open("both.mrcs", "r+") as mrc:
        left, sizes, right = np.linalg.svd(mrc.data.reshape(2 * EACH, -1), full_matrices=False)
        mrc.set_data(((left * sizes)[:, :6] @ right[:6]).reshape(-1, BOX, BOX).astype(np.float32))
    config = AssessIntegrityConfig("both.star", ("whole.mrc", "part.mrc"), "out")
    notes = assessment.assessment_of(config, read_particles("both.star"), torch.device("cpu")).notes
    assert "sums of a few components" in " ".join(notes)
