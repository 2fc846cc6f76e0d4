# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python examples of the page on simulation run as they are printed."""

import gzip
import re
from pathlib import Path

import gemmi
import pytest
import torch
from heterogeneity_data import write_model
from particle_data import simulate_particles

PAGE = Path(__file__).parents[3] / "docs" / "simulate.md"
STRUCTURE = "8bk7.cif.gz"  # as the page calls it; here a small molecule


@pytest.mark.skipif(not PAGE.exists(), reason="needs the checkout's pages")
def test_the_python_examples_run_as_they_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    molecule = gemmi.read_pdb(write_model())
    molecule.setup_entities()
    with gzip.open(STRUCTURE, "wt") as file:
        file.write(molecule.make_mmcif_document().as_string())
    simulate_particles("p.star", structure=STRUCTURE, pixel_size=3.5, box=64, count=10, snr=0.05)
    particles, micrograph = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    seen: dict = {}
    exec(particles, seen)
    assert seen["clean"].shape == seen["images"].shape == (10, 64, 64) and torch.isfinite(seen["noisy"]).all()
    assert seen["ctf"].shape == (10, 64, 33)
    smaller = micrograph.replace("(1024, 1024), count=80", "(256, 256), count=5")
    assert smaller != micrograph
    seen = {}
    exec(smaller, seen)
    assert seen["micrograph"].image.shape == (256, 256) and len(seen["micrograph"].centres_yx) == 5
    assert seen["seen"].shape == (128, 128)
