# SPDX-License-Identifier: GPL-3.0-or-later
"""Optics groups whose images are of opposite contrast: each command names them; those of one contrast are no matter."""

import dataclasses
import types

import mrcfile
import numpy as np
import pytest
import torch
from denoiser_data import run_command
from particle_data import PIXEL, simulate_particles
from synthetic import write_mrc

from cryodl.contract import AssessIntegrityConfig
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.likelihood.reference import group_notes
from cryodl.particles.identify.candidates import ParticleComparison
from cryodl.particles.integrity.assessment import assessment_of

OPPOSITE = "p.star: protein is bright in the images of optics group 2, dark in those of 1. Multiply the images of"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with 80 particles of map.mrc in two optics groups: of one contrast in one.star, the 20 of the
    first dark in p.star."""
    monkeypatch.chdir(tmp_path)
    simulate_particles("raw.star", count=80, snr=0.5)
    raw, signs = read_particles("raw.star"), torch.where(torch.arange(80) % 4 > 0, 1.0, -1.0)[:, None, None]
    optics = {name: [*values, *values] for name, values in raw.optics_columns.items()}
    two = dataclasses.replace(raw, optics_columns=dict(optics, rlnOpticsGroup=["1", "2"]))
    group = dict(rlnOpticsGroup=np.where(np.arange(80) % 4 > 0, "2", "1").tolist())
    for name, images in (("one", raw.images(slice(None))), ("p", signs * raw.images(slice(None)))):
        with StackWriter(f"{name}.mrcs", 80, raw.box, raw.pixel_size) as stack:
            stack.add(images)
        write_particles_star(f"{name}.star", two, group, stack=f"{name}.mrcs")
    return tmp_path


@pytest.mark.parametrize(
    "name, options",
    [
        ("reconstruct", dict(output="m.mrc")),
        ("classify-2d", dict(classes=2, epochs=1, output="classes")),
        ("assign-orientations", dict(structure="map.mrc", angular_step=20, output="o.star")),
        ("initial-map", dict(output="first")),
    ],
)
def test_each_command_names_groups_of_opposite_contrast(project, name, options):
    assert OPPOSITE in " ".join(run_command(name, particles="p.star", **options).warnings)


def test_so_do_the_comparisons_with_several_structures(project):
    particles, heard = read_particles("p.star"), list[str]()
    warn = lambda *sentences: heard.extend(sentences)
    ParticleComparison(particles, types.SimpleNamespace(device=torch.device("cpu"), skip=None, warn=warn))
    assert len(heard) == 1 and heard[0].startswith(OPPOSITE)
    half = mrcfile.read("map.mrc").copy()
    half[:, :, 16:] = 0
    write_mrc("half.mrc", half, PIXEL)
    config = AssessIntegrityConfig("p.star", ("map.mrc", "half.mrc"), "out", orientations="given")
    assert any(note.startswith(OPPOSITE) for note in assessment_of(config, particles, torch.device("cpu")).notes)


def test_groups_of_one_contrast_and_of_few_images_are_not_named(project):
    particles = read_particles("one.star")
    assert not group_notes(particles) and len(group_notes(read_particles("p.star"))) == 1
    for groups in (np.arange(80) % 40, np.arange(80)):
        columns = dict(particles.columns, rlnOpticsGroup=groups.astype(str).tolist())
        assert not group_notes(dataclasses.replace(particles, columns=columns))


def test_a_group_of_a_thousandth_of_a_large_set_is_named(project):
    many = read_particles("p.star").subset(np.r_[np.tile(np.nonzero(np.arange(80) % 4)[0], 300), :80:4])
    assert len(many) == 18020 and len(group_notes(many)) == 1
