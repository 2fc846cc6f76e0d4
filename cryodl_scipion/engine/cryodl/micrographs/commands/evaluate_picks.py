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
    if metrics["picks_elsewhere"]:
        print(f"Not counted: {counted(metrics['picks_elsewhere'], 'pick')} on micrographs without a reference.")
    candidates, folder = None, candidates_beside(config.coordinates)
    if folder:  # some micrographs with picks may have none: no particles were found there
        pooled = pick_metrics(config, folder).items()
        candidates = {key: value for key, value in pooled if key not in ("micrographs", "missing")}
    rows = [*micrographs.items(), ("all together", metrics)]
    print_table(rows + ([("(all candidates, whatever their score)", candidates)] if candidates else []), "micrograph")
    return EvaluatePicksOutputs(metrics=metrics, micrographs=micrographs, all_candidates=candidates, missing=missing)
