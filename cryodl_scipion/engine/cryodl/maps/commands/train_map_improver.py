# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-map-improver`: pairs of maps and atomic models, or models to simulate maps from, in; a model folder
out.

Result.outputs are the contract's TrainMapImproverOutputs.
"""

from __future__ import annotations

import time
import typing

from ...contract import Result, TrainMapImproverConfig

if typing.TYPE_CHECKING:
    from ..improvers.method import ImproverMethod
    from ..improvers.pairs import MapPairs
    from ..improvers.train import ImproverTask


def run(config: TrainMapImproverConfig) -> Result | None:
    """Train and write the model. A killed training continues from <output>.partial.

    Several GPUs (--device 0,1), or torchrun on several machines, train together: each step's boxes are shared out.
    """
    from ...learning.distributed import launched, run_on, several_devices

    if several_devices(config.device) and not launched():
        return run_on(several_devices(config.device), "train-map-improver", config)
    from ...io.model import write_model
    from ...learning.run_training import check_output, finish, fit_task, working_folder
    from ..improvers import improver_method
    from ..improvers.card import card_warnings, model_card
    from ..improvers.pairs import FOLDER, MapPairs

    check_output(config.output)
    method = improver_method(config.network)
    import shutil

    from ...core.devices import choose_device, device_name, set_threads
    from ...learning.run_training import accelerator_for

    device = choose_device(config.device)
    set_threads(config.threads)
    accelerator = accelerator_for(device)
    with accelerator.main_process_first():  # it makes the pairs, the others find them
        folder = working_folder(config)
        pairs = MapPairs(folder, config, method.lowest)
    if not accelerator.is_main_process:
        fit_task(_task(config, method, pairs), config, folder, device)
        accelerator.wait_for_everyone()
        return None
    for sentence in [*pairs.notes, *pairs.warnings]:
        print(sentence)
    print(
        f"Training the {config.network} map improver on {device_name(device)}: {len(pairs.training)} maps of "
        f"{len(pairs.names['training'])} molecules, validated on {len(pairs.validation)} of "
        f"{len(pairs.names['validation'])} others."
    )
    start = time.monotonic()
    task = _task(config, method, pairs)
    report = fit_task(task, config, folder, device)
    card = model_card(config, pairs, task, report, device_name(device), time.monotonic() - start)
    write_model(folder, card, task.networks["improver"].state_dict())
    accelerator.wait_for_everyone()
    shutil.rmtree(folder / FOLDER)
    finish(folder, config.output)
    print(
        f"Model: {config.output} (correlation with the targets {card['validation']['correlation']:.3f} on the "
        f"validation molecules, {card['validation']['correlation_before']:.3f} of the maps as they are)"
    )
    outputs = dict(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=report.stop_reason,
        maps=len(pairs.training),
        grid=config.grid,
    )
    return Result(
        "train-map-improver",
        outputs,
        device=device_name(device),
        warnings=tuple([*pairs.warnings, *card_warnings(card)]),
    )


def _task(config: TrainMapImproverConfig, method: ImproverMethod, pairs: MapPairs) -> ImproverTask:
    """ImproverTask with a new network, or with that of --start-from. Every process begins with the same weights."""
    import torch

    from ...io.model import find_model, read_model
    from ..improvers.run import load_network
    from ..improvers.train import ImproverTask

    torch.manual_seed(config.seed)
    network = method.build(config.attention)
    if config.start_from:
        card, weights = read_model(find_model(config.start_from, "map_improver"), "map_improver")
        if card["network"] != config.network:
            raise ValueError(
                f"Start from model (--start-from) {config.start_from} is of the network "
                f"{card['network']}, but --network is {config.network}."
            )
        for name, option in (("attention", "--[no-]attention"), ("grid", "--grid")):
            found, wanted = card.get(name, True), getattr(config, name)
            if found != wanted:
                raise ValueError(
                    f"Start from model (--start-from) {config.start_from} has the {name} {found}, but "
                    f"{option} is {wanted}. They must be the same."
                )
        network = load_network(card, weights, config.start_from)
    return ImproverTask(method, network, pairs, config.ssim, config.shells, config.atoms, config.batch_size)
