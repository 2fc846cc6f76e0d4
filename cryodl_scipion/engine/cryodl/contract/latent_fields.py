# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that the commands on latent spaces, of particles and of subtomograms, share."""

import typing

from .params import param

# Fewest dimensions that UMAP draws in two.
UMAP_DIMENSIONS = 3


def latent_field() -> typing.Any:
    """The parameter `latent`."""
    words = "Number of dimensions of the latent space."
    return param(words, default=4, label="Latent dimensions", minimum=1, maximum=20)


def maps_field(what: str) -> typing.Any:
    """The parameter `maps`. what: 'maps' or 'averages'."""
    return param(
        f"Number of {what} along each axis of the latent space.",
        default=5,
        label=f"{what.capitalize()} along an axis",
        minimum=2,
        maximum=50,
    )


def axes_field(what: str) -> typing.Any:
    """The parameter `axes`. what: 'maps are reconstructed' or 'averages are made'."""
    made = {"maps": "maps are reconstructed", "averages": "averages are made"}[what]
    return param(
        f"Number of axes of the latent space along which {made}.",
        default=1,
        label=f"Axes with {what}",
        minimum=0,
        maximum=20,
    )


def latent_clusters_field(what: str) -> typing.Any:
    """The parameter `clusters`. what: 'particles' or 'subtomograms'."""
    return param(
        f"Number of clusters of the {what} in the latent space (k-means).",
        default=4,
        label="Clusters",
        minimum=1,
        maximum=100,
    )


def umap_field() -> typing.Any:
    """The parameter `umap`."""
    return param(
        "Also draw the latent space in two dimensions that keep neighbours together (UMAP): cryodlUmap1, cryodlUmap2. "
        "For three latent dimensions or more. The engine's environment needs umap-learn, which is not installed by "
        "default.",
        default=False,
        label="UMAP",
    )


def variability_field(what: str, where: str, default: float) -> typing.Any:
    """The parameter `tolerance`. what: of which errors cause variability. where: 'images' or 'subtomograms'. default:
    percent."""
    return param(
        f"Variability below which the result is 'no motion', in percent of the molecule's power in the {where}. "
        f"Errors of {what} also cause some variability.",
        default=default,
        label="Tolerance",
        unit="%",
        minimum=0,
        maximum=100,
        expert=True,
    )


def latent_problems(config: typing.Any) -> typing.List[str]:
    """Problems between `axes`, `latent` and `umap` of a config."""
    problems = []
    if config.axes > config.latent:
        what = "maps" if hasattr(config, "particles") else "averages"
        problems.append(
            f"Axes with {what} (--axes) is {config.axes}, but the latent space has {config.latent} (--latent). Give "
            f"{config.latent} or fewer, or more dimensions."
        )
    if config.umap and config.latent < UMAP_DIMENSIONS:
        problems.append(
            f"UMAP (--umap) draws latent spaces of {UMAP_DIMENSIONS} dimensions or more, but the latent space has "
            f"{config.latent} (--latent). Leave UMAP out, or give more dimensions."
        )
    return problems
