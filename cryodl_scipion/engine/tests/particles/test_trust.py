# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that say how far they can be trusted: probabilities, foreign particles, noise, and maps of a reference."""

import dataclasses
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command, train_denoiser, write_untrained_denoiser
from particle_data import BOX, PIXEL, simulate_particles
from scipy.ndimage import gaussian_filter
from synthetic import write_mrc

from cryodl.contract import AssignOrientationsConfig
from cryodl.core.fourier import frc, resolution_at
from cryodl.core.half_transforms import HalfDisc
from cryodl.core.optics import Optics, ctf_of_optics
from cryodl.io import messages
from cryodl.io.messages import Line
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.io.star import read_tables, write_tables
from cryodl.likelihood.reference import find_contrast
from cryodl.particles.orientations import explained
from cryodl.particles.orientations.assign import Search
from cryodl.particles.orientations.explained import Explained
from cryodl.particles.orientations.hypotheses import hypotheses
from cryodl.particles.orientations.simulated_set import learnt
from cryodl.particles.orientations.structure import prepare_structure, size_notes
from cryodl.reconstruction.reference import ReferenceTest, fsc_of_more_images, own_part, substitution_test
from cryodl.reconstruction.reference import tested as reference_test


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 60 particles p.star of map.mrc."""
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=60, snr=0.3)
    return tmp_path


def orient(particles="p.star", structure="map.mrc", output="o.star", code=0, **more):
    given = dict(particles=particles, structure=structure, output=output, angular_step=15, **more)
    return run_command("assign-orientations", code, **given)


def noise_star(count=60):
    """noise.star: p.star with images of noise."""
    particles = read_particles("p.star")
    with StackWriter("noise.mrcs", count, BOX, PIXEL) as stack:
        stack.add(torch.from_numpy(np.random.default_rng(4).normal(size=(count, BOX, BOX)).astype(np.float32)))
    names = [f"{n:06d}@noise.mrcs" for n in range(1, count + 1)]
    write_particles_star("noise.star", particles, {"rlnImageName": names})
    return "noise.star"


def test_images_of_coefficients_have_these_coefficients():
    disc = HalfDisc(16, 5.5)
    values = torch.randn(3, len(disc), dtype=torch.complex64)
    assert torch.allclose(disc.coefficients(disc.back(values)), values, atol=1e-4)


def test_a_calibration_says_what_share_of_answers_is_right():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4000, 2))
    chance = 1 / (1 + np.exp(-(2 * values[:, 0] - 1)))
    found = learnt(values[:400], rng.random(400) < chance[:400])
    stated = 1 / (1 + np.exp(-((values - found.mean) / found.scale @ found.weights[:-1] + found.weights[-1])))
    assert np.abs(stated - chance)[400:].mean() < 0.05


def test_a_calibration_of_answers_that_are_all_right_stays_a_probability():
    found = learnt(np.zeros((64, 3)), np.ones(64, bool))
    assert found.right == 1 and np.isfinite(found.weights).all()


def test_genuine_particles_are_explained_and_those_of_another_molecule_are_not(project):
    grid = np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2
    rod = ((grid[0] ** 2 + grid[1] ** 2 < 9) & (np.abs(grid[2]) < 12)).astype(np.float32)
    write_mrc("rod.mrc", rod, PIXEL)
    own = orient()
    assert not any("does not explain" in warning for warning in own.warnings)
    assert "made-up particles were oriented correctly" in own.summary[-1]
    foreign = orient(structure="rod.mrc", output="f.star")
    warnings = " ".join(foreign.warnings)
    assert "rod.mrc does not explain these particles" in warnings and "cannot be determined" not in warnings
    assert "angles are of no use" in foreign.summary[-2] and "start of a refinement" not in " ".join(foreign.summary)
    assert "oriented correctly" not in " ".join(foreign.summary)
    made = run_command("reconstruct", particles="f.star", output="f.mrc")
    said = "rod.mrc does not explain these particles: the evidence for it is"
    assert any(said in warning for warning in made.warnings)
    file = read_particles("f.star")
    write_particles_star("none.star", file, {"cryodlExplained": [-1.0] * len(file)})
    made = run_command("reconstruct", particles="none.star", output="none.mrc")
    assert any(f"{said} none of that" in warning for warning in made.warnings)
    part = lambda name: np.array(read_particles(name).columns["cryodlExplained"], float).mean()
    assert part("o.star") > part("f.star") + 0.2


def test_of_many_particles_a_few_say_first_that_the_structure_does_not_explain_them(project, monkeypatch, capsys):
    for name, number in dict(MANY=50, FEW=40).items():
        monkeypatch.setattr(f"cryodl.particles.commands.assign_orientations.{name}", number)
    particles, places = read_particles("p.star"), 100 * np.arange(60)
    write_particles_star("p.star", particles, dict(rlnCoordinateX=places, rlnCoordinateY=places))
    orient(noise_star())
    said = capsys.readouterr().out
    assert said.index("The images of 40 particles of noise.star have no signal") < said.index(
        "The images of noise.star"
    )
    with messages.collected() as warnings:
        read_particles("o_noise.star")  # made-up noise has no place
        assert not any("lie within" in one for one in warnings())


@pytest.mark.parametrize("signal, said", [(2.9, False), (0.5, True)])
def test_a_few_with_a_weak_signal_do_not_say_that_the_structure_explains_nothing(
    project, monkeypatch, capsys, signal, said
):
    """Of 1,010 particles of SNR 0.01, of which it explained 83 %, the first 96 had 2.9 standard errors."""
    for name, number in dict(MANY=50, FEW=30).items():
        monkeypatch.setattr(f"cryodl.particles.commands.assign_orientations.{name}", number)
    first = lambda search, values: explained.Explained(values, 1.0, signal)
    monkeypatch.setattr("cryodl.particles.commands.assign_orientations.explained", first)
    orient()
    assert ("The images of 30 particles of p.star have no signal" in capsys.readouterr().out) == said


def test_a_coarse_map_of_the_molecule_is_not_taken_for_another_molecule(tmp_path, monkeypatch):
    """Atoms in a ball; a map of them that ends at 34 Å, beyond which it holds some noise, as a first map does. Nor is
    its size called wrong: scaled by 0.9 it has some of the detail that it lacks, nearly in its place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cryodl.particles.commands.assign_orientations.UNCLEAR", 1.0)
    monkeypatch.setattr(explained, "UNSURE", 0.0)  # many particles would leave as little doubt of the signal
    rng = np.random.default_rng(7)
    wave = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(BOX, PIXEL)] * 3, indexing="ij")))
    atoms = rng.normal(size=(40, 3))
    atoms *= (9 * rng.random(40) ** (1 / 3) / np.linalg.norm(atoms, axis=1))[:, None]
    density = np.histogramdd(np.round(atoms) + BOX // 2, BOX, [(-0.5, BOX - 0.5)] * 3)[0]
    write = lambda name, transform: write_mrc(name, np.fft.ifftn(transform).real.astype(np.float32), PIXEL)
    transform, noise = np.fft.fftn(density) * np.exp(-60 * wave**2), np.fft.fftn(rng.normal(size=density.shape))
    noise *= 0.35 * np.abs(transform).mean() / np.abs(noise).mean()
    write("map.mrc", transform)
    write("coarse.mrc", noise + (transform - noise) / (1 + (34 * wave) ** 16))
    simulate_particles(count=60, snr=0.3)
    result = orient(structure="coarse.mrc")
    assert any("with a coarse map, whose detail fades from" in warning for warning in result.warnings)
    (said,) = [warning for warning in result.warnings if "explain" in warning]
    assert "coarse.mrc explains these particles to 32 Å" in said and "a coarse first map" in said
    assert "if all particles show the structure," in result.summary[1]
    assert not any("fits coarse.mrc better" in warning for warning in result.warnings)


@pytest.mark.parametrize("pixel_size, finest", [(4, 8), (7, 14)])
def test_no_detail_beyond_nyquist_is_claimed(tmp_path, monkeypatch, pixel_size, finest):
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=4, snr=0.3)
    particles = dataclasses.replace(read_particles("p.star"), pixel_size=float(pixel_size))
    config = AssignOrientationsConfig(particles="p.star", structure="map.mrc", output="o.star", angular_step=5)
    settings = prepare_structure(config, particles, torch.device("cpu")).settings
    assert settings.fine_resolution() == finest and settings.search_resolution() >= finest


def test_a_tight_box_makes_no_angles_useless_that_may_be_right(project, monkeypatch):
    """Of 150 particles of 1WCM in a box of 1.17 diameters 55 % of the evidence is explained, and 75 % are right."""
    grid = np.stack(np.mgrid[:BOX, :BOX, :BOX]) - BOX // 2
    rod = ((grid[0] ** 2 + grid[1] ** 2 < 9) & (np.abs(grid[2]) < 12)).astype(np.float32)
    write_mrc("rod.mrc", rod, PIXEL)
    monkeypatch.setattr("cryodl.particles.commands.assign_orientations.TIGHT", 0.3)
    result = orient(structure="rod.mrc", output="f.star")
    assert any("rod.mrc does not explain these particles" in said for said in result.warnings)
    assert "of no use" not in " ".join(result.summary) and "if all particles show" in " ".join(result.summary)


def test_noise_is_said_to_be_nothing_and_its_answers_are_improbable(project, monkeypatch, capsys):
    monkeypatch.setattr(
        "cryodl.particles.commands.assign_orientations.size_notes", lambda *given: ["fits map.mrc better"]
    )
    result = orient(noise_star())
    assert "does not explain" in " ".join(result.warnings) and "phase-flipped" not in " ".join(result.warnings)
    made = run_command("reconstruct", particles="o.star", output="noise_map.mrc")
    assert made.outputs["resolution"] is None and "nothing resolved" in made.summary[0]
    capture = capsys.readouterr().out
    assert "Protein is" not in capture and "fits map.mrc better" not in " ".join(result.warnings)
    assert result.outputs["contrast"] == ""
    assert result.outputs["mean_probability"] < 0.2 and "angles are of no use" in " ".join(result.summary)
    assert "The structure explains" not in " ".join(result.summary)  # a part of no signal says nothing


def test_a_map_of_a_reference_says_so_beside_the_fsc_of_noise(project):
    orient()
    result = run_command("reconstruct", particles="o.star", output="m.mrc")
    assert not any("does not explain" in warning for warning in result.warnings)
    assert result.outputs["reference"] == "map.mrc" and len(result.outputs["noise_fsc"]) == BOX // 2 + 1
    assert np.mean(result.outputs["noise_fsc"][3:8]) < np.mean(result.outputs["fsc"][3:8])
    assert any("were assigned with the reference map.mrc" in warning for warning in result.warnings)
    (project / "o_noise.star").unlink()
    alone = run_command("reconstruct", particles="o.star", output="n.mrc")
    assert alone.outputs["noise_fsc"] is None and any("no noise control" in w for w in alone.warnings)


def test_good_news_is_no_warning(project):
    _, sure, contrast = find_contrast(read_particles("p.star"))
    reference, noise = ReferenceTest("map.mrc", 20.0, torch.zeros(3), None, None, None).sentences(20.0)
    assert sure and [isinstance(said, Line) for said in (contrast, reference, noise)] == [True, False, True]


def test_what_the_first_shells_alone_have_beyond_noise_is_nothing_resolved(project):
    curve = torch.exp(-torch.linspace(0, 4, BOX // 2 + 1).square())  # 0.143 at 5.5 shells, 23 Å
    particles = read_particles("p.star")
    test = reference_test(particles, curve, 0.95 * curve, 60)
    assert test.corrected_resolution is None and test.like_noise(23.0) and not test.like_noise(18.0)
    assert "Corrected for the FSC of noise: nothing is resolved." in test.sentences(23.0)
    assert reference_test(particles, curve.clamp(min=0.5), 0.3 * curve, 60).corrected_resolution


def test_a_shell_of_few_voxels_does_not_hide_how_far_noise_reaches(project):
    """400 images of noise, oriented: at the second shell the FSC was -0.25, and 122 Å were told."""
    particles, left = read_particles("p.star"), [0.0] * (BOX // 2 - 9)
    noise = torch.tensor([1, 0.76, -0.25, 0.45, 0.48, 0.27, 0.4, 0.32, 0.17, 0.19, *left])
    found = reference_test(particles, torch.ones(BOX // 2 + 1), noise, len(particles)).noise_resolution
    assert found == pytest.approx(particles.box * particles.pixel_size / 9, rel=0.05)
    alone = reference_test(particles, noise.clone().fill_(1), torch.tensor([1, 0.76, 0.4, *left, *[0.0] * 7]), 60)
    assert alone.noise_resolution is None and any("resolve nothing" in line for line in alone.sentences(20.0))


def test_noise_in_place_of_fine_detail_shows_how_much_of_the_fsc_is_the_references(project):
    assert orient(noise_substitution=40).outputs["substituted"] == "o_substituted.star"
    raw, changed = (read_particles(f"{name}.star").images(slice(None)) for name in ("p", "o_substituted"))
    same = frc(raw, changed).mean(0)  # of rings, 3.2 of which lie within 40 Å
    assert same[1:3].min() > 0.99 and same[5 : BOX // 2].abs().max() < 0.15
    outputs = run_command("reconstruct", particles="o.star", output="m.mrc").outputs
    assert outputs["substituted_from"] == 40 and outputs["substituted_resolution"] > outputs["resolution"] - 0.01
    assert outputs["substituted_fsc"][5] < outputs["fsc"][5] - 0.1
    tables = read_tables("o_substituted.star")
    tables["particles"]["cryodlNoiseSubstitution"] = ["39"] * 30 + ["40"] * 30  # as if two sets were joined
    write_tables("o_substituted.star", tables)
    assert run_command("reconstruct", particles="o.star", output="j.mrc").outputs["substituted_from"] == 39
    particles = read_particles("o.star")
    with mrcfile.open(particles.files[0], "r+") as mrc:  # of others its rows are those of others
        mrc.data[particles.numbers[0]] = np.nan
    result = run_command("reconstruct", particles="o.star", output="n.mrc")
    said = " ".join(result.warnings)
    assert result.outputs["substituted_from"] is None and "60 particles, not 59" in said
    assert "(--" not in said[said.index("60 particles") :]  # `reconstruct` has no option for it


def test_noise_substitution_that_changes_nothing_is_refused(project):
    assert "is 8 Å, but the Nyquist limit" in orient(code=2, noise_substitution=8)


def test_what_substituted_images_have_beyond_their_detail_is_taken_off():
    curve, control = torch.tensor([1.0, 0.9, 0.8, 0.6, 0.3, 0.1]), torch.tensor([1.0, 0.9, 0.7, 0.2, 0.2, 0.1])
    test = substitution_test(curve, control, 10.0, 2.0, 10)  # shells 0.05 / Å apart, noise beyond shell 2
    assert (test.mean, test.own) == pytest.approx((1 / 6, 1 / 3))
    assert test.resolution == pytest.approx(resolution_at(torch.tensor([1, 0.9, 0.8, 0.5, 0.125, 0]), 0.143, 2.0, 10))


def test_the_fsc_of_more_images_is_that_of_their_common_part():
    assert fsc_of_more_images(torch.tensor([0.2]), 4.0) == pytest.approx(0.5)  # 0.25 x 4 = 1 to 1


def test_what_noise_has_as_well_is_taken_off_the_fsc():
    found = own_part(torch.tensor([1.0, 0.6, 0.3, 0.1]), torch.tensor([0.9, 0.2, 0.3, 0.2]))
    assert found.tolist() == pytest.approx([1.0, 0.5, 0.0, -0.125], abs=1e-5)


def test_a_mask_larger_than_the_box_is_refused(project):
    message = run_command("reconstruct", 2, particles="p.star", output="m.mrc", mask_diameter=200)
    assert "Mask diameter (--mask-diameter) is 200 Å" in message and "128 Å wide" in message


def test_particles_without_a_ctf_are_refused_where_it_is_needed_and_nothing_stays(project):
    particles = read_particles("p.star")
    del particles.columns["rlnDefocusU"]
    write_particles_star("n.star", particles)
    write_untrained_denoiser(Path("model"))
    assert "without a CTF" in run_command("denoise", 2, particles="n.star", model="model", output="d.star")
    assert "without a CTF" in train_denoiser("trained", 2, particles="n.star")
    assert "without a CTF" in run_command(
        "assign-orientations", 2, particles="n.star", structure="map.mrc", output="o.star"
    )
    assert not list(project.glob("*.partial"))


def test_the_b_factor_and_scale_of_relions_ctf_are_used():
    plain, falling = (
        Optics(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1),
        Optics(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1, b_factor=100.0, scale=0.8),
    )
    first, second = ctf_of_optics([plain, falling], 32, 4.0)
    assert second[0, 8] / first[0, 8] == pytest.approx(0.8 * np.exp(-25 * (8 / 128) ** 2), rel=1e-4)


def test_aberrations_and_a_header_that_contradicts_the_file_are_said(project):
    particles = read_particles("p.star")
    particles.optics_columns["rlnBeamTiltX"] = ["0.3"]
    particles.optics_columns["rlnOddZernike"] = ["[0,0.1]"]
    particles.optics_columns["rlnImagePixelSize"] = ["4.5"]
    write_particles_star("a.star", particles, pixel_size=4.5)
    warnings = run_command("reconstruct", particles="a.star", output="m.mrc").warnings
    assert any("has beam tilt, odd Zernike aberrations" in warning for warning in warnings)
    assert any("4.5 Å (rlnImagePixelSize)" in warning and "4 Å" in warning for warning in warnings)


def test_a_noise_control_of_another_reference_is_not_used_and_that_is_said(project):
    particles = read_particles("p.star")

    def write(name, reference="map.mrc", digest="0a1b2c3d4e5f"):
        given = dict(cryodlReference=reference, cryodlReferenceDigest=digest, cryodlReferenceResolution="12.5")
        write_particles_star(name, particles, {column: [value] * len(particles) for column, value in given.items()})

    def reconstruct(control, particles="o.star"):
        output = f"{control[:5]}.mrc"
        result = run_command("reconstruct", particles=particles, output=output, noise_control=control)
        return result.outputs["noise_fsc"], " ".join(result.warnings)

    write("o.star")
    write("right.star")
    write("other.star", reference="other.mrc")
    write("again.star", digest="ffffffffffff")  # another map under the same name
    fsc, said = reconstruct("right.star")
    assert len(fsc) == BOX // 2 + 1 and "is not the control" not in said
    assert "Corrected for the FSC of noise" in said
    for control, words in (("other.star", "reference of its angles is other.mrc"), ("again.star", "SHA-256")):
        fsc, said = reconstruct(control)
        assert fsc is None and f"{control} is not the control of o.star" in said and words in said
        assert ", or --noise-control" in said
    fsc, said = reconstruct("p.star")
    assert fsc is None and "does not state the reference of its angles" in said
    assert "does not state the reference of its angles" in reconstruct("o.star", particles="p.star")[1]
    write("first.star")  # the control of a part of sets that were joined is none of all
    particles = read_particles("o.star")
    changes = dict(cryodlReference=["map.mrc", "other.mrc"], cryodlReferenceResolution=["12.5", "20"])
    changes = {name: np.resize(values, len(particles)) for name, values in changes.items()}
    write_particles_star("joined.star", particles, changes)
    fsc, said = reconstruct("first.star", particles="joined.star")
    assert fsc is None and "that of the particles' is map.mrc, other.mrc" in said and "finer than 12.5 Å" in said


def test_an_earlier_noise_control_is_not_replaced(project):
    (project / "o_noise.mrcs").write_text("mine")
    assert "o_noise.mrcs, which would be written, exists already" in orient(code=2)
    assert (project / "o_noise.mrcs").read_text() == "mine" and not list(project.glob("*.partial"))


def notes_on_size(name):
    particles = read_particles(name)
    config = AssignOrientationsConfig(particles=name, structure="map.mrc", output="o.star", angular_step=15)
    structure = prepare_structure(config, particles, "cpu")
    source = hypotheses(particles, structure.settings.diameter, "bright")[0].measured()
    search = Search(source, structure.projector, structure.pixel_size, structure.settings, "cpu")
    return size_notes(search, name, "map.mrc")


def test_noise_that_is_seen_through_the_ctf_has_no_better_size(project):
    """Ice's noise has the CTF's rings, whose power is taken for signal; sizes differ by how badly they fit."""
    particles = read_particles("p.star").subset(np.resize(np.arange(60), 96))
    drawn = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 96, BOX, BOX)).astype(np.float32))
    seen = torch.fft.irfft2(torch.fft.rfft2(drawn[0]) * particles.ctf(slice(None)), s=(BOX, BOX))
    with StackWriter("ice.mrcs", 96, BOX, PIXEL) as stack:
        stack.add(seen + 0.5 * drawn[1])
    write_particles_star("ice.star", particles, {"rlnImageName": [f"{n:06d}@ice.mrcs" for n in range(1, 97)]})
    assert notes_on_size("ice.star") == []


def test_a_pixel_size_that_the_structure_contradicts_is_said(project):
    notes = notes_on_size
    assert notes("p.star") == []
    stated = lambda sentences: float(re.search("other.star fits map.mrc .* scaled by (.{4}):", " ".join(sentences))[1])
    for factor in (1.2, 1.1, 0.9):
        write_particles_star("other.star", read_particles("p.star"), pixel_size=factor * PIXEL)
        assert stated(notes("other.star")) == pytest.approx(factor, rel=0.02)
    write_particles_star("other.star", read_particles("p.star"), pixel_size=1.1 * PIXEL)
    assert stated(orient("other.star").warnings) == pytest.approx(1.1, rel=0.02)  # not by what its own views fit


def test_contrast_and_the_spread_of_shifts_are_seen_in_coarse_detail(project):
    particles = read_particles("p.star")
    config = AssignOrientationsConfig(particles="p.star", structure="map.mrc", output="o.star", angular_step=12)
    structure = prepare_structure(config, particles, "cpu")
    sources = [one.measured() for one in hypotheses(particles, structure.settings.diameter, "auto")]
    search = Search(sources[0], structure.projector, structure.pixel_size, structure.settings, "cpu")
    behind = search.compare(sources)
    assert [source.contrast for source, value in zip(sources, behind) if value == 0] == ["bright"]
    assert search.spread == pytest.approx(particles.shifts_yx.std(), rel=0.3)


def test_a_structure_that_fills_the_images_is_said(project):
    """Noise is measured around the particle: of 5GJV in 1.05 diameters the true map explained 63 %, in 1.6 100 %."""
    away = np.linalg.norm(np.indices((BOX,) * 3) - BOX // 2, axis=0) * PIXEL
    for radius, said in ((45.0, False), (58.0, True)):
        write_mrc("ball.mrc", (away < radius).astype(np.float32), PIXEL)
        config = AssignOrientationsConfig(particles="p.star", structure="ball.mrc", output="o.star")
        notes = prepare_structure(config, read_particles("p.star"), "cpu").notes
        assert any("Extract the particles with a box of 1.5 diameters" in note for note in notes) is said


def test_evidence_far_above_that_of_made_up_particles_is_no_proof():
    """Smoothed real images: 50 times the evidence that their signal allows."""
    told, twice, untold = (Explained(np.ones(1), whole, 100.0) for whole in (1.3, 2.34, 4500.0))
    assert told.warnings("p.star", "map.mrc") == [] and "is 2.3 times that" in twice.warnings("p.star", "map.mrc")[0]
    assert not Explained(np.ones(1), 0.74, 100.0).foreign and Explained(np.ones(1), 0.72, 100.0).foreign
    said = untold.warnings("p.star", "map.mrc")[0]
    assert "The evidence for map.mrc in p.star is 4,500 times that" in said and "cannot be told" in said


def test_of_filtered_images_it_is_not_stated_how_many_are_right(project):
    particles = read_particles("p.star")
    with StackWriter("blurred.mrcs", 60, BOX, PIXEL) as stack:
        stack.add(torch.from_numpy(gaussian_filter(particles.images(slice(None)).numpy(), (0, 2, 2))))
    write_particles_star("blurred.star", particles, stack="blurred.mrcs")
    result = orient("blurred.star")
    assert result.outputs["mean_probability"] is None and "cannot be told" in result.summary[1]
    assert any("unlike raw ones" in text for text in result.warnings) and "of no use" not in result.summary[-1]


def test_what_coarse_detail_alone_explains_is_said_to_be_coarse():
    coarse, foreign = (Explained(np.ones(1), 0.6, 40.0, part, 36.2) for part in (0.83, 0.69))
    (said,) = coarse.warnings("p.star", "first.mrc")
    assert "first.mrc explains these particles to 36 Å (83 % of the evidence), but not in finer detail" in said
    assert "first.mrc does not explain these particles" in foreign.warnings("p.star", "first.mrc")[0]


@pytest.mark.parametrize("command", ["orient", "classify"])
def test_images_filtered_by_another_program_are_said_to_be_no_raw_ones(project, command):
    particles = read_particles("p.star")
    images = particles.images(np.arange(len(particles)))
    frequency = np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX))
    with StackWriter("low.mrcs", len(images), BOX, PIXEL) as stack:
        stack.add(torch.fft.irfft2(torch.fft.rfft2(images) * torch.from_numpy(frequency < 0.25), s=(BOX, BOX)).float())
    names = [f"{n:06d}@low.mrcs" for n in range(1, len(particles) + 1)]
    write_particles_star("low.star", particles, {"rlnImageName": names})
    for name in ("p", "low"):
        if command == "orient":
            made = orient(f"{name}.star", output=f"{name}_o.star", flags=["--no-controls"])
        else:
            made = run_command("classify-2d", particles=f"{name}.star", classes=3, output=f"{name}_classes")
        assert ("they look denoised" in " ".join(made.warnings)) == (name == "low")
