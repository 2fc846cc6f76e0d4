# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of networks: every row has its method, and a new network is one file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cryodl
from cryodl.contract import NETWORKS, network_citations, network_names, network_words
from cryodl.learning.task import method_of

PLUGIN = Path(cryodl.__file__).parents[2]
CHECK = PLUGIN.parent / "scripts/check_house.py"
ADDED = '''
from .{file} import {base}

NETWORKS = (("{kind}", {place}, "added", "Added", "an added network", ("Ronneberger2015",)),)


class Added({base}):
    """A network under another name."""

    name = "added"
'''
ASK = {
    "picker": """
from cryodl.contract import TrainPickerConfig, check, network_words
from cryodl.micrographs.pickers import picker_method
config = TrainPickerConfig(
    micrographs=("a.mrc",), coordinates="picks", output="model", pixel_size=2.0, particle_diameter=90.0,
    network="added",
)
print(check(config), network_words("picker", "added"), len(list(picker_method("added").build().parameters())) > 4)
""",
    "denoiser": """
from cryodl.contract import TrainDenoiserConfig, check, network_words
from cryodl.particles.denoisers import denoiser_method
config = TrainDenoiserConfig(particles=("p.star",), structure=("s.mrc",), output="model", network="added")
print(check(config), network_words("denoiser", "added"), len(list(denoiser_method("added").build(32).parameters())) > 4)
""",
}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network.kind} {network.name}")
def test_each_row_names_a_method_of_that_name(network):
    assert method_of(network.kind, network.name).name == network.name


def test_an_unknown_network_is_told_with_the_names_of_its_kind():
    with pytest.raises(ValueError, match="choose one of: likelihood, dsrf3d, rb3d, cb3d"):
        method_of("classifier", "topaz")
    assert network_words("classifier", "topaz") == "the network topaz" and network_citations("picker", None) == ()


def test_names_are_unique_within_their_kind():
    for kind in {network.kind for network in NETWORKS}:
        assert len(set(network_names(kind))) == len(network_names(kind))


@pytest.mark.parametrize(
    "kind, folder, file, base, place, command",
    [
        ("picker", "micrographs/pickers", "unet", "UNetPicker", 3, "train-picker"),
        ("denoiser", "particles/denoisers", "swinconv", "SwinConv", 99, "train-denoiser"),
    ],
)
def test_a_new_network_is_one_file(tmp_path, kind, folder, file, base, place, command):
    """In a copy of the plugin: command line, checks, words and registry know it without another change, and nothing is
    missed. place: in the list, also one that is taken."""
    shutil.copytree(
        PLUGIN, tmp_path / "cryodl_scipion", ignore=shutil.ignore_patterns("models", "__pycache__", "*.png")
    )
    engine = tmp_path / "cryodl_scipion/engine"
    (engine / f"cryodl/{folder}/added.py").write_text(ADDED.format(file=file, base=base, kind=kind, place=place))
    run = lambda *words: subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(engine)),
        capture_output=True,
        text=True,
    )
    shown = run("-m", "cryodl", command, "--help")
    listed = re.search(r"--network \{([^}]+)\}", shown.stdout)
    assert listed and set(re.split(r",\s*", listed[1])) == {*network_names(kind), "added"}, shown.stderr
    asked = run("-c", ASK[kind])
    assert asked.stdout == "[] an added network True\n", asked.stderr
    if CHECK.exists():  # in a checkout
        checked = run(str(CHECK), str(tmp_path))
        assert checked.returncode == 0, checked.stdout + checked.stderr
