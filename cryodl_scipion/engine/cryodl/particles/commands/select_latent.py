# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl select-latent`: particles or subtomograms with latent coordinates in; those of a region or of clusters of
the latent space out. Write the chosen particles, whole or not at all."""

import numpy as np

from ...contract import SelectLatentConfig, SelectLatentOutputs, counted
from ...io import particle_sets, relion_tables, subtomograms, unfinished
from ...latent.record import CLUSTER, LATENT, latent_column, region_ranges, whole_numbers
from ...running.runner import Run, command


@command
def select_latent(config: SelectLatentConfig, run: Run) -> SelectLatentOutputs:
    unfinished.star_stem(config.output, "Particles")
    volumes = relion_tables.image_dimensions(config.particles) == 3
    word = "subtomogram" if volumes else "particle"
    particles: particle_sets.ParticleSet | subtomograms.SubtomogramSet = (
        subtomograms.read_subtomograms(config.particles) if volumes else particle_sets.read_particles(config.particles)
    )
    chosen = np.ones(len(particles), bool)
    for axis, low, high in region_ranges(config.region):
        values = latent_column(particles, f"{LATENT}{axis}")
        chosen &= (values >= low) & (values <= high)
    if config.clusters:
        own, asked = latent_column(particles, CLUSTER), whole_numbers(config.clusters)
        if absent := sorted(set(asked) - set(own)):
            raise ValueError(
                f"No {word} of {config.particles} is in cluster {absent[0]} (--clusters): its clusters are "
                f"{', '.join(f'{number:g}' for number in np.unique(own))}."
            )
        chosen &= np.isin(own, asked)
    if not chosen.any():
        options = [f"--{name} {value}" for name in ("region", "clusters") if (value := getattr(config, name))]
        raise ValueError(
            f"No {word} of {config.particles} is in this selection ({', '.join(options)}). Choose a wider region or "
            "other clusters."
        )
    part = particles.subset(np.nonzero(chosen)[0])
    if isinstance(part, subtomograms.SubtomogramSet):
        subtomograms.write_subtomograms_star(config.output, part)
    else:
        particle_sets.write_particles_star(config.output, part)
    run.summary(f"{counted(len(part), word)} of {len(particles)}: {config.output}")
    return SelectLatentOutputs(
        particles=config.output, count=len(part), input_count=len(particles), pixel_size=particles.pixel_size
    )
