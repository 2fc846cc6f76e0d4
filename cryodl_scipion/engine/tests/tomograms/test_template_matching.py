# SPDX-License-Identifier: GPL-3.0-or-later
"""Template matching: correlation coefficients, noise, positions and orientations against what was put in."""

import dataclasses
import gzip
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from detection_data import ELSEWHERE, PIXEL, PLACES, SHAPE, template_tomogram
from scipy.spatial.transform import Rotation
from synthetic import lopsided_density, write_mrc

from cryodl.contract import DetectParticlesConfig, Failure, Result
from cryodl.core.peaks import find_peaks_3d
from cryodl.core.projections import euler_angles, rotation_matrices
from cryodl.core.volumes import phases_at_random
from cryodl.io.mrc import read_header
from cryodl.io.particles import ANGLES
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomogram_coordinates import coordinate_columns
from cryodl.io.tomograms import Tomogram
from cryodl.likelihood.decoys import scrambled_harmonics
from cryodl.running.cli import main
from cryodl.tomograms.commands.detect_particles import _of_two_kinds, _warnings
from cryodl.tomograms.segmenters.working_scale import WorkingTomogram
from cryodl.tomograms.subtomograms.observed import particle_sphere
from cryodl.tomograms.templates import kinds
from cryodl.tomograms.templates.correlate import (
    RINGS,
    USUAL,
    Filters,
    Kernels,
    Patterns,
    SearchTile,
    best_scores,
    load_template,
    orientations,
    transform_of,
    volume_ring_power,
)
from cryodl.tomograms.templates.finder import WORTH, TemplateFinder, TemplateSearch, tiling

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc("lump.mrc", lopsided_density(20), PIXEL)
    return tmp_path


def detect(code=0, output="found", **options):
    options = dict(
        dict(tomograms="tomo.mrc", template="lump.mrc", angular_step=60, defocus=0, output=output, device="cpu"),
        **options,
    )  # these tomograms have no CTF
    words = ["detect-particles", "--threads", "1", "--result", "result.json"]
    for name, value in options.items():
        if value is not None:
            words += ["--" + name.replace("_", "-"), *map(str, value if isinstance(value, tuple) else (value,))]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def test_where_no_defocus_is_stated_the_ctf_is_the_mean_of_usual_ones():
    of = lambda defocus, flipped=False: Filters(torch.ones(RINGS), 30.0, 10.0, (-60.0, 60.0), defocus, flipped).transfer
    each = np.array([of(float(one)) for one in USUAL])
    np.testing.assert_allclose(of(None), each.mean(axis=0))
    np.testing.assert_allclose(of(None, True), np.abs(each).mean(axis=0))
    assert of(0.0) is None and np.ptp(of(None)) > 0.1


def test_the_coefficient_is_that_of_numpy_at_every_place():
    rng = np.random.default_rng(0)
    volume = torch.from_numpy(rng.standard_normal((18, 20, 24)).astype(np.float32))
    mask = particle_sphere(8, 6.0, edge=2.0)
    filters = Filters(torch.ones(RINGS), 4.0, 1.0, (-90.0, 90.0))
    tile = SearchTile(volume, filters, mask, 1e-6)
    kernel = torch.from_numpy(rng.standard_normal((8, 8, 8)).astype(np.float32))
    kernel = kernel - (kernel * mask).sum() / mask.sum()
    unit = kernel * mask / (kernel.square() * mask).sum().sqrt()
    scores = tile.scores(transform_of(unit, tile.shape))
    weights = mask.numpy().ravel()
    for position in ((0, 0, 0), (10, 12, 16), (4, 7, 3)):
        patch = tile.seen[tuple(slice(p, p + 8) for p in position)].numpy().ravel()
        covariance = np.cov(patch, kernel.numpy().ravel(), aweights=weights)
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert float(scores[position]) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_sums_of_patterns_score_as_the_kernels_of_target_and_decoy_do(symmetry):
    config = DetectParticlesConfig(("tomo.mrc",), "found", "lump.mrc", angular_step=60.0, symmetry=symmetry)
    template, _ = load_template(config, PIXEL)
    (decoy,) = scrambled_harmonics(template.density, 1)
    filters = Filters(torch.ones(RINGS), template.resolution, template.pixel_size, (-60.0, 60.0))
    both = [Kernels(dataclasses.replace(template, density=one), filters, CPU) for one in (template.density, decoy)]
    rng, told = np.random.default_rng(0), []
    volume = torch.from_numpy(rng.standard_normal((24, 28, 30)).astype(np.float32))
    tile = SearchTile(volume, filters, template.mask, None)
    sides = [n - 2 for n in tile.inverse.shape]
    patterns = Patterns(both)
    same, changed = (one.shape[1] for one in patterns.patterns)
    assert same + changed < 2 * len(template.angles), "fewer patterns than kernels"
    assert changed == 0 if symmetry == "C3" else abs(same - changed) < 0.2 * same, "each has half of them"
    for kernels, (best, which, _) in zip(both, patterns.best_scores(tile, sides, told.append)):
        expected, numbers, _ = best_scores(tile, kernels, told.append)
        inner = tuple(map(slice, sides))
        assert (best - expected[inner]).abs().max() < 0.02 and (which == numbers[inner]).float().mean() > 0.8
    assert sum(told) == 4 * len(template.angles)


def test_whitened_noise_has_rings_of_one_power():
    rng = np.random.default_rng(1)
    volume = torch.from_numpy(rng.standard_normal((32, 32, 32)).astype(np.float32))
    smooth = torch.nn.functional.avg_pool3d(volume[None, None], 3, 1, 1)[0, 0]
    filters = Filters(volume_ring_power([smooth]), 4.0, 1.0, (-60.0, 60.0))
    white = torch.fft.irfftn(torch.fft.rfftn(smooth) * filters.of_tomogram(smooth.shape), s=smooth.shape)
    power = volume_ring_power([white])[3:10]  # between the mean and where the resolution ends
    assert power.max() / power.min() < 1.5


def test_a_copy_with_random_phases_keeps_the_amplitudes_and_loses_the_places():
    volume = torch.zeros(16, 18, 20)
    volume[8, 9, 10] = 30.0
    copy = phases_at_random(volume, np.random.default_rng(0))
    ours, theirs = (torch.fft.rfftn(v).abs() for v in (copy, volume))
    assert torch.allclose(ours, theirs, atol=0.05) and copy.abs().max() < 4 * copy.std()


def test_orientations_are_a_step_apart_and_fewer_by_the_symmetry():
    matrices = rotation_matrices(orientations(30.0, "C1"))
    nearest = [
        min(np.degrees(Rotation.from_matrix(matrices.transpose(0, 2, 1) @ one).magnitude()))
        for one in Rotation.random(20, random_state=0).as_matrix()
    ]
    assert max(nearest) < 30.0
    assert len(orientations(30.0, "D2")) < 0.4 * len(matrices)


def test_tiles_cover_the_tomogram_once():
    kept, starts = tiling((45, 90, 200), 16, 2e5)
    covered = np.zeros((400, 400, 400), np.int8)
    for start in starts:
        covered[tuple(slice(a, a + k) for a, k in zip(start, kept))] += 1
    assert (covered[:45, :90, :200] == 1).all()


def test_peaks_of_a_volume_lie_between_its_voxels():
    axes = [np.exp(-((np.arange(20) - p) ** 2) / 18) for p in (10.3, 5.7, 0.0)]
    scores = torch.from_numpy(axes[0][:, None, None] * axes[1][:, None] * axes[2])
    zyx, heights, voxels = find_peaks_3d(scores, 0.5)
    assert np.abs(zyx - [10.3, 5.7, 0.0]).max() < 0.05 and voxels.tolist() == [[10, 6, 0]]
    assert not len(find_peaks_3d(scores, 0.5, [(0, 10), (0, 20), (0, 20)])[0])


def test_particles_are_found_where_they_are_and_as_they_are_turned():
    angles = template_tomogram("tomo.mrc", lopsided_density(20))
    outputs = detect(angular_step=30).outputs
    table = read_tables(outputs["files"]["tomo"])["particles"]
    zyx = np.array([[float(v) for v in table[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T
    found = np.array([[float(v) for v in table[f"rlnAngle{a}"]] for a in ("Rot", "Tilt", "Psi")]).T
    distances = np.linalg.norm(zyx[:, None] - np.array(PLACES), axis=2)
    assert (distances.min(axis=0) < 1.0).all()
    assert len(zyx) <= len(PLACES) + 1  # a place is the template's by chance in one of seven cases
    assert max(map(float, table["cryodlQ"])) <= 1 / (WORTH * len(PLACES))  # no decoy is as good
    rotations = [
        np.degrees(Rotation.from_matrix(rotation_matrices(found)[row].T @ true).magnitude())
        for row, true in zip(distances.argmin(axis=0), rotation_matrices(angles))
    ]
    assert np.median(rotations) < 20  # half of the step of the search
    assert set(table["cryodlSpecies"]) == {"lump"} and outputs["counts"] == dict(tomo=dict(lump=len(zyx)))
    assert outputs["expected_false_detections"]["tomo"]["lump"] == 0


def test_a_molecule_off_the_middle_of_its_box_is_found_at_its_own_centre_and_that_is_said():
    wide, density = np.zeros((30, 24, 44), np.float32), lopsided_density(20)
    wide[8:28, 2:22, 21:41] = density  # its middle 3, 0 and 9 voxels from the box's
    write_mrc("off.mrc", wide, PIXEL)
    template_tomogram("tomo.mrc", density)
    found = {name: detect(template=f"{name}.mrc", output=name, threshold=0.5) for name in ("lump", "off")}
    places = {}
    for name, result in found.items():
        table = read_tables(result.outputs["files"]["tomo"])["particles"]
        places[name] = np.array([[float(v) for v in table[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T
    centre = np.array([np.average(axis, weights=density) for axis in np.indices(density.shape) - 10.0])
    distances = np.linalg.norm(places["off"][:, None] - np.array(PLACES), axis=2).min(axis=0)
    # of the right places; the template's own middle was a fraction of a voxel from its centre of mass
    assert (np.abs(distances - np.linalg.norm(centre)) < 1.0).all() and len(places["off"]) == len(places["lump"])
    assert found["off"].outputs["diameters"]["off"] < 1.15 * found["lump"].outputs["diameters"]["lump"]
    said = f"off.mrc lies {np.linalg.norm(centre + (3, 0, 9)) * PIXEL:.0f} Å from the middle of its box."
    assert any(said in warning for warning in found["off"].warnings) and not found["lump"].warnings


def test_noise_alone_gives_no_detection_and_says_why():
    for seed in range(2):
        rng = np.random.default_rng(seed)
        write_mrc(f"noise{seed}.mrc", rng.standard_normal(SHAPE).astype(np.float32), PIXEL)
    result = detect(tomograms=("noise0.mrc", "noise1.mrc"))
    assert all(counts == dict(lump=0) for counts in result.outputs["counts"].values())
    assert any("cannot be told from its decoys" in warning for warning in result.warnings)


def test_look_alikes_are_left_out_and_the_rate_that_is_asked_for_holds():
    """Two tomograms with four lumps and four other bodies of the same mass and spectrum each; then at a milder rate.
    Of eight the smallest q is 1 / 16."""
    lump = lopsided_density(20)
    for seed in range(2):
        others = scrambled_harmonics(torch.from_numpy(lump), len(PLACES), seed=90 + seed)
        template_tomogram(f"tomo{seed}.mrc", lump, seed=seed, others=others)
    tomograms = ("tomo0.mrc", "tomo1.mrc")
    table = read_tables(detect(tomograms=tomograms, angular_step=30, fdr=0.1).outputs["particles"])["particles"]
    zyx = np.array([[float(v) for v in table[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T
    own = np.linalg.norm(zyx[:, None] - np.array(PLACES), axis=2).min(axis=1) < 3
    assert own.sum() >= 7 and (~own).sum() <= 2
    q, scores = (np.array(table[name], float) for name in ("cryodlQ", "cryodlScore"))
    assert (q <= 0.1).all() and q.min() >= 1 / (WORTH * len(q)) - 1e-4
    assert (np.diff(q[np.argsort(-scores)]) >= 0).all()
    more = detect(tomograms=tomograms, angular_step=30, fdr=0.5).outputs  # not searched again
    assert sum(counts["lump"] for counts in more["counts"].values()) >= len(own)


def test_places_of_another_particle_of_its_kind_are_not_taken_given_or_not():
    """The other body is the lump's mirror image, mixed with it: of the same kind, as decoys are not. Not given, its
    scores are a group of their own."""
    lump = lopsided_density(20)
    other = (0.5 * lump + 0.5 * np.roll(lump[::-1], 1, 0)).astype(np.float32)
    write_mrc("other.mrc", other, PIXEL)
    template_tomogram("tomo.mrc", lump, others=[torch.from_numpy(other)] * len(PLACES))

    def places(**options):
        made = detect(angular_step=30, **options)
        table = read_tables(made.outputs["particles"])["particles"]
        return np.array([table[f"rlnCoordinate{axis}"] for axis in "ZYX"], float).T, "".join(made.warnings)

    among = lambda zyx, where: (np.linalg.norm(zyx[:, None] - np.array(where), axis=2).min(axis=0) < 3).sum()
    alone, warned = places(fdr=0.2)
    assert among(alone, PLACES) == 4 and among(alone, ELSEWHERE) == 0
    assert "4 places where the template beats its decoys are left out" in warned
    (third,) = scrambled_harmonics(torch.from_numpy(lump), 1, seed=7)
    write_mrc("absent.mrc", third.numpy(), PIXEL)
    others = dict(others=("absent.mrc", "other.mrc"), output="against", fdr=0.2)
    against, warned = places(**others)
    assert among(against, PLACES) >= 3 and among(against, ELSEWHERE) == 0 and "left out" not in warned
    (said,) = (line for line in detect(angular_step=30, **others).summary if "another of the given" in line)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) of (absent|other)\b", said)}
    assert len(ELSEWHERE) - 1 <= counts["other"] <= len(ELSEWHERE) + 1 and counts.get("absent", 0) <= 1
    assert "No file matches 'nosuch.mrc'" in detect(2, others="nosuch.mrc")


def test_two_kinds_of_molecules_among_the_detections_are_told_and_one_kind_is_not(monkeypatch):
    """At half of the places is the lump; at the others too, or the lump with one more domain. Places and orientations
    are as a search would find them, a little off."""
    lump, turn = lopsided_density(20), Rotation.from_euler("ZYZ", (3, 2, -2), degrees=True).as_matrix()
    zz, yy, xx = np.mgrid[:20, :20, :20] - 10
    domain = np.exp(-((zz - 1) ** 2 + (yy - 5) ** 2 + (xx - 4) ** 2) / (2 * 1.8**2)).astype(np.float32)
    warned = {}
    for kind, other in (("one", lump), ("two", lump + 1.2 * domain)):
        Path(kind).mkdir()
        items, paths = {}, {f"tomo{seed}": f"{kind}/tomo{seed}.mrc" for seed in range(3)}
        for seed, (name, path) in enumerate(paths.items()):
            others = [torch.from_numpy(other)] * len(PLACES)
            angles = template_tomogram(path, lump, noise=0.2, seed=seed, others=others)
            angles = euler_angles(rotation_matrices(np.concatenate([angles, angles[::-1]])) @ turn)
            columns = coordinate_columns(name, np.array(PLACES + ELSEWHERE) + 0.3, (64, 64, 64), PIXEL)
            columns.update(zip(ANGLES, angles.T))
            write_tables(f"{kind}/{name}.star", {"particles": columns})
            items[name] = dict(file=f"{name}.star", pixel_size=PIXEL, counts=dict(lump=8))
        config = DetectParticlesConfig(list(paths.values()), "unused", template="lump.mrc", angular_step=30, defocus=0)
        finder = TemplateFinder(config, list(paths.items()), CPU)
        warned[kind] = list(_of_two_kinds(finder, paths, Path(kind), items))
        few = {name: items[name] for name in ("tomo0",)}
        assert not list(_of_two_kinds(finder, paths, Path(kind), few))  # eight tell nothing
    assert not warned["one"] and len(warned["two"]) == 1
    assert "What lump does not explain is alike" in warned["two"][0] and "--others" in warned["two"][0]
    looked, around = [], TemplateSearch.around

    def noted(self, place):
        looked.append(place)
        return around(self, place)

    monkeypatch.setattr(TemplateSearch, "around", noted)
    monkeypatch.setattr(kinds, "MOST", 3)
    list(_of_two_kinds(finder, paths, Path("two"), items))
    first, middle, last = (np.array(PLACES + ELSEWHERE)[n] + 0.3 for n in (0, 4, 7))
    np.testing.assert_allclose(looked, [first, middle, last], atol=0.01)  # of all ranks, not the best alone


def test_a_stated_threshold_gives_all_places_that_reach_it_without_decoys():
    """Round particles are like their decoys: none can be told from them, and all stand out."""
    zyx = np.mgrid[:20, :20, :20] - 9.5
    ball = (1 / (1 + np.exp(np.linalg.norm(zyx, axis=0) - 6))).astype(np.float32)
    write_mrc("ball.mrc", ball, PIXEL)
    template_tomogram("tomo.mrc", ball)
    assert detect(template="ball.mrc").outputs["counts"]["tomo"]["ball"] < len(PLACES)
    made = detect(template="ball.mrc", output="all", threshold=0.5)
    table = read_tables(made.outputs["files"]["tomo"])["particles"]
    found = np.array([[float(v) for v in table[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T
    assert (np.linalg.norm(found[:, None] - np.array(PLACES), axis=2).min(axis=0) < 2.5).all()
    assert "cryodlQ" not in table and made.outputs["expected_false_detections"]["tomo"] == {}
    assert min(map(float, table["cryodlScore"])) >= 0.5 and not any("decoys of the same" in s for s in made.summary)


def test_who_has_doubtful_detections_is_told_what_helps():
    told = dict(species=["lump"], counts={"t": {"lump": 4}}, expected_false_detections={"t": {"lump": 3.0}})
    doubts = lambda **how: "".join(_warnings(DetectParticlesConfig(("t.mrc",), "found", **how), told))
    assert "Lower --fdr, or name other particles" in doubts(template="lump.mrc")
    assert "Lower --fdr" not in doubts(template="lump.mrc", threshold=("0.5",))
    assert "are expected to be false. Raise the threshold (--threshold)." in doubts(model="trained")


def test_a_diameter_that_is_too_large_is_named_and_no_atom_is_blamed():
    template_tomogram("tomo.mrc", lopsided_density(20))
    atoms = np.random.default_rng(0).normal(0, 20, (500, 3))
    lines = [
        f"ATOM  {n:5d}  CA  GLY A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for n, (x, y, z) in enumerate(atoms, 1)
    ]
    Path("small.pdb").write_text("\n".join(lines) + "\nEND\n")
    said = detect(2, template="small.pdb", diameter=5000)
    assert "The template is 5000 Å wide" in said and "--diameter" in said and "atom" not in said


def test_inverted_contrast_is_told():
    template_tomogram("tomo.mrc", lopsided_density(20), noise=0.1, sign=1.0)
    assert any("--contrast bright" in w for w in detect().warnings)


@pytest.mark.parametrize("border", [0, 16])
def test_a_ramp_is_taken_away_and_what_fills_a_border_stays_flat(border):
    template_tomogram("flat.mrc", lopsided_density(20), noise=0.1)
    flat = mrcfile.read("flat.mrc")
    z, y, x = (np.linspace(-10, 10, n, dtype=np.float32) * flat.std() for n in flat.shape)
    ramped = flat + z[:, None, None] - y[:, None] + x
    seen, counts = [], []
    for name, values in dict(flat=flat, ramped=ramped).items():
        write_mrc(f"{name}.mrc", np.pad(values, ((0, 0), (border,) * 2, (border,) * 2), constant_values=-3), PIXEL)
        tomogram = WorkingTomogram(Tomogram(f"{name}.mrc"), PIXEL, PIXEL)
        seen.append(tomogram.part([(0, n) for n in tomogram.shape]))
        counts.append(detect(tomograms=f"{name}.mrc", threshold=0.6, output=name).outputs["counts"][name]["lump"])
    assert float((seen[1] - seen[0]).square().mean().sqrt()) < 0.2
    assert counts[0] >= 2 and abs(counts[1] - counts[0]) <= 1


def test_a_finished_tomogram_is_not_searched_again_and_other_parameters_are_refused(monkeypatch):
    template_tomogram("tomo.mrc", lopsided_density(20))
    first = detect(threshold=0.6).outputs
    assert detect(threshold=0.6).outputs["counts"] == first["counts"]
    assert "other parameters: threshold" in detect(2, threshold=0.7)
    monkeypatch.setattr(TemplateFinder, "search", lambda *_: pytest.fail("searched again"))
    assert detect(threshold=0.6).outputs["counts"] == first["counts"]


def test_what_was_found_in_a_tomogram_that_was_damaged_since_does_not_stay():
    for seed, name in enumerate(("good", "bad")):
        template_tomogram(f"{name}.mrc", lopsided_density(20), noise=0.1, seed=seed)
    options = dict(tomograms=("good.mrc", "bad.mrc"))
    assert set(detect(**options).outputs["files"]) == {"good", "bad"}
    bad_tomogram("nan")
    Path("tomo.mrc").rename("bad.mrc")
    result = detect(**options)
    assert [one.item for one in result.skipped] == ["bad"] and set(result.outputs["files"]) == {"good"}
    assert sorted(path.name for path in Path("found").rglob("*.star")) == ["good.star", "good.star", "particles.star"]


def bad_tomogram(kind):
    volume = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    if kind == "constant":
        volume[:] = 3.0
    if kind == "nan":
        volume[5, 5, 5] = np.nan
    write_mrc("tomo.mrc", volume[0] if kind == "image" else volume[:9] if kind == "thin" else volume, PIXEL)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("constant", "the same value nearly everywhere"),
        ("nan", "not finite numbers"),
        ("image", "is an image or a thin stack"),
        ("thin", "Å wide, and"),
    ],
)
def test_tomograms_that_cannot_be_searched_are_told(kind, message):
    bad_tomogram(kind)
    assert message in detect(2)


def test_one_bad_tomogram_does_not_end_the_run(monkeypatch):
    def unreadable(path):
        if path == "shut.mrc":
            raise PermissionError(13, "Permission denied", path)
        return read_header(path)

    monkeypatch.setattr("cryodl.io.tomograms.read_header", unreadable)
    bad_tomogram("nan")
    Path("tomo.mrc").rename("bad.mrc")
    template_tomogram("tomo.mrc", lopsided_density(20))
    Path("shut.mrc").write_bytes(b"")
    names = ("shut", "bad", "lost", "tomo")
    result = detect(tomograms=tuple(f"{name}.mrc" for name in names), names=names, threshold=0.6)
    assert [s.item for s in result.skipped] == ["shut", "bad", "lost"] and list(result.outputs["counts"]) == ["tomo"]
    assert "Permission denied: 'shut.mrc'" in result.skipped[0].reason
    assert "The volume lost.mrc does not exist" in result.skipped[2].reason


def test_a_template_without_a_pixel_size_is_named():
    template_tomogram("tomo.mrc", lopsided_density(20))
    write_mrc("bare.mrc", lopsided_density(20), 0.0)
    for options in (dict(template="bare.mrc"), dict(others="bare.mrc")):
        assert "bare.mrc has voxels of 0 x 0 x 0 Å by its header" in detect(2, **options)


def test_an_image_is_no_template():
    template_tomogram("tomo.mrc", lopsided_density(20))
    write_mrc("flat.mrc", np.ones((20, 20), np.float32), PIXEL)
    assert "flat.mrc has an array of shape (20, 20); a map must have three axes" in detect(2, template="flat.mrc")


def test_a_compressed_map_is_a_template_like_any_other():
    template_tomogram("tomo.mrc", lopsided_density(20))
    Path("lump.mrc.gz").write_bytes(gzip.compress(Path("lump.mrc").read_bytes()))
    found = lambda name: detect(template=name, output=f"of_{name}", threshold=0.6)
    plain, packed = found("lump.mrc"), found("lump.mrc.gz")
    assert plain.outputs["counts"] == packed.outputs["counts"] == {"tomo": {"lump": 2}}


def test_either_a_template_or_a_model():
    assert "either a template" in detect(2, template=None)
