# SPDX-License-Identifier: GPL-3.0-or-later
"""A model folder that is whole by its card, without a network."""

import hashlib
import json
import os

# What denoise-tomograms says of a tomogram.
TOMOGRAM_CONTROLS = dict(
    frequencies=[0.01, 0.02, 0.03],
    fsc_halves=[0.8, 0.4, 0.1],
    fsc_denoised=[0.85, 0.6, 0.2],
    kept=[0.9, 0.5, 0.2],
    signal_correlation_before=0.2,
    signal_correlation_after=0.7,
    noise_left=0.3,
    wiener_noise_left=0.6,
    random_phases_left=0.5,
)


def writeModel(folder, values, weights=b"not a network"):
    """A model folder; `values` replace entries of the card; None takes one away."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "weights.safetensors"), "wb") as file:
        file.write(weights)
    card = dict(
        format_version=2,
        kind="picker",
        name="fake",
        network="unet",
        particle_diameter=120.0,
        pixel_sizes=[3.0],
        threshold=0.4,
        threshold_uncertainty=0.02,
        minimum_distance=0.5,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        versions={"cryodl": "0"},
        training={},
        validation=dict(f1=0.9, precision=0.9, recall=0.9, average_precision=0.95, threshold=0.4),
    )
    with open(os.path.join(folder, "card.json"), "w") as file:
        json.dump({key: value for key, value in dict(card, **values).items() if value is not None}, file)
    return folder


def denoiserCard(**values):
    """Entries of a denoiser's card for writeModel."""
    pickers = ("pixel_sizes", "threshold", "threshold_uncertainty", "minimum_distance")
    return dict(
        dict.fromkeys(pickers),
        **dict(
            dict(
                kind="denoiser",
                network="swinconv",
                pixel_size=4.0,
                box=32,
                particle_diameter=90.0,
                structures=["map.mrc"],
                scales=[1.0],
                ctf="wiener",
                contrast="bright",
                training_particles=[],
                training={},
                validation={},
            ),
            **values,
        ),
    )


def segmenterCard(feature, **values):
    """Entries of a segmenter's card for writeModel."""
    return dict(
        dict(
            kind="segmenter",
            network="unet",
            feature=feature,
            annotator="anna",
            pixel_size=10.0,
            pixel_sizes=None,
            particle_diameter=None,
            minimum_distance=None,
            threshold_uncertainty=None,
            threshold=0.5,
            tiles=dict(positive=10, negative=100, validation=20),
            training=dict(steps=3, stop_reason="all steps were done"),
            validation=dict(dice=0.8, boundary_error_angstrom=12.0),
        ),
        **values,
    )


def detectorCard(species, **values):
    """Entries of a detector's card for writeModel."""
    metrics = dict(particles=10, found=9, false=2, recall=0.9, precision=0.8182, f_beta=0.89)
    return dict(
        dict(
            kind="detector",
            network="unet3d",
            species=list(species),
            diameters=[120.0] * len(species),
            thresholds=[0.4] * len(species),
            beta=4.0,
            pixel_size=10.0,
            pixel_sizes=None,
            particle_diameter=None,
            minimum_distance=None,
            threshold_uncertainty=None,
            threshold=None,
            particles={name: 40 for name in species},
            training=dict(steps=3, stop_reason="all steps were done"),
            validation={name: metrics for name in species},
        ),
        **values,
    )


def tomogramDenoiserCard(**values):
    """Entries of a tomogram denoiser's card for writeModel."""
    others = ("pixel_sizes", "particle_diameter", "minimum_distance", "threshold_uncertainty", "threshold")
    return dict(
        dict.fromkeys(others),
        **dict(
            dict(
                kind="tomogram_denoiser",
                name="model",
                network="unet3d",
                pixel_size=10.0,
                fills_wedge=False,
                gain=[0.5] * 32,
                training={},
                validation=dict(correlation=0.3, wiener_correlation=0.2, wedge_correlation=0.1),
            ),
            **values,
        ),
    )


def classifierCard(classes, **values):
    """Entries of a classifier's card for writeModel."""
    return dict(
        dict(
            kind="classifier",
            network="likelihood",
            classes=list(classes),
            pixel_size=10.0,
            pixel_sizes=None,
            box=16,
            particle_diameter=120.0,
            minimum_distance=None,
            threshold_uncertainty=None,
            threshold=None,
            training={},
            validation=dict(accuracy=0.9),
        ),
        **values,
    )


def improverCard(**values):
    """Entries of a map improver's card for writeModel."""
    return dict(
        dict(
            kind="map_improver",
            network="fast",
            working_pixel_size=1.0,
            attention=True,
            resolutions=[3.0, 6.0],
            pixel_sizes=None,
            particle_diameter=None,
            minimum_distance=None,
            threshold_uncertainty=None,
            threshold=None,
            training=dict(
                maps=8,
                validation_maps=2,
                molecules=["1ABC.pdb", "2ABC.pdb"],
                simulated=4,
                validation_molecules=["3ABC.pdb"],
                steps=3,
                stop_reason="all steps were done",
            ),
            validation=dict(correlation=0.8, correlation_before=0.7, loss=0.2),
        ),
        **values,
    )
