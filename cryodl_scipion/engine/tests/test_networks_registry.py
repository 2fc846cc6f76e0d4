# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of networks: every row has its method, and a new picker is one file and one row."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cryodl
from cryodl.contract import NETWORKS, network_citations, network_names, network_words
from cryodl.learning.registry import method_of

ENGINE = Path(cryodl.__file__).parent
PICKER = '''
from .unet import UNetPicker


class Added(UNetPicker):
    """A U-Net under another name."""

    name = "added"
'''
ROW = (
    '    Network("picker", "added", "micrographs.pickers.added", "Added", "an added network", ("Ronneberger2015",)),\n'
)
ASK = """
from cryodl.contract import TrainPickerConfig, check, network_words
from cryodl.micrographs.pickers import picker_method
config = TrainPickerConfig(
    micrographs=("a.mrc",), coordinates="picks", output="model", pixel_size=2.0, particle_diameter=90.0,
    network="added",
)
print(check(config), network_words("picker", "added"), len(list(picker_method("added").build().parameters())) > 4)
"""


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


def test_a_new_picker_is_one_file_and_one_row(tmp_path):
    """In a copy of the engine: command line, checks, words and registry know it without another change."""
    shutil.copytree(ENGINE, tmp_path / "cryodl", ignore=shutil.ignore_patterns("models", "__pycache__"))
    (tmp_path / "cryodl/micrographs/pickers/added.py").write_text(PICKER)
    registry = tmp_path / "cryodl/contract/networks.py"
    head, tail = registry.read_text().split('    Network(\n        "denoiser",', 1)
    registry.write_text(f'{head}{ROW}    Network(\n        "denoiser",{tail}')
    run = lambda *words: subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    shown = run("-m", "cryodl", "train-picker", "--help")
    assert "eman2,added}" in shown.stdout, shown.stderr
    asked = run("-c", ASK)
    assert asked.stdout == "[] an added network True\n", asked.stderr
