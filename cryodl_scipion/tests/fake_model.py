# SPDX-License-Identifier: GPL-3.0-or-later
"""A model folder that is whole by its card, without a network."""
import hashlib
import json
import os


def writeModel(folder, values):
    """A model folder; `values` replace entries of the card; None takes one away."""
    os.makedirs(folder, exist_ok=True)
    weights = b'not a network'
    with open(os.path.join(folder, 'weights.safetensors'), 'wb') as file:
        file.write(weights)
    card = dict(format_version=2, kind='picker', name='fake', network='unet', particle_diameter=120.0,
                pixel_sizes=[3.0], threshold=0.4,
                threshold_uncertainty=0.02, minimum_distance=0.5,
                weights_sha256=hashlib.sha256(weights).hexdigest(),
                versions={'cryodl': '0'}, training={},
                validation=dict(f1=0.9, precision=0.9, recall=0.9, average_precision=0.95, threshold=0.4))
    with open(os.path.join(folder, 'card.json'), 'w') as file:
        json.dump({key: value for key, value in dict(card, **values).items() if value is not None}, file)
    return folder


def denoiserCard(**values):
    """Entries of a denoiser's card for writeModel."""
    pickers = ('pixel_sizes', 'threshold', 'threshold_uncertainty', 'minimum_distance')
    return dict(dict.fromkeys(pickers), **dict(
        dict(kind='denoiser', network='swinconv', pixel_size=4.0, box=32, particle_diameter=90.0,
             structures=['map.mrc'],
             scales=[1.0], ctf='wiener', contrast='bright', training_particles=[], training={},
             validation={}), **values))
