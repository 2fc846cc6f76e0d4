# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl identify`: particles and a folder of structures in; which of them the particles show, and how surely, out.
Rank the structures, and say which are there."""

from ...contract import IdentifyConfig, IdentifyOutputs, counted
from ...io.particle_sets import read_class_averages, read_particles
from ...running.runner import PROGRAM, Run, command
from ..identify.candidates import FULL, AverageComparison, ParticleComparison, read_candidates, structure_files
from ..identify.ranking import SIGNAL, SURE, judge, rank, write_ranking
from ..orientations.structure import size_notes

TABLE = "ranking.csv"
NAMED = 5  # structures of the ranking in the summary
FEW, FEW_AVERAGES = 100, 10  # particles, averages, below which an answer may fail for lack of data


@command
def identify(config: IdentifyConfig, run: Run) -> IdentifyOutputs:
    averages = read_class_averages(config.particles)
    particles = read_particles(config.particles, need=("raw", "ctf")) if averages is None else averages
    # before any image is skipped: those are not counted
    candidates = read_candidates(structure_files(config.structures), particles, run)
    comparison = (ParticleComparison if averages is None else AverageComparison)(particles, run)
    count = len(comparison.source.particles)
    what, few, needed = ("averages", FEW_AVERAGES, "dozens") if averages else ("particles", FEW, "hundreds")
    run.warn(f"{config.particles} has {count} {what}; some {needed} are needed for a sure answer." * (count < few))
    print(f"Comparing {count} of {len(particles)} {what} with {len(candidates)} structures on {run.device_name}.")
    folder = run.folder(config.particles, continues=False)
    with run.progress(len(candidates), "structure") as bar:
        ranking = rank(comparison, candidates, bar.update)
    found = judge(ranking.compared, ranking.signal, ranking.joint, config.particles)
    none, best = not (found.found or found.alike), ranking.compared[0].candidate
    if ranking.signal >= SIGNAL and (none or averages and len(found.found) == 1):  # noise fits some size best as well
        run.warn(
            *size_notes(ranking.search, config.particles, best.path),
            "Averages without CTF correction, or with flipped phases alone, fit right structures badly. If those of "
            f"{config.particles} are such, classify the particles again with CTF correction." * bool(none and averages),
        )
    if none:
        for one in ranking.compared:
            one.q = one.alike if one.alike >= SURE else 1.0
    write_ranking(folder / TABLE, ranking.compared)
    run.summary(
        *found.sentences,
        f"Ranking of {counted(len(candidates), 'structure')}: "
        f"{', '.join(one.candidate.name for one in ranking.compared[:NAMED])}.",
    )
    run.methods(
        f"{count} {what} were compared with {len(candidates)} structures with {PROGRAM} by the likelihood to "
        f"{comparison.resolution(FULL):.0f} Å, and the best of them with decoys of equal mass, size and power spectrum."
    )
    return IdentifyOutputs(
        table=f"{config.output}/{TABLE}",
        found=[one.candidate.name for one in found.found],
        alike=[one.candidate.name for one in found.alike],
        names=[one.candidate.name for one in ranking.compared],
        shares=[round(one.share * (one.q < SURE), 4) for one in ranking.compared],
        explained=round(max(one.explained for one in ranking.compared if one.explained >= 0), 3),
        count=count,
        contrast=comparison.source.contrast,
    )
