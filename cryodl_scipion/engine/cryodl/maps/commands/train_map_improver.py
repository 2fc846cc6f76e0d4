# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-map-improver`: pairs of maps and atomic models, or models to simulate maps from, in; a model folder
out.

Result.outputs are the contract's TrainMapImproverOutputs.
"""

from __future__ import annotations

import typing

from ...contract import Result, TrainMapImproverConfig
from ...contract.maps.training import TrainMapImproverOutputs

if typing.TYPE_CHECKING:
    import torch

    from ..improvers.method import ImproverMethod
    from ..improvers.pairs import MapPairs
    from ..improvers.train import ImproverTask

    Begun = tuple[dict[str, typing.Any], dict[str, torch.Tensor]]


def run(config: TrainMapImproverConfig) -> Result | None:
    """Train and write the model. A killed training continues from <output>.partial.

    Several GPUs (--device 0,1), or torchrun on several machines, train together: each step's boxes are shared out.
    """
    from ...learning.distributed import launched, run_on, several_devices

    if several_devices(config.device) and not launched():
        return run_on(several_devices(config.device), "train-map-improver", config)
    from ...learning.recipe import TrainingRun
    from ...learning.run_training import accelerator_for
    from ..improvers import improver_method
    from ..improvers.card import card_warnings, model_card
    from ..improvers.pairs import FOLDER, MapPairs

    training, method = TrainingRun(config), improver_method(config.network)
    begun = _begun(config, method)  # a model that does not fit is refused before the pairs are made
    accelerator = accelerator_for(training.take_device())
    with accelerator.main_process_first():  # it makes the pairs, the others find them
        folder = training.take_folder()
        pairs = MapPairs(folder, config, method.lowest)
    if accelerator.is_main_process:
        _say_start(config, pairs, training.device_name)
    training.start()  # every process begins with the same weights
    task = _task(config, method, pairs, begun)
    training.fit(task)
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        return None
    card = model_card(config, pairs, task, training)
    accelerator.wait_for_everyone()
    training.finish(card, task.networks["improver"].state_dict(), FOLDER)
    print(
        f"Model: {config.output} (correlation with the targets {card['validation']['correlation']:.3f} on the "
        f"validation molecules, {card['validation']['correlation_before']:.3f} for the original maps)"
    )
    outputs = TrainMapImproverOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        maps=len(pairs.training),
        working_pixel_size=config.working_pixel_size,
    )
    return training.result(outputs, [*pairs.warnings, *card_warnings(card)])


def _say_start(config: TrainMapImproverConfig, pairs: MapPairs, device: str) -> None:
    for sentence in [*pairs.notes, *pairs.warnings]:
        print(sentence)
    print(
        f"Training the {config.network} map improver on {device}: {len(pairs.training)} maps of "
        f"{len(pairs.names['training'])} molecules, validated on {len(pairs.validation)} of "
        f"{len(pairs.names['validation'])} others."
    )


def _begun(config: TrainMapImproverConfig, method: ImproverMethod) -> Begun | None:
    """Card and weights of --start-from, if it is given. Raises ValueError if it is another network."""
    from ...learning.recipe import start_weights

    if not config.start_from:
        return None
    mine = dict(
        network=config.network,
        attention=config.attention,
        working_pixel_size=config.working_pixel_size,
        width=config.width or method.width,
    )
    return start_weights(config, "map_improver", dict(attention=True, width=method.width), **mine)


def _task(config: TrainMapImproverConfig, method: ImproverMethod, pairs: MapPairs, begun: Begun | None) -> ImproverTask:
    """ImproverTask with a new network, or with that of --start-from."""
    from ..improvers.run import load_network
    from ..improvers.train import ImproverTask

    network = method.build(config.attention, config.width)
    if begun:
        network = load_network(*begun, str(config.start_from))
    return ImproverTask(
        method, network, pairs, config.ssim_weight, config.fsc_weight, config.q_score_weight, config.batch_size
    )
