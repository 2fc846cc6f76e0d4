# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-2d`: particles in, classes out, on shapes of which class and pose are known."""

import dataclasses
import json
import os
import shutil
import types
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from classes2d_data import BOX, PIXEL, classify, purity, with_junk, write_shapes
from sklearn.metrics import roc_auc_score

from cryodl.contract import Classify2DConfig, Result
from cryodl.io.particle_sets import StackWriter, read_particles
from cryodl.io.star import read_tables, write_tables
from cryodl.particles.classes2d import classify as runs
from cryodl.particles.classes2d.averages import average_classes
from cryodl.particles.classes2d.records import class_settings, load_or_make
from cryodl.particles.commands import classify_2d as commands
from cryodl.running.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shapes_are_sorted_and_their_poses_are_in_relions_sense(folder, capsys):
    kinds, phi, shifts = write_shapes(folder, count=80)
    result = classify()
    passes = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if "classes, pass " in line]
    assert len(passes) == len(set(passes)) > 2
    found = read_particles("out/particles.star")
    assert purity(found.classes, kinds) > 0.95
    assert result.outputs["count"] == 80 and sum(result.outputs["counts"]) == 80
    assert "of 80 particles" in result.summary[0] and "averages have a score of at least 0.5" in result.summary[1]
    assert "2-D classes with cryodl" in result.methods[0]
    psi = np.radians(np.array(found.columns["rlnAnglePsi"], float))
    largest = found.classes == 1
    # psi turns from y towards x: within a class it is minus the true turn, but for what all members share
    common = np.exp(1j * (psi + phi))[largest]
    assert abs(common.mean()) > 0.97
    mirrored = np.exp(1j * (psi - phi))[largest]
    assert abs(mirrored.mean()) < 0.6
    # shifts relative to the true ones are the same place of the shape, turned with it
    rest = (found.shifts_yx - shifts)[largest] @ np.array([1j, 1])
    assert np.std(rest * np.exp(1j * psi[largest])) < 0.7


def test_in_coloured_noise_classes_stay_pure_beside_junk_and_noise_is_told_from_particles(folder):
    """With rings weighed ten times less the classes stay nearly as pure, but noise is not told from particles."""
    kinds, _, _ = write_shapes(folder, count=600, noise=0.0, spoil=with_junk)
    scores = classify(classes=8).outputs["scores"]
    found, good, empty = read_particles("out/particles.star"), slice(450), slice(450, 488)
    assert purity(found.classes[good], kinds[good]) > 0.8
    signal = np.array(found.columns["cryodlProbability"], float)
    assert roc_auc_score(np.arange(488) < 450, np.r_[signal[good], signal[empty]]) > 0.9
    for number, score in enumerate(scores, 1):  # what shows only noise is not good
        assert score <= signal[found.classes == number].mean() + 1e-4


@pytest.mark.parametrize("shapes, count, warned", [(1, 160, True), (2, 160, False), (1, 24, False)])
def test_averages_that_look_like_each_other_are_warned_of_if_their_particles_are_enough(folder, shapes, count, warned):
    write_shapes(folder, count=count, shapes=shapes)
    assert any("few distinct views" in text for text in classify(classes=6).warnings) == warned


@pytest.mark.parametrize("contrast", ["auto", "bright"])
def test_of_noise_alone_nothing_is_kept(folder, contrast):
    write_shapes(folder, count=120, spoil=lambda x: np.random.default_rng(1).standard_normal(x.shape).astype("f4"))
    assert any("cannot be told from noise" in text for text in classify(classes=6, contrast=contrast).warnings)
    select = ["select-classes", "--classes", "out/classes.star", "--output", "good"]
    assert main(select) == 2 and not (folder / "good").exists()
    assert main([*select, "--good-lost", "0", "--threshold", "0"]) == 0


def test_what_is_given_in_angstroms_is_used_so(folder):
    write_shapes(folder)
    asked = Classify2DConfig("p.star", "out", max_shift=16.0, resolution=12.8, mask_diameter=80.0)
    found = class_settings(asked, read_particles("p.star"))
    width = BOX * PIXEL
    assert found.reach_px / found.scale.grid.box * width == pytest.approx(16)
    assert found.resolution == pytest.approx(12.8) and found.mask_px * PIXEL == pytest.approx(40)


def test_the_averages_lie_beside_their_table_the_largest_class_first(folder):
    write_shapes(folder)
    result = classify()
    table = read_tables("out/classes.star")["classes"]
    counts = [int(count) for count in table["cryodlParticles"]]
    assert counts == sorted(counts, reverse=True) == result.outputs["counts"]
    assert table["rlnReferenceImage"][1] == "000002@classes.mrcs"
    assert all(0 <= float(score) <= 1 for score in table["rlnClassScore"])
    with mrcfile.open("out/classes.mrcs") as stack:
        assert stack.data.shape == (4, 32, 32) and float(stack.voxel_size.x) == pytest.approx(PIXEL)
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "classes.mrcs",
        "classes.star",
        "particles.star",
        "sums.npz",
    ]


def test_the_same_seed_gives_the_same_classes_and_dark_protein_too(folder):
    write_shapes(folder)
    classify(output="one")
    classify(output="two")
    write_shapes(folder, spoil=lambda images: -images)
    classify(output="dark")
    one, two, dark = (read_particles(f"{name}/particles.star").classes for name in ("one", "two", "dark"))
    assert (one == two).all() and (one == dark).mean() > 0.9
    with mrcfile.open("dark/classes.mrcs") as stack:
        assert stack.data[0, 10:22, 10:22].mean() > stack.data[0, :4].mean()  # protein is bright in averages


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been_stopped(folder, monkeypatch):
    write_shapes(folder, count=300, noise=1.5)
    whole = classify(output="whole").outputs["counts"]
    keep = runs._keep

    def stop(work, done, path):
        keep(work, done, path)
        if done.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_keep", stop)
    assert "stopped" in classify(code=130).lower()
    assert (folder / "out.partial" / "work" / "passes.npz").exists() and not (folder / "out").exists()
    # what a person sees while classes form
    table = read_tables("out.partial/work/forming.star")["classes"]
    with mrcfile.open("out.partial/work/forming.mrcs") as stack:
        assert stack.data.shape == (len(table["cryodlParticles"]), 32, 32)
        assert stack.data[0, 10:22, 10:22].mean() > stack.data[0, :4].mean()
    assert sum(int(count) for count in table["cryodlParticles"]) == sum(whole)
    monkeypatch.setattr(runs, "_keep", keep)
    passes = []
    monkeypatch.setattr(
        runs.Classification,
        "epoch",
        lambda self, *a, epoch=runs.Classification.epoch: passes.append(1) or epoch(self, *a),
    )
    assert classify().outputs["counts"] == whole
    assert 0 < len(passes) < 12
    one, two = (read_tables(f"{name}/particles.star")["particles"] for name in ("whole", "out"))
    assert all(one[key] == two[key] for key in one if key.startswith(("rlnClass", "rlnOrigin", "rlnAngle", "cryodl")))


def test_records_are_made_once_and_again_where_a_power_cut_has_cut_them(folder):
    write_shapes(folder)
    particles, read = read_particles("p.star"), []
    scale = class_settings(Classify2DConfig("p.star", "out"), particles).scale
    first = load_or_make(folder, particles, scale, read.append)
    wanted = first.read(np.arange(len(first)), torch.device("cpu"))
    load_or_make(folder, particles, scale, read.append)
    assert read == [60]
    cut = dict(zip(("samples.f16", "ctf2.f32", "rows.npy", "records.json"), (100, 0, 0, 9), strict=True))
    for cuts, (name, size) in enumerate(cut.items(), 2):
        os.truncate(name, size)
        again = load_or_make(folder, particles, scale, read.append)
        found = again.read(np.arange(len(again)), torch.device("cpu"))
        assert all(map(torch.equal, found, wanted)) and read == [60] * cuts, name


def test_a_stopped_run_of_0_1_0_begins_anew_only_where_its_images_were_multiplied(folder):
    """It had multiplied them by their CTF once more: particles added later scored a quarter less."""
    write_shapes(folder)
    tables = read_tables("p.star")
    for state in (0, 1):
        tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = [state]
        write_tables("p.star", tables)
        particles = read_particles("p.star")
        scale = class_settings(Classify2DConfig("p.star", "out"), particles).scale
        said = dict(grid=dataclasses.asdict(scale.grid), sign=scale.sign, count=60)
        load_or_make(folder, particles, scale, lambda done: None)
        Path("records.json").write_text(json.dumps(said))
        Path("passes.npz").touch()
        read = []
        load_or_make(folder, particles, scale, read.append)
        assert read == [60] * state and Path("passes.npz").exists() == (not state)


def test_a_run_that_is_killed_while_it_removes_its_records_is_whole(folder, monkeypatch):
    """Its records were removed before its folder got its name: without them it could not be continued."""
    write_shapes(folder)

    def killed(path, *rest, **more):
        Path(path, "rows.npy").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        classify(code=130)
    assert "exists already" in classify(code=2)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "classes.mrcs",
        "classes.star",
        "particles.star",
        "sums.npz",
    ]


def test_images_that_cannot_be_used_are_in_no_class_and_named(folder):
    def spoil(images):
        images[3, 0, 0] = np.nan
        images[7] = 1.0
        return images

    write_shapes(folder, spoil=spoil)
    result = classify()
    found = read_particles("out/particles.star")
    assert np.nonzero(found.classes == 0)[0].tolist() == [3, 7]
    assert [one.item for one in result.skipped] == ["000004@p.mrcs", "000008@p.mrcs"]
    assert "image 4 has non-finite or constant values" in result.skipped[0].reason
    assert result.outputs["count"] == 58 and "2 particles were skipped" in " ".join(result.warnings)


def test_one_masked_image_is_left_out_and_the_others_are_sorted(folder):
    """Normalised by what is around its particle, which is nothing, it would be all that the classes see."""
    around = np.hypot(*(np.mgrid[:BOX, :BOX] - BOX // 2)) > 14
    kinds, _, _ = write_shapes(
        folder, spoil=lambda images: np.where(around, np.r_[0, [1] * 59][:, None, None], 1) * images
    )
    result, found = classify(), read_particles("out/particles.star").classes
    assert [skipped.item for skipped in result.skipped] == ["000001@p.mrcs"]
    assert found[0] == 0 and purity(found[1:], kinds[1:]) > 0.9
    write_shapes(folder, spoil=lambda images: images * ~around)
    assert "the images are empty" in classify(code=2, output="masked")


def test_particles_without_a_ctf_are_classified_and_that_is_said(folder):
    write_shapes(folder)
    assert any("have no CTF (rlnDefocusU" in warning for warning in classify().warnings)


def test_phase_flipped_images_are_told_from_others(folder):
    write_shapes(folder)
    tables = read_tables("p.star")
    tables["optics"].update(
        rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1], rlnCtfDataArePhaseFlipped=[1]
    )
    tables["particles"]["rlnDefocusU"] = tables["particles"]["rlnDefocusV"] = [15000.0] * 60
    write_tables("p.star", tables)
    assert any("phases of the images were flipped" in warning for warning in classify(epochs=1).warnings)


def test_of_multiplied_images_samples_and_averages_are_those_of_the_raw_ones(folder):
    """Multiplied by their CTF, they are not weighted by it once more."""
    _, phi, shifts = write_shapes(folder, count=200, noise=1.0)
    tables, found = read_tables("p.star"), []
    tables["optics"].update(rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    tables["particles"]["rlnDefocusU"] = tables["particles"]["rlnDefocusV"] = np.linspace(8e3, 3e4, 200)
    for name, multiplied in (("p", 0), ("m", 1)):
        if multiplied:
            images = torch.fft.rfft2(particles.images(slice(None))) * particles.ctf(slice(None))  # noqa: F821, the raw
            with StackWriter("m.mrcs", 200, BOX, PIXEL) as stack:
                stack.add(torch.fft.irfft2(images, s=(BOX, BOX)))
        tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = [multiplied]
        tables["particles"]["rlnImageName"] = [f"{n:06d}@{name}.mrcs" for n in range(1, 201)]
        write_tables(f"{name}.star", tables)
        particles, rows = read_particles(f"{name}.star"), np.arange(200)
        settings = class_settings(Classify2DConfig("p.star", "out"), particles)
        (folder / name).mkdir()
        records = load_or_make(folder / name, settings.particles, settings.scale, lambda done: None)
        samples, squared = records.read(rows, torch.device("cpu"))
        given = torch.device("cpu"), lambda done: None
        made = average_classes(settings, rows, rows % 2, rows, shifts, phi, 2, *given)
        found.append((samples.abs().square().mean((0, 2)) / squared.mean(0), made.images.flatten()))
    (power, image), (power_of_multiplied, image_of_multiplied) = found
    assert torch.allclose(power_of_multiplied, power, rtol=0.05)  # multiplied, more spreads out of the mask: 0.3
    assert torch.corrcoef(torch.stack([image, image_of_multiplied]))[0, 1] > 0.97


def test_angles_of_a_3d_refinement_do_not_stay_beside_the_angle_in_the_plane(folder):
    write_shapes(folder)
    tables = read_tables("p.star")
    for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"):
        tables["particles"][name] = [40.0] * 60
    told = ("cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution", "rlnMaxValueProbDistribution")
    tables["particles"].update({name: [1.0] * 60 for name in told})
    write_tables("p.star", tables)
    classify(epochs=1)
    found = read_particles("out/particles.star")
    assert (found.angles[:, :2] == 0).all() and not {*told} & {*found.columns}


@pytest.mark.parametrize("copies", [lambda rows: np.repeat(rows, 2), lambda rows: np.tile(rows, 2)])
def test_copies_of_noise_show_no_detail(folder, copies):
    """An image in both halves of its class would be detail that they share."""
    write_shapes(folder, count=75, spoil=lambda images: np.random.default_rng(1).normal(size=images.shape))
    tables = read_tables("p.star")
    tables["particles"] = {k: [v[row] for row in copies(np.arange(75))] for k, v in tables["particles"].items()}
    write_tables("p.star", tables)
    result = classify(classes=2)
    assert any("150 particles of 75 images" in warning for warning in result.warnings)
    assert all(resolution is None or resolution > 2.2 * PIXEL for resolution in result.outputs["resolutions"])


def test_the_order_of_particles_makes_no_class_worse(folder):
    kinds, _, _ = write_shapes(folder, count=120, noise=1.0)
    tables, one, two = read_tables("p.star"), np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    in_turn = np.stack([one[:50], two[:50]], 1).ravel()
    tables["particles"] = {k: [v[row] for row in in_turn] for k, v in tables["particles"].items()}
    write_tables("p.star", tables)
    made = classify(classes=2).outputs
    assert min(made["scores"]) > 0.5 and None not in made["resolutions"]


def test_a_run_does_not_continue_with_other_images_under_the_same_names(folder, monkeypatch):
    write_shapes(folder)
    with monkeypatch.context() as patched:
        patched.setattr(commands, "finished_answer", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        classify(code=130)
    assert (folder / "out.partial" / "work" / "passes.npz").exists()
    shutil.copy2("p.star", "same.star")
    write_shapes(folder, seed=5)  # extracted anew
    shutil.copy2("same.star", "p.star")
    classify(), classify(output="anew")
    one, two = (read_tables(f"{name}/particles.star")["particles"] for name in ("out", "anew"))
    assert one["cryodlScore"] == two["cryodlScore"] and one["rlnClassNumber"] == two["rlnClassNumber"]


@pytest.mark.parametrize(
    "options, spoil, words",
    [
        (dict(classes=40), None, "has 60 particles for 40 classes (--classes); at least two for each"),
        (dict(mask_diameter=200), None, "is 200 Å, but the images of p.star are 128 Å wide"),
        (
            dict(max_shift=60),
            None,
            "Maximum shift (--max-shift) is 60 Å; it must be at most a quarter of the box, 32 Å",
        ),
        (dict(), lambda images: images * 0, "the images are empty (all pixels the same, or not finite numbers)"),
        (dict(), lambda images: images * np.nan, "the images are empty (all pixels the same, or not finite numbers)"),
        (dict(particles="absent.star"), None, "absent.star does not exist or cannot be read"),
    ],
)
def test_what_cannot_be_classified_is_said_in_a_sentence(folder, options, spoil, words):
    write_shapes(folder, spoil=spoil)
    assert words in classify(code=2, **options)
    assert not (folder / "out").exists()


def test_most_images_unusable_is_an_error(folder):
    write_shapes(folder, spoil=lambda images: np.where(np.arange(60)[:, None, None] < 55, np.nan, images))
    assert "only 5 of 60 images can be used" in classify(code=2)


def test_a_missing_stack_and_mixed_boxes_are_said_in_a_sentence(folder):
    write_shapes(folder)
    (folder / "p.mrcs").rename(folder / "q.mrcs")
    assert "names the stack p.mrcs, which is neither beside it" in classify(code=2)
    (folder / "q.mrcs").rename(folder / "p.mrcs")
    with mrcfile.new("other.mrcs") as other:
        other.set_data(np.zeros((1, 40, 40), "float32"))
    tables = read_tables("p.star")
    names = list(tables["particles"]["rlnImageName"])
    names[5] = "1@other.mrcs"
    tables["particles"]["rlnImageName"] = names
    write_tables("p.star", tables)
    assert "one box size is needed" in classify(code=2)


def test_optics_groups_of_two_pixel_sizes_are_refused_of_two_voltages_not(folder):
    write_shapes(folder)
    tables = read_tables("p.star")
    tables["optics"] = dict(
        rlnOpticsGroup=["1", "2"],
        rlnOpticsGroupName=["one", "two"],
        rlnImagePixelSize=[str(PIXEL)] * 2,
        rlnImageSize=["32"] * 2,
        rlnImageDimensionality=["2"] * 2,
        rlnVoltage=["300", "200"],
        rlnSphericalAberration=["2.7", "2.7"],
        rlnAmplitudeContrast=["0.1", "0.1"],
    )
    tables["particles"]["rlnOpticsGroup"] = ["1", "2"] * 30
    tables["particles"]["rlnDefocusU"] = tables["particles"]["rlnDefocusV"] = [15000.0] * 60
    write_tables("p.star", tables)
    assert isinstance(classify(epochs=1), Result)
    tables["optics"]["rlnImagePixelSize"] = ["4.0", "5.0"]
    write_tables("q.star", tables)
    assert "one pixel size is needed" in classify(code=2, particles="q.star", output="other")


def test_a_chunk_and_a_sample_of_unusable_images_leave_their_particles_without_a_class(folder, monkeypatch):
    write_shapes(folder, spoil=lambda images: images * ((np.arange(60) > 9) & (np.arange(60) < 59))[:, None, None])
    monkeypatch.setattr("cryodl.particles.classes2d.records.CHUNK", 10)
    monkeypatch.setattr("cryodl.particles.classes2d.records.NOISE_SAMPLE", 2)
    assert classify().outputs["count"] == 49
    assert (read_particles("out/particles.star").classes[:10] == 0).all()


def test_a_pass_with_more_classes_names_how_many_are_wanted(monkeypatch, capsys):
    given = types.SimpleNamespace
    monkeypatch.setattr(commands, "write_forming", lambda *_: None)
    told = lambda *all: [all[6](given(), runs.Pass(0, 0, number)) for number in (96, 24)]
    monkeypatch.setattr(commands, "classify", told)
    run = given(seed=0, device=None)
    commands._classify(given(folder=None), given(classes=24, epochs=9), given(reach_px=1), None, run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Stage 1, 96 classes on the way to 24, pass 1: ")
    assert lines[1].startswith("Stage 1, 24 classes, pass 1: ")
