# SPDX-License-Identifier: GPL-3.0-or-later
"""Flipped phases that nobody told are noticed by what the denoiser's answers fit."""

import dataclasses
from types import SimpleNamespace

import mrcfile
import pytest
import torch
from particle_data import PIXEL, simulate_particles

from cryodl.core.fourier import filtered
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.particles.denoisers.run import looks_flipped

DIAMETER_PX = 24


class Knowing:
    """A denoiser that answers with the one of some pictures that fits the image best, seen through the CTF it is
    given."""

    def __init__(self, pictures, uses_ctf=True):
        self.pictures, self.method = pictures, SimpleNamespace(uses_ctf=uses_ctf)

    def denoise(self, images, ctf, pixel_size):
        assert pixel_size == PIXEL
        seen = filtered(self.pictures[None], ctf[:, None])
        match = (images[:, None] * seen).sum((2, 3)) / seen.square().sum((2, 3)).sqrt()
        return self.pictures[match.argmax(1)]


@pytest.fixture
def particles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate_particles(count=32, snr=1, minimum_defocus=60000, maximum_defocus=80000)  # many changes of sign
    return read_particles("p.star")


@pytest.fixture
def denoiser(particles):
    return Knowing(torch.from_numpy(mrcfile.read("p_clean.mrcs")))


def flipped(particles):
    """The same particles with flipped phases, without a word of it in the file."""
    with StackWriter("f.mrcs", len(particles), particles.box, PIXEL) as stack:
        stack.add(filtered(particles.images(slice(None)), particles.ctf(slice(None)).sign()))
    write_particles_star("f.star", particles, stack="f.mrcs")
    return read_particles("f.star")


def test_flipped_phases_are_noticed_and_others_left_alone(particles, denoiser):
    assert not looks_flipped(denoiser, particles, "bright", DIAMETER_PX)
    assert looks_flipped(denoiser, flipped(particles), "bright", DIAMETER_PX)


def test_nothing_is_claimed_where_nothing_can_be_told(particles, denoiser):
    others = flipped(particles)
    assert not looks_flipped(denoiser, dataclasses.replace(others, ctf_state="flipped"), "bright", DIAMETER_PX)
    assert not looks_flipped(denoiser, dataclasses.replace(others, optics=None), "bright", DIAMETER_PX)
    assert not looks_flipped(denoiser, others.subset([0]), "bright", DIAMETER_PX)
    assert not looks_flipped(Knowing(denoiser.pictures, uses_ctf=False), others, "bright", DIAMETER_PX)
