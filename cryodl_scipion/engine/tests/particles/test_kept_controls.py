# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls of orientations that are kept beside the output: used again where all is alike, and only there."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import BOX, PIXEL, simulate_particles
from synthetic import lopsided_density, write_mrc

from cryodl.contract import AssignOrientationsConfig, Result
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.particles.orientations import simulated_set
from cryodl.particles.orientations.assign import Search
from cryodl.particles.orientations.hypotheses import hypotheses
from cryodl.particles.orientations.kept_controls import find_controls
from cryodl.particles.orientations.structure import prepare_structure

PROBABILITY = "rlnMaxValueProbDistribution"


@pytest.fixture(scope="module")
def oriented(tmp_path_factory):
    """A folder with 60 particles p.star of map.mrc, which are oriented in o.star."""
    folder = tmp_path_factory.mktemp("oriented")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(count=60, snr=0.3)
        assert orient(output="o.star").outputs["controls"] == "new"
    return folder


@pytest.fixture
def project(oriented, tmp_path, monkeypatch):
    """The current folder, a copy of that one."""
    monkeypatch.chdir(shutil.copytree(oriented, tmp_path / "project"))
    return tmp_path / "project"


def orient(output, particles="p.star", structure="map.mrc", flags=(), **more):
    given = dict(particles=particles, structure=structure, output=output, angular_step=15, **more)
    return run_command("assign-orientations", 0, flags, **given)


def said(result: Result, words: str) -> bool:
    return any(words in sentence for sentence in result.summary)


def test_kept_controls_give_the_same_answers_as_fresh_ones_without_being_made(project, monkeypatch):
    monkeypatch.setattr(simulated_set, "learnt", None)  # a calibration would need it
    searched, run = [], Search.run
    monkeypatch.setattr(Search, "run", lambda self, *o: searched.append(len(self.source.particles)) or run(self, *o))
    again = orient("again.star")
    assert searched == [60] and Path(again.outputs["controls"]) == project / "o_controls.json"
    assert said(again, "o_controls.json: reference, CTF, noise and signal are alike")
    first, second = read_particles("o.star"), read_particles("again.star")
    assert first.columns == second.columns
    noise, copy = read_particles("o_noise.star"), read_particles(again.outputs["noise_control"])
    assert torch.equal(noise.images(slice(None)), copy.images(slice(None)))
    assert all(noise.columns[name] == copy.columns[name] for name in noise.columns if name != "rlnImageName")
    assert run_command("reconstruct", particles="again.star", output="m.mrc").outputs["noise_fsc"] is not None


def found(particles="p.star", structure="map.mrc", read=lambda stated: stated):
    """Controls that suit particles, else why those there do not; nothing is oriented."""
    config = AssignOrientationsConfig(particles=particles, structure=structure, output="x.star", angular_step=15)
    device, images = torch.device("cpu"), read_particles(particles)
    prepared = prepare_structure(config, images, device)
    sources = hypotheses(images, prepared.settings.diameter, "bright")
    search = Search(sources[0], prepared.projector, prepared.pixel_size, prepared.settings, device)
    return find_controls(search, sources, config, lambda: read(sources[0]).measured())


def test_another_set_of_the_same_experiment_uses_them_and_one_of_other_noise_or_signal_does_not(project):
    images = read_particles("p.star").images(slice(None))

    def other(name, images):
        particles = read_particles("p.star")
        with StackWriter(f"{name}.mrcs", len(particles), BOX, PIXEL) as stack:
            stack.add(images)
        names = [f"{n:06d}@{name}.mrcs" for n in range(1, len(particles) + 1)]
        write_particles_star(f"{name}.star", particles, {"rlnImageName": names})
        return found(f"{name}.star")

    kept, reasons = other("half", images.flip(0))
    assert kept.path == str(project / "o_controls.json") and reasons == []
    white = torch.from_numpy(np.random.default_rng(1).normal(size=images.shape).astype(np.float32))
    power = torch.fft.rfft2(white)
    power[:, :, 5:] *= 2
    coloured = torch.fft.irfft2(power, s=(BOX, BOX))
    assert "signal differs by" in other("nothing", white)[1][0]
    assert "the noise differs by" in other("strange", images + images.std() * coloured)[1][0]


def test_how_images_are_read_is_taken_over_for_the_same_images_alone(project):
    asked = []
    read = lambda stated: asked.append(stated) or dataclasses.replace(stated, contrast="dark")
    assert found(read=read)[1] == [] and not asked
    os.utime(read_particles("p.star").files[0])
    kept, reasons = found(read=read)
    assert kept is None and len(asked) == 1 and "reading of the images differs" in reasons[0]


def test_controls_of_another_folder_are_used_through_a_link(project):
    (project / "later").mkdir()
    (project / "later/earlier0_controls.json").symlink_to("../o_controls.json")
    again = orient("later/o.star")
    assert Path(again.outputs["controls"]) == project / "o_controls.json"
    assert len(read_particles("later/o_noise.star")) == len(read_particles("o_noise.star"))


def test_controls_of_another_reference_are_not_used(project):
    write_mrc("other.mrc", np.ascontiguousarray(lopsided_density(BOX)[::-1]), PIXEL)
    kept, reasons = found(structure="other.mrc")
    assert kept is None and "o_controls.json are not used again: the reference (SHA-256) differs" in reasons[0]


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda record: record.update({"version of the method": 0}), "version of the method differs"),
        (lambda record: record.update(defocus=[d + 6000 for d in record["defocus"]]), "range of defocus differs"),
        (lambda record: record["microscope"][0].__setitem__(0, 200.0), "voltage, spherical aberration"),
        (lambda record: record.update(count=1), "fewer particles"),
        (lambda record: record["fit"].update(amplitude=2 * record["fit"]["amplitude"]), "structure's signal differs"),
        (lambda record: record["fit"].update(sigma=9 * record["fit"]["sigma"]), "the shifts spread over"),
        (lambda record: record.pop("calibration"), "cannot be read"),
        (lambda record: record.update(count=[]), "cannot be read"),
        (lambda record: record["fit"].update(b_factor=float("nan")), "NaN where a number was expected"),
        (lambda record: record["noise_control"].update(files=["", ""]), "o_noise.star was changed"),
    ],
)
def test_a_stale_record_is_not_used_and_why_is_said(project, change, why):
    assert found()[1] == []
    record = json.loads(Path("o_controls.json").read_text())
    change(record)
    Path("o_controls.json").write_text(json.dumps(record))
    kept, reasons = found()
    assert kept is None and len(reasons) == 1 and why in reasons[0] and "They are made anew" in reasons[0]


def test_without_controls_it_is_said_what_is_not_stated(project):
    Path("o_controls.json").unlink()
    before = read_particles("o.star")
    result = orient("x.star", "o.star", flags=["--no-controls"])  # o.star has probabilities, of other angles
    after = read_particles("x.star")
    assert result.outputs["controls"] == "none"
    assert result.outputs["mean_probability"] is None and result.outputs["noise_control"] is None
    assert said(result, "How many orientations are correct cannot be told: that takes raw images, and controls")
    assert PROBABILITY in before.columns and PROBABILITY not in after.columns
    assert "cryodlExplained" in after.columns and not list(project.glob("x_*"))
    assert before.columns["rlnAngleRot"] == after.columns["rlnAngleRot"]
