# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for `python -m cryodl` that keeps the contract without a network: tests of protocols take seconds.

It knows the answers: beside every synthetic micrograph lies <file>.truth.json with [[x, y, score], ...].
Variables: FAKE_ENGINE_DIE_AFTER=n ends it by SIGKILL after n micrographs or steps, once; FAKE_ENGINE_SLEEP=s waits s
seconds for each micrograph or step, and while classes form; FAKE_ENGINE_MEET=folder lets two that pick wait there for
each other, up to a minute; FAKE_ENGINE_GPUS="0 1" gives the machine these GPUs.
"""

import argparse
import json
import os
import sys
import time

import fake_annotations
import fake_compare
import fake_ctf
import fake_denoising
import fake_extract
import fake_filaments
import fake_heterogeneity
import fake_maps
import fake_micrographs
import fake_subtomograms
import fake_templates
import fake_tomograms

# beside this file, which runs as a script
from fake_model import writeModel
from fake_simulator import simulateMicrographs
from fake_stops import InputError, dieOncePerRun, dieSometimes

from cryodl import contract

LOW_SCORE = 0.05
STEPS = 5


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", dest="module")
    parser.add_argument("command")
    for name in ("--request", "--result"):
        parser.add_argument(name)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    request = contract.Request.read(arguments.request)
    for name in ("seed", "names"):  # the answers read them where they stand in a config of today or of 0.1.0
        if not hasattr(request.config, name):
            object.__setattr__(request.config, name, getattr(request, name))
    failure = os.path.join(os.path.dirname(arguments.result), "failure.json")
    dieOncePerRun("before", arguments.result)
    try:
        gpus = os.environ.get("FAKE_ENGINE_GPUS", "").split()
        if arguments.device != "cpu" and not set(arguments.device.split()) <= set(gpus):
            raise InputError(f"GPU {arguments.device} was asked for, but there is none. Choose --device cpu.")
        work = {
            "pick": pick,
            "train-picker": train,
            "train-general-picker": trainGeneral,
            "auto-pick": autoPick,
            "simulate-micrographs": simulate,
            "report": report,
            **fake_annotations.WORK,
            **fake_compare.WORK,
            **fake_ctf.WORK,
            **fake_filaments.WORK,
            **fake_denoising.WORK,
            **fake_extract.WORK,
            **fake_maps.WORK,
            **fake_micrographs.WORK,
            **fake_tomograms.WORK,
            **fake_subtomograms.WORK,
            **fake_heterogeneity.WORK,
        }[arguments.command]
        outputs, skipped = work(request.config)
    except (InputError, contract.AllSkipped) as error:
        kind = "all skipped" if isinstance(error, contract.AllSkipped) else "input"
        contract.Failure(arguments.command, kind, str(error)).write(failure)
        print(f"cryodl: error: {error}", file=sys.stderr)
        sys.exit(2)
    dieOncePerRun("after", arguments.result)
    result = contract.Result(
        arguments.command,
        outputs,
        device=deviceName(arguments.device),
        skipped=tuple(skipped),
        warnings=fake_maps.warnings(outputs),
        summary=(f"{arguments.command} told this.",),
        methods=(f"{arguments.command} was used.",),
    )
    result.write(arguments.result)


def report(config):
    with open(config.output, "w") as file:
        file.write("<p>A report.</p>")
    return dict(page=config.output, runs=0, alarms=[], malformed=[], working=False), ()


def deviceName(device):
    return "CPU (fake)" if device == "cpu" else f"GPU {device} (fake)"


# ----- pick
def pick(config):
    if config.method == "templates":
        return fake_templates.pickTemplates(config)
    with open(os.path.join(config.model, "card.json")) as file:
        card = json.load(file)
    threshold = card["threshold"] if config.threshold is None else config.threshold
    candidates = os.path.join(config.output, "candidates")
    os.makedirs(candidates, exist_ok=True)
    paths, counts, skipped = {}, {}, []
    for done, (name, path) in enumerate(zip(config.names, config.micrographs)):
        dieSometimes(config.output, done)
        stored = os.path.join(candidates, name + ".star")
        paths[name] = os.path.join(config.output, name + ".star")
        if not os.path.exists(stored):
            time.sleep(float(os.environ.get("FAKE_ENGINE_SLEEP", 0)))
            meetAnother(os.environ.get("FAKE_ENGINE_MEET"))
            if damaged(path):
                del paths[name]
                skipped.append(contract.Skipped(name, path, "the file is shorter than its header says"))
                continue
            writeStar(stored, [p for p in ground_truth(path) if p[2] >= LOW_SCORE])
            with open(os.path.join(config.output, "picked.log"), "a") as log:  # when done: a stop can come at any time
                log.write(name + "\n")
        picks = [p for p in ground_truth(path) if p[2] >= max(threshold, LOW_SCORE)]
        writeStar(paths[name], picks)
        counts[name] = len(picks)
    if not counts:
        raise contract.AllSkipped(
            f"Of {contract.counted(len(skipped), 'micrograph')}, none could be picked. {skipped[0].item}: "
            f"{skipped[0].reason}"
        )
    scores = [score for name in paths for _, _, score in fake_compare.rows(os.path.join(candidates, name + ".star"))]
    return dict(
        coordinates=paths,
        candidates={n: os.path.join(candidates, n + ".star") for n in paths},
        counts=counts,
        picks=sum(counts.values()),
        threshold=threshold,
        thresholds=dict.fromkeys(paths, threshold),
        threshold_uncertainty=card["threshold_uncertainty"] if config.threshold is None else None,
        pictures={},
        expected_particles=dict(number=sum(scores), deviation=sum(s * (1 - s) for s in scores) ** 0.5),
        expected=dict(precision=0.9, recall=0.8, f1=0.85),
        model=config.model,
        folder=config.output,
        pixel_size=config.pixel_size,
        contrast=card.get("contrast", "dark") if config.contrast == "auto" else config.contrast,
        particle_diameter=config.particle_diameter or card["particle_diameter"],
        picked_diameter=config.particle_diameter or card["particle_diameter"],
        size=None,
    ), skipped


def damaged(path):
    return os.path.getsize(path) < 4096


def meetAnother(folder):
    if folder:
        open(os.path.join(folder, str(os.getpid())), "w").close()
        until = time.monotonic() + 60
        while len(os.listdir(folder)) < 2 and time.monotonic() < until:
            time.sleep(0.05)


def ground_truth(path):
    with open(os.path.realpath(path) + ".truth.json") as file:
        return json.load(file)


def writeStar(path, picks):
    lines = [
        "# fake",
        "",
        "data_",
        "",
        "loop_",
        "_rlnCoordinateX #1",
        "_rlnCoordinateY #2",
        "_rlnAutopickFigureOfMerit #3",
    ] + [f"{x:.3f} {y:.3f} {score:.6f}" for x, y, score in picks]
    with open(path + ".tmp", "w") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(path + ".tmp", path)


# ----- auto-pick
def autoPick(config):
    """Round n finds the particles with a score of at least 0.8 - 0.2 n."""
    card = contract.read_card(config.model)
    shown = list(zip(config.names, config.micrographs))[: config.training_micrographs]
    table = os.path.join(config.output, "rounds.csv")
    os.makedirs(config.output, exist_ok=True)
    for number in range(config.rounds + 1):
        folder = os.path.join(config.output, "rounds", f"{number}")
        if os.path.exists(os.path.join(folder, "round.json")):
            continue
        dieSometimes(config.output, number)
        os.makedirs(os.path.join(folder, "picks"), exist_ok=True)
        found = {name: [p for p in ground_truth(path) if p[2] >= 0.8 - 0.2 * number] for name, path in shown}
        for name, picks in found.items():
            writeStar(os.path.join(folder, "picks", name + ".star"), picks)
        writeModel(os.path.join(folder, "model"), dict(particle_diameter=config.particle_diameter))
        entry = [number, 0.6 + 0.1 * number, sum(map(len, found.values())), 0.8 - 0.2 * number, 2 + number, "dark"]
        with open(table, "a") as file:
            head = "" if file.tell() else "round,separation,picks,threshold,confident,contrast\n"
            file.write(head + ",".join(map(str, entry)) + "\n")
        with open(os.path.join(folder, "round.json"), "w") as file:
            json.dump(entry, file)
    model = writeModel(
        os.path.join(config.output, "model"), dict(name="retrained", particle_diameter=config.particle_diameter)
    )
    given = dict(model=model, threshold=config.threshold, particle_diameter=config.particle_diameter)
    inner = contract.PickConfig(config.micrographs, config.pixel_size, config.output, **given)
    object.__setattr__(inner, "names", config.names)
    outputs, skipped = pick(inner)
    return dict(
        outputs,
        model=model,
        contrast=card.get("contrast", "dark"),
        best_round=config.rounds,
        rounds=[],
        stop_reason=f"{config.rounds} rounds were asked for",
    ), skipped


# ----- simulate
def simulate(config):
    dieSometimes(os.path.dirname(config.output), 0)
    return simulateMicrographs(config), []


# ----- train
def train(config):
    partial = config.output + ".partial"
    os.makedirs(partial, exist_ok=True)
    metrics = os.path.join(partial, "metrics.csv")
    if not os.path.exists(metrics):
        with open(metrics, "w") as file:
            file.write(
                "step,seconds,train_loss,validation_loss,validation_f1,validation_average_precision,learning_rate\n"
            )
    with open(metrics) as file:
        done = len(file.readlines()) - 1
    for step in range(done + 1, STEPS + 1):
        dieSometimes(os.path.dirname(config.output), step - 1)
        time.sleep(float(os.environ.get("FAKE_ENGINE_SLEEP", 0)))
        with open(metrics, "a") as file:
            file.write(f"{step},{step},{1 / step:f},{1.1 / step:f},{0.15 * step:f},{0.16 * step:f},0.003\n")
    particles = sum(countRows(os.path.join(config.coordinates, n + ".star")) for n in config.names)
    background, contamination = (countFolder(folder) for folder in (config.background, config.contamination))
    writeModel(
        partial,
        dict(
            network=config.network,
            labels=config.labels,
            particle_diameter=config.particle_diameter,
            pixel_sizes=[config.pixel_size],
            training=dict(
                micrographs=list(config.names),
                validation_micrographs=[],
                particles=particles,
                background_boxes=background,
                contamination_boxes=contamination,
                steps=STEPS,
                stop_reason="all steps were done",
                seconds=1.0,
                device="CPU (fake)",
            ),
        ),
    )
    os.rename(partial, config.output)
    return dict(
        model=config.output,
        threshold=0.4,
        threshold_uncertainty=0.02,
        validation=dict(f1=0.9),
        contrast="dark",
        stop_reason="all steps were done",
        labels=config.labels,
    ), []


def trainGeneral(config):
    real = []
    if config.sets:
        with open(config.sets) as file:
            real = [line.split(",")[0] for line in file.read().splitlines()[1:]]
    training = dict(micrographs=[], validation_micrographs=[], particles=9, simulated_micrographs=config.simulated)
    training.update(structures=list(config.structures), made_up=config.procedural, real_sets=real, steps=STEPS)
    training.update(stop_reason="all steps were done", seconds=1.0, device="CPU (fake)")
    tells = config.network == "unet"
    writeModel(config.output, dict(network=config.network, general=True, tells_size=tells, training=training))
    return dict(
        model=config.output,
        threshold=0.4,
        threshold_uncertainty=0.02,
        validation=dict(f1=0.9),
        stop_reason="all steps were done",
        structures=len(config.structures),
        procedural=config.procedural,
        real_sets=real,
    ), []


def countFolder(folder):
    if folder is None:
        return 0
    return sum(countRows(os.path.join(folder, file)) for file in os.listdir(folder))


def countRows(path):
    return len(fake_compare.rows(path)) if os.path.exists(path) else 0


if __name__ == "__main__":
    main()
