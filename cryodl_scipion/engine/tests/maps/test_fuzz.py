# SPDX-License-Identifier: GPL-3.0-or-later
"""A few mutated files of every kind against the readers; `python benchmarks/run.py fuzz` tries thousands."""

import importlib
import json
import sys

import numpy as np
import pytest
from synthetic import ENGINE, write_mrc

from cryodl.contract import Result, read_card
from cryodl.contract.reading import READERS
from cryodl.io.memory import is_memory_error
from cryodl.io.model import SHIPPED
from cryodl.maps.improvers.pairs import read_pairs

BENCHMARKS = ENGINE.parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
broken = importlib.import_module("recipes.broken") if (BENCHMARKS / "recipes").is_dir() else None
sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def fuzzing():
    """The benchmarks' files, mutations and readers; they lie beside the package in its repository."""
    if broken is None:
        pytest.skip("the benchmarks are not here")
    return broken


def test_every_reader_is_tried(tmp_path, monkeypatch, fuzzing):
    monkeypatch.chdir(tmp_path)
    tried = set()

    def note(frame, event, _):
        if event == "call":
            tried.add(frame.f_code)

    for kind in fuzzing.KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        path, _ = fuzzing.valid_file(kind, folder)
        sys.setprofile(note)
        try:
            for read in fuzzing.readers_of(kind):
                read(path)
        finally:
            sys.setprofile(None)
    assert {name for name, function in READERS.items() if function.__code__ not in tried} == set()


@pytest.mark.parametrize("kind", broken.KINDS if broken else ["none"])
def test_a_mutated_file_is_read_or_refused_with_a_sentence(tmp_path, monkeypatch, fuzzing, kind):
    monkeypatch.chdir(tmp_path)
    path, renew = fuzzing.valid_file(kind, tmp_path)
    whole, readers = path.read_bytes(), fuzzing.readers_of(kind)
    for reader in readers:
        reader(path)
    for seed in range(200):
        path.write_bytes(fuzzing.mutated(whole, kind, seed))
        renew(path)
        for reader in readers:
            try:
                reader(path)
            except (ValueError, FileNotFoundError) as error:
                assert str(error).strip() and "\n" not in str(error).strip() and not is_memory_error(error)


@pytest.mark.parametrize(
    "change",
    [
        dict(threshold=float("nan")),
        dict(particle_diameter=0),
        dict(minimum_distance=True),
        dict(pixel_sizes=[-1.0]),
        dict(pixel_sizes=["2"]),
        dict(threshold=1e300),
        dict(threshold=5),
        dict(contrast="purple"),
        dict(pixel_sizes=[1e-9]),
        dict(calibration=[1.0, float("inf")]),
    ],
)
def test_a_card_whose_values_make_no_sense_is_refused(tmp_path, change):
    card = json.loads((SHIPPED / "ribosome/card.json").read_text(encoding="utf-8"))
    (tmp_path / "card.json").write_text(json.dumps(dict(card, **change)), encoding="utf-8")
    with pytest.raises(ValueError, match=r"card.json is damaged"):
        read_card(tmp_path)


@pytest.mark.parametrize("what", ["[]", "7", '{"contract_version": 2}', "{"])
def test_a_damaged_result_is_named(tmp_path, what):
    (tmp_path / "result.json").write_text(what)
    with pytest.raises(ValueError, match=r"result.json is damaged, or not what its name says"):
        Result.read(str(tmp_path / "result.json"))


def test_a_tile_that_is_none_is_named(tmp_path, fuzzing):
    path, _ = fuzzing.valid_file("annotations", tmp_path)
    path.write_text(json.dumps(dict(json.loads(path.read_text()), tiles=[7])))
    for read in fuzzing.readers_of("annotations"):
        with pytest.raises(ValueError, match=r"annotations.json is damaged \(TypeError: a tile is 7\)"):
            read(path)


def test_a_table_that_names_a_file_beyond_any_length_is_named(tmp_path):
    (tmp_path / "pairs.csv").write_text(f"map,structure,resolution\n{'[' * 3000},b.pdb,3\n")
    with pytest.raises(ValueError, match=r"pairs.csv is damaged.*File name too long"):
        read_pairs(str(tmp_path / "pairs.csv"))


@pytest.mark.parametrize("name", ["../../x", "", "a/b", 7])
def test_a_segmenter_cannot_name_a_file_elsewhere(tmp_path, name):
    card = dict(
        format_version=2,
        kind="segmenter",
        name="m",
        network="unet",
        weights_sha256="0",
        feature=name,
        annotator="anna",
        pixel_size=10.0,
        threshold=0.5,
        validation={},
    )
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ValueError, match="card.json is damaged"):
        read_card(tmp_path)


def test_a_map_whose_header_makes_no_sense_is_refused(tmp_path):
    from cryodl.io.structures import load_density
    from cryodl.maps.measures.volume import read_volume

    density = np.zeros((12, 12, 12), np.float32)
    density[4:7, 5:8, 5:9] = 1
    for size in (2e-8, 4000.0):
        write_mrc(tmp_path / "a.mrc", density, size)
        for read in (read_volume, lambda path: load_density(path, 6.0)):
            with pytest.raises(ValueError, match="a.mrc has voxels of .* by its header"):
                read(tmp_path / "a.mrc")


def test_a_stray_atom_far_from_all_others_is_named(tmp_path, fuzzing):
    from cryodl.io.structures import load_density

    path, _ = fuzzing.valid_file("pdb", tmp_path)
    load_density(path, 6.0)
    lines = path.read_text().splitlines()
    position = next(number for number, line in enumerate(lines) if line.startswith("ATOM"))
    lines[position] = lines[position][:30] + "2900.000" + lines[position][38:]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"a.pdb has an atom 2.8\de\+03 Å from the middle"):
        load_density(path, 6.0)


def test_improving_a_map_whose_header_says_20_angstrom_is_refused(tmp_path, capsys):
    from cryodl.running.cli import main

    density = np.zeros((40, 40, 40), np.float32)
    density[12:25, 13:22, 15:29] = np.linspace(1, 2, 14)
    write_mrc(tmp_path / "a.mrc", density, 20.0)
    assert main(["improve-map", "--map", str(tmp_path / "a.mrc"), "--device", "cpu"]) == 2
    assert "a.mrc has 20 Å/px" in capsys.readouterr().err
