# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-picks`: precision, recall, F1 and average precision of picks, per micrograph and pooled. Print the
metrics; beside them, those of all candidates where `cryodl pick` left its candidates."""

from ...contract import EvaluatePicksConfig, EvaluatePicksOutputs, counted, some_names
from ...running.runner import Run, command
from ..compare import candidates_beside, pick_metrics, print_table
from ..pickers.pick_record import other_binning


@command
def evaluate_picks(config: EvaluatePicksConfig, run: Run) -> EvaluatePicksOutputs:
    run.warn(*other_binning((config.coordinates, config.reference), config.pixel_size))
    metrics = pick_metrics(config)
    missing, micrographs = metrics.pop("missing"), metrics.pop("micrographs")
    if missing:
        run.warn(
            f"{counted(len(missing), 'micrograph')} of the reference without picks; all particles there are missed: "
            f"{some_names(missing)}. Restrict the comparison with --micrographs."
        )
    folder = candidates_beside(config.coordinates)
    candidates = (  # some micrographs with picks may have none: no particles were found there
        {k: v for k, v in pick_metrics(config, folder).items() if k not in ("micrographs", "missing")}
        if folder
        else None
    )
    rows = [*micrographs.items(), ("all together", metrics)]
    print_table(rows + ([("(all candidates, whatever their score)", candidates)] if candidates else []), "micrograph")
    return EvaluatePicksOutputs(metrics=metrics, micrographs=micrographs, all_candidates=candidates, missing=missing)
