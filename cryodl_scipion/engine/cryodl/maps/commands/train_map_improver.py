# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-map-improver`: pairs of maps and atomic models, or models to simulate maps from, in; a model folder
out. Train and write the model. A killed training continues from <output>.partial."""

import typing

import torch

from ...contract import TrainMapImproverConfig, TrainMapImproverOutputs
from ...learning.recipe import TrainingRun, start_weights
from ...running.runner import Run, command
from ..improvers import improver_method
from ..improvers.method import ImproverMethod
from ..improvers.pairs import FOLDER, MapPairs, read_pairs
from ..improvers.run import load_network
from ..improvers.train import ImproverTask, card_lines, card_warnings, methods_of, model_card

CONTINUED = 0.25  # of the learning rate, of a training that starts from a model

Begun = tuple[dict[str, typing.Any], dict[str, torch.Tensor]]


@command
def train_map_improver(config: TrainMapImproverConfig, run: Run) -> TrainMapImproverOutputs:
    training, method = TrainingRun(run), improver_method(config.network)
    begun = _begun(config)  # a model that does not fit is refused before the pairs are made
    training.take_device()
    named = [row[kind] for row in (read_pairs(config.pairs) if config.pairs else []) for kind in ("map", "structure")]
    pairs = MapPairs(training.take_folder(*named), config, method.lowest, run.seed)
    for sentence in pairs.notes:
        print(sentence)
    run.warn(*pairs.warnings)
    print(
        f"Training the {config.network} map improver on {run.device_name}: {len(pairs.training)} maps of "
        f"{len(pairs.names['training'])} molecules, validated on {len(pairs.validation)} of "
        f"{len(pairs.names['validation'])} others."
    )
    training.start()
    task = _task(config, method, pairs, begun)
    training.fit(task)
    card = model_card(config, pairs, task, training)
    if begun:
        card.update({name: begun[0][name] for name in ("attention", "width") if name in begun[0]})
    training.finish(card, task.networks["improver"].state_dict(), FOLDER)
    run.warn(*card_warnings(card))
    run.summary(*card_lines(card))
    run.methods(methods_of(card))
    return TrainMapImproverOutputs(
        model=str(config.output),
        validation=card["validation"],
        stop_reason=training.stop_reason,
        maps=len(pairs.training),
        working_pixel_size=config.working_pixel_size,
    )


def _begun(config: TrainMapImproverConfig) -> Begun | None:
    own = dict(network=config.network, working_pixel_size=config.working_pixel_size)
    return start_weights(config, "map_improver", **own) if config.start_from else None


def _task(config: TrainMapImproverConfig, method: ImproverMethod, pairs: MapPairs, begun: Begun | None) -> ImproverTask:
    network = load_network(*begun, str(config.start_from)) if begun else method.build()
    task = ImproverTask(method, network, pairs, config.batch_size)
    if begun:
        task.rate = CONTINUED
    return task
