# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick`: micrographs and a model in, one <micrograph>.star each out.

Result.outputs: folder, coordinates {name: path}, candidates {name: path}, counts {name: picks}, picks, threshold,
particle_diameter (Å), model. Bad micrographs are in Result.skipped.
"""
import json
from pathlib import Path

from ..contract import AllSkipped, Result, Skipped, in_words, read_card
from ..contract.result import write_json
from ..io.coordinates import read_coordinates, write_coordinates
from ..io.files import expand_paths, name_micrographs
from ..io.micrographs import pixel_size_warnings
from ..io.model import find_model, read_model

CANDIDATES = "candidates"
RECORD = "pick.json"


def run(config):
    """Pick all micrographs; those whose candidates are there already are only thresholded anew."""
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    model = find_model(config.model)
    card = read_card(model, "picker")
    diameter = config.particle_diameter or card["particle_diameter"]
    threshold = card["threshold"] if config.threshold is None else config.threshold
    folder = Path(config.output)
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
    distance = (card["minimum_distance"] * diameter if config.minimum_distance is None else config.minimum_distance)
    if config.overwrite:  # first of all, so that a killed run does not leave old and new candidates side by side
        for name, _ in named:
            (folder / CANDIDATES / f"{name}.star").unlink(missing_ok=True)
    _check_same_run(folder, config, card, diameter, distance)
    todo = [(n, p) for n, p in named if not (folder / CANDIDATES / f"{n}.star").exists()]
    for warning in pixel_size_warnings([path for _, path in todo], config.pixel_size):
        print(f"Warning: {warning}")  # before the work, which may be in vain; it also stands in the result
    print(f"{len(named)} micrographs, {len(named) - len(todo)} of them picked before; particle diameter "
          f"{diameter:g} Å, threshold {threshold:.3g}.")
    new = {n for n, _ in todo}
    counts = {n: _threshold_again(folder, n, threshold) for n, _ in named if n not in new}
    device, skipped, notes = "none: no network was run", [], []
    if todo:
        device, notes = _pick_new(todo, config, model, (diameter, distance, threshold), folder, counts, skipped)
    _fail_if_all_bad(named, skipped)
    counts = {n: counts[n] for n, _ in named if n in counts}
    print(f"{sum(counts.values())} picks in {len(counts)} micrographs: {folder}/<micrograph>.star"
          + (f"; {len(skipped)} micrographs were skipped" if skipped else ""))
    outputs = dict(folder=str(folder), picks=sum(counts.values()), threshold=threshold, particle_diameter=diameter,
                   model=str(model), counts=counts,
                   coordinates={n: str(folder / f"{n}.star") for n in counts},
                   candidates={n: str(folder / CANDIDATES / f"{n}.star") for n in counts})
    return Result("pick", outputs, device=device, skipped=tuple(skipped),
                  warnings=tuple(notes + list(_warnings(counts, skipped, todo, config.pixel_size))))


def _check_same_run(folder, config, card, diameter, distance):
    """Raises ValueError if the folder holds candidates found with other parameters."""
    record = folder / RECORD
    mine = dict(weights_sha256=card["weights_sha256"], pixel_size=config.pixel_size, particle_diameter=diameter,
                minimum_distance=distance, border=config.border)
    # a run in which nothing could be picked, for a wrong pixel size say, leaves only the record: it binds nobody
    if record.exists() and not config.overwrite and any((folder / CANDIDATES).glob("*.star")):
        found = json.loads(record.read_text(encoding="utf-8"))
        other = ["another model" if k == "weights_sha256" else f"{k.replace('_', ' ')} {found.get(k)} (now {v})"
                 for k, v in mine.items() if found.get(k) != v]
        if other:
            raise ValueError(f"{folder} holds picks made with other parameters: {'; '.join(other)}. Choose another "
                             "--output, or --overwrite to pick these micrographs again.")
    write_json(record, mine)


def _pick_new(todo, config, model, settings, folder, counts, skipped):
    """Write candidates and picks of each micrograph as it is done. Returns the device in words, and notes about memory.

    settings: diameter and distance in Å, threshold. counts, skipped: filled here, so that nothing is lost on the way.
    """
    import numpy as np
    from tqdm import tqdm

    from ..devices import choose_device, device_name, set_threads
    from ..geometry import inside
    from ..io.micrographs import read_micrograph
    from ..pickers import load_network, picker_method
    from ..pickers.predict import Picker
    device = choose_device(config.device)
    set_threads(config.threads)
    card, weights = read_model(model, "picker")
    method = picker_method(card["network"])
    picker = Picker(method, load_network(method, weights, model), device, tuple(card.get("calibration", (1.0, 0.0))),
                    config.memory)
    diameter, distance, threshold = settings
    print(f"Picking on {device_name(device)} with {model}.")
    for name, path in tqdm(todo, unit="micrograph", mininterval=1.0):
        try:
            image = read_micrograph(path)
            yx, scores = picker.candidates(image, config.pixel_size, diameter, distance)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
            (folder / f"{name}.star").unlink(missing_ok=True)
            continue
        # the nearest pixel must exist too: Scipion's coordinates are whole numbers
        keep = inside(yx, image.shape, config.border / config.pixel_size) & inside(np.rint(yx), image.shape)
        write_coordinates(folder / CANDIDATES / f"{name}.star", yx[keep], scores[keep],
                          f"cryodl: every candidate of {name}, whatever its score")
        counts[name] = _write_picks(folder, name, yx[keep], scores[keep], threshold)
    return device_name(device), picker.notes


def _threshold_again(folder, name, threshold):
    """Write <name>.star from the candidates that were found before. Returns the number of picks."""
    (yx, scores), = read_coordinates(folder / CANDIDATES / f"{name}.star").values()
    return _write_picks(folder, name, yx, scores, threshold)


def _write_picks(folder, name, yx, scores, threshold):
    keep = scores >= threshold
    write_coordinates(folder / f"{name}.star", yx[keep], scores[keep],
                      f"cryodl: picks of {name} with a score of at least {threshold:.4g}")
    return int(keep.sum())


def _fail_if_all_bad(named, skipped):
    if named and len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be picked. The first: {in_words(skipped[0])}")


def _warnings(counts, skipped, picked, pixel_size):
    yield from pixel_size_warnings([path for _, path in picked], pixel_size)
    if skipped:
        yield (f"{len(skipped)} micrographs were skipped: " + "; ".join(map(in_words, skipped[:5]))
               + (" ..." if len(skipped) > 5 else ""))
    if counts and not any(counts.values()):
        yield ("There is not a single pick. Check pixel size and particle diameter, that protein is dark, or lower the "
               "threshold.")
