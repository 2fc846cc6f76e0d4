# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of networks, with a row for each. Forms, command line, model cards, methods and citations are made from
it. A new network is one file in its folder and one row here, at the end of its kind, because saved workflows store
positions.
"""

import typing


class Network(typing.NamedTuple):
    """A network, or a method without one, of a model. kind: kind of the model. name: its name on the command line and
    in card.json. module, method: file below `cryodl` and the class in it. words: its description in the methods text.
    citations: keys of the bibliography.
    """

    kind: str
    name: str
    module: str
    method: str
    words: str
    citations: typing.Tuple[str, ...]


# The first of each kind is the default.
NETWORKS: typing.Tuple[Network, ...] = (
    Network("picker", "unet", "micrographs.pickers.unet", "UNetPicker", "a U-Net", ("Ronneberger2015",)),
    Network(
        "picker", "deeppicker", "micrographs.pickers.deeppicker", "DeepPicker", "the DeepPicker network", ("Wang2016",)
    ),
    Network("picker", "deepem", "micrographs.pickers.deepem", "DeepEM", "the DeepEM network", ("Zhu2017",)),
    Network(
        "picker",
        "cryolo",
        "micrographs.pickers.cryolo",
        "CrYOLO",
        "a crYOLO-type network",
        ("Wagner2019", "Redmon2017"),
    ),
    Network(
        "picker", "topaz", "micrographs.pickers.topaz", "Topaz", "a Topaz-type network", ("Bepler2019", "Kiryo2017")
    ),
    Network(
        "picker",
        "eman2",
        "micrographs.pickers.eman2",
        "EMAN2",
        "two networks as in EMAN2",
        ("Tang2007", "Chen2017", "Bell2018"),
    ),
    Network(
        "denoiser",
        "posterior",
        "particles.denoisers.posterior",
        "Posterior",
        "the mean of the structure's projections, weighted by their probability",
        ("Scheres2012",),
    ),
    Network(
        "denoiser",
        "swinconv",
        "particles.denoisers.swinconv",
        "SwinConv",
        "a two-dimensional Swin-Conv-UNet",
        ("Zhang2023SCUNet", "He2023EMReady"),
    ),
    Network("denoiser", "cgan", "particles.denoisers.cgan", "ConditionalGAN", "a conditional GAN", ("Isola2017",)),
    Network("segmenter", "unet", "tomograms.segmenters.unet", "UNet", "a small 2.5-D U-Net", ("Ronneberger2015",)),
    Network("segmenter", "unet2d", "tomograms.segmenters.unet", "UNet2D", "a small U-Net", ("Ronneberger2015",)),
    Network("segmenter", "unet3d", "tomograms.segmenters.unet3d", "UNet3D", "a small 3-D U-Net", ("Cicek2016",)),
    Network(
        "segmenter",
        "eman2",
        "tomograms.segmenters.eman2",
        "EMAN2Segmenter",
        "the network of EMAN2",
        ("Chen2017", "Tang2007"),
    ),
    Network(
        "segmenter",
        "unet16",
        "tomograms.segmenters.unet",
        "UNet16",
        "a 2.5-D U-Net of sixteen slices",
        ("Ronneberger2015",),
    ),
    Network(
        "segmenter",
        "unet32",
        "tomograms.segmenters.unet",
        "UNet32",
        "a 2.5-D U-Net of thirty-two slices",
        ("Ronneberger2015",),
    ),
    Network(
        "classifier",
        "likelihood",
        "tomograms.classifiers.likelihood",
        "Likelihood",
        "by their likelihood given the class averages, over all orientations and at the measured Fourier coefficients",
        ("Scheres2012",),
    ),
    Network("classifier", "dsrf3d", "tomograms.classifiers.dsrf3d", "DSRF3D", "by the network DSRF3D-v2", ("Che2018",)),
    Network("classifier", "rb3d", "tomograms.classifiers.rb3d", "RB3D", "by the network RB3D", ("Che2018",)),
    Network("classifier", "cb3d", "tomograms.classifiers.cb3d", "CB3D", "by the network CB3D", ("Che2018",)),
    Network(
        "detector",
        "unet3d",
        "tomograms.detectors.unet3d",
        "HeatMapUNet",
        "a small 3-D U-Net that predicts a heat map of each species",
        ("Cicek2016", "Moebel2021"),
    ),
    Network(
        "detector",
        "wide",
        "tomograms.detectors.unet3d",
        "WideHeatMapUNet",
        "a 3-D U-Net that predicts a heat map of each species",
        ("Cicek2016", "Moebel2021"),
    ),
    Network(
        "map_improver",
        "fast",
        "maps.improvers.method",
        "Fast",
        "a small 3-D Swin-Conv-UNet",
        ("He2023EMReady", "Zhang2023SCUNet"),
    ),
    Network(
        "map_improver",
        "swinconv",
        "maps.improvers.method",
        "Published",
        "the 3-D Swin-Conv-UNet of EMReady",
        ("He2023EMReady", "Zhang2023SCUNet"),
    ),
    Network(
        "filament_picker",
        "unet",
        "micrographs.filaments.unet",
        "FilamentUNet",
        "a U-Net that predicts their centre lines",
        ("Ronneberger2015",),
    ),
    Network(
        "tomogram_denoiser",
        "unet3d",
        "tomograms.denoisers.unet",
        "DenoisingUNet3D",
        "a small 3-D U-Net that corrects a Wiener filter",
        ("Cicek2016",),
    ),
    Network(
        "tomogram_denoiser",
        "unet3d_wide",
        "tomograms.denoisers.unet",
        "WideUNet3D",
        "a 3-D U-Net that corrects a Wiener filter",
        ("Cicek2016",),
    ),
)


def network_names(kind: str) -> typing.Tuple[str, ...]:
    """Names of all networks of a kind of model, the default first."""
    return tuple(network.name for network in NETWORKS if network.kind == kind)


def network_row(kind: str, name: str) -> Network:
    """The row of a network.

    Raises
    ------
    ValueError
        If it is not known; the message lists the names of its kind.
    """
    for network in NETWORKS:
        if (network.kind, network.name) == (kind, name):
            return network
    raise ValueError(f"Network {name!r} is unknown; choose one of: {', '.join(network_names(kind))}.")


def network_words(kind: str, name: typing.Optional[str]) -> str:
    """Description of a network for the methods text; its name if this version does not know it."""
    return network_row(kind, name).words if name in network_names(kind) else f"the network {name}"


def network_citations(kind: str, name: typing.Optional[str]) -> typing.Tuple[str, ...]:
    """Keys of the bibliography of a network; empty for None and for a network that this version does not know."""
    return network_row(kind, name).citations if name in network_names(kind) else ()


PICKER_NETWORKS = network_names("picker")
DENOISER_NETWORKS = network_names("denoiser")
SEGMENTER_NETWORKS = network_names("segmenter")
CLASSIFIER_NETWORKS = network_names("classifier")
DETECTOR_NETWORKS = network_names("detector")
IMPROVER_NETWORKS = network_names("map_improver")
FILAMENT_NETWORKS = network_names("filament_picker")
TOMOGRAM_DENOISER_NETWORKS = network_names("tomogram_denoiser")
