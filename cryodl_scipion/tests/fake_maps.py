# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of the fake engine: files as the real commands write them, with answers that tests know.

An improved map is twice the map. FAKE_ENGINE_TEST=invented lets the half-map test find inventions.
"""

import csv
import json
import os
import shutil

import mrcfile
import numpy as np
from fake_model import improverCard, writeModel
from fake_stops import InputError, dieSometimes

from cryodl.contract import BY_NETWORK, half_map_verdict, split_verdict

# Å at FSC 0.143
TESTS = {
    "ok": dict(raw=4.5, control=4.4, improved=3.8, crossed=4.1, gain=0.05, unexplained=0.02),
    "invented": dict(raw=4.5, control=4.4, improved=3.5, crossed=4.38, gain=0.0, unexplained=0.2),
}
SIDE = 12
RESIDUES = [("A", "1", "ALA", 0.61, 0.71), ("A", "2", "GLY", 0.52, 0.62), ("B", "7A", "TRP", 0.43, 0.53)]


def _test():
    return TESTS[os.environ.get("FAKE_ENGINE_TEST", "ok")]


def warnings(outputs):
    """Of any command: what its half-map test warns of."""
    return tuple(split_verdict(half_map_verdict(_test(), BY_NETWORK)[1])[1]) if outputs.get("half_map_test") else ()


def _like(source, target, factor):
    shutil.copyfile(source, target)
    with mrcfile.open(target, "r+", permissive=True) as mrc:
        mrc.set_data((mrc.data * factor).astype(np.float32))


def improve(config):
    source, stem = config.map or config.half_maps[0], config.output[: -len(".mrc")]
    if np.isnan(mrcfile.read(source)).any():
        raise InputError(f"{source} holds values that are no numbers.")
    os.makedirs(os.path.dirname(config.output), exist_ok=True)
    dieSometimes(os.path.dirname(os.path.dirname(config.output)), 0)
    with open(os.path.join(config.model, "card.json")) as file:
        card = json.load(file)
    files = dict(map=config.output, doubt=None, residues=None, half1=None, half2=None)
    for number, half in enumerate(config.half_maps, 1):
        files[f"half{number}"] = f"{stem}_half{number}.mrc"
        _like(half, files[f"half{number}"], 2)
    if config.half_maps:
        files["doubt"] = stem + "_doubt.mrc"
        _like(source, files["doubt"], 0)
    _like(source, config.output, 2)
    return dict(
        files,
        pixel_size=config.pixel_size,
        model=card["name"],
        working_pixel_size=card["working_pixel_size"],
        resolution=config.resolution,
        unchanged=None,
        half_map_test=_test() if config.half_maps else None,
    ), []


def train(config):
    partial, rows = config.output + ".partial", []
    os.makedirs(partial, exist_ok=True)
    if config.pairs:
        with open(config.pairs) as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            for name in ("map", "structure"):
                assert os.path.exists(os.path.join(os.path.dirname(config.pairs), row[name])), row
    dieSometimes(os.path.dirname(config.output), 0)
    with open(os.path.join(partial, "metrics.csv"), "w") as file:
        file.write("step,train_loss,validation_loss,validation_correlation\n1,0.5,0.6,0.7\n2,0.4,0.5,0.8\n")
    card = improverCard(
        name=os.path.basename(config.output), network=config.network, working_pixel_size=config.working_pixel_size
    )
    card["training"].update(maps=len(rows) + config.simulated * len(config.structures))
    writeModel(partial, card)
    os.rename(partial, config.output)
    return dict(
        model=config.output,
        validation=card["validation"],
        stop_reason="all steps were done",
        maps=card["training"]["maps"],
        working_pixel_size=config.working_pixel_size,
    ), []


def evaluate(config):
    metrics = dict(
        fsc05_angstrom=4.2,
        fsc0143_angstrom=3.6,
        fsc05_unmasked_angstrom=4.9,
        fsc0143_unmasked_angstrom=None,
        q_score=0.52,
        q_score_chains={"A": 0.565, "B": 0.43},
        local_correlation=0.63,
    )
    data = dict(
        metrics if config.structure else {},
        map=config.map,
        structure=config.structure,
        atoms=30,
        mask=config.mask or f"{config.mask_radius:g} Å around the structure",
    )
    if config.before:
        data["before"] = dict(metrics, fsc05_angstrom=5.5, q_score=0.33)
    if config.half_maps:
        data["half_maps"] = dict(
            resolution_angstrom=4.5,
            resolution05_angstrom=6.5,
            local_resolution_angstrom=dict(p10=4.0, median=4.6, p90=6.0),
        )
    if config.processed:
        data["half_map_test"] = {
            name: value
            if name in ("gain", "unexplained", "worst")
            else dict(fsc0143_angstrom=value, fsc05_angstrom=2 * value)
            # of any program: its limit is lower than that of the shipped network
            for name, value in dict(_test(), unexplained=_test()["unexplained"] / 4).items()
        }
    dieSometimes(os.path.dirname(config.output), 0)
    os.makedirs(config.output)
    curves = (
        (["map and model", "map and model, whole box"] if config.structure else [])
        + (["before and model"] if config.before else [])
        + (["half-maps"] if config.half_maps else [])
    )
    _writeTable(
        config.output + "/fsc.csv",
        ["frequency_per_angstrom"] + curves,
        [[k / 48] + [1 - k / 8 - position / 100 for position in range(len(curves))] for k in range(9)],
    )
    names = ["q_score", "local_correlation"] + (["q_score_before", "local_correlation_before"] if config.before else [])
    _writeTable(
        config.output + "/residues.csv",
        ["chain", "number", "name"] + names,
        [
            list(row[:3]) + [row[3], row[4]] + ([row[3] - 0.1, row[4] - 0.2] if config.before else [])
            for row in RESIDUES
        ],
    )
    with open(config.output + "/show.cxc", "w") as file:
        file.write(f'open "{os.path.relpath(config.map, config.output)}"\n')
    if config.half_maps:
        _like(config.map, config.output + "/local_resolution.mrc", 0)
        with mrcfile.open(config.output + "/local_resolution.mrc", "r+", permissive=True) as mrc:
            mrc.data[2:5] = np.linspace(4, 6, mrc.data[2:5].size).reshape(mrc.data[2:5].shape)
    if config.processed:
        _like(config.map, config.output + "/doubt.mrc", 0)
    with open(config.output + "/evaluation.json", "w") as file:
        json.dump(data, file)
    return dict(
        doubt=config.output + "/doubt.mrc" if config.processed else None,
        evaluation=config.output + "/evaluation.json",
        **{
            name: data.get(name)
            for name in (
                "fsc05_angstrom",
                "fsc0143_angstrom",
                "q_score",
                "local_correlation",
                "before",
                "half_maps",
                "half_map_test",
            )
        },
    ), []


def compare(config):
    _writeTable(
        config.output,
        ["chain", "number", "name", "reference_chain", "reference_number", "reference_name", "distance_angstrom"],
        [["A", "1", "ALA", "A", "1", "ALA", "0.500"]],
    )
    return dict(
        residues=9,
        reference_residues=10,
        matched=8,
        coverage=0.8,
        sequence_match=0.75,
        rmsd_angstrom=0.92,
        false_residues=1,
        fragments=2,
        chains={"A": 0.9, "B": 0.7},
        table=config.output,
    ), []


def simulate(config):
    """Unlike in every direction; it begins at (10, 20, 30) Å."""
    dieSometimes(os.path.dirname(config.output), 0)
    endings = {"half1": "half1", "half2": "half2", "full": "full", "ground_truth": "truth"}
    files = {name: f"{config.output}_{ending}.mrc" for name, ending in endings.items()}
    for number, path in enumerate(files.values()):
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(np.random.RandomState(number).normal(size=(SIDE, SIDE, SIDE)).astype(np.float32))
            mrc.voxel_size = config.pixel_size
            mrc.header.origin = (10.0, 20.0, 30.0)
    structure = config.output + "_model.pdb"
    shutil.copyfile(config.structure, structure)
    return dict(
        files, structure=structure, pixel_size=config.pixel_size, box=SIDE, resolution=config.resolution, b_factor=80.0
    ), []


def _writeTable(path, titles, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([titles] + rows)


WORK = {
    "improve-map": improve,
    "train-map-improver": train,
    "evaluate-map": evaluate,
    "compare-models": compare,
    "simulate-half-maps": simulate,
}
