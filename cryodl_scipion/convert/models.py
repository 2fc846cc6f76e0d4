# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders as the engine writes them: card.json and weights.safetensors. Standard library only."""
import hashlib
import json
import os
import shutil

CARD = 'card.json'
WEIGHTS = 'weights.safetensors'
FORMAT_VERSION = 1
# What every card says; a picker's card says more.
_COMMON = {'format_version': int, 'kind': str, 'name': str, 'network': str, 'weights_sha256': str}
_PICKER = {'particle_diameter': (int, float), 'pixel_sizes': list, 'threshold': (int, float)}


def readCard(folder):
    """The card of a model folder, a dict.

    Raises ValueError that says what is not right with the folder and what to do.
    """
    path = os.path.join(folder, CARD)
    if not os.path.isdir(folder):
        raise ValueError("There is no model folder %s. Choose the folder that holds %s and %s."
                         % (folder, CARD, WEIGHTS))
    if not os.path.isfile(path):
        raise ValueError("%s is not a model of cryodl: it has no %s. Choose the folder that holds %s and %s."
                         % (folder, CARD, CARD, WEIGHTS))
    try:
        with open(path, encoding='utf-8') as file:
            card = json.load(file)
    except ValueError as error:
        raise ValueError("%s is damaged: it is not valid JSON (%s). Take the model from its source again."
                         % (path, error)) from None
    _checkCard(path, card)
    return card


def _checkCard(path, card):
    if not isinstance(card, dict) or card.get('format_version') != FORMAT_VERSION:
        found = card.get('format_version') if isinstance(card, dict) else None
        raise ValueError("%s has format version %s; this version of cryodl reads version %d. Train the model again, "
                         "or use the version of cryodl that made it (its card says which)."
                         % (path, found, FORMAT_VERSION))
    wanted = dict(_COMMON, **(_PICKER if card.get('kind') == 'picker' else {}))
    wrong = sorted(key for key, kind in wanted.items() if not isinstance(card.get(key), kind))
    if wrong:
        raise ValueError("%s is damaged: %s missing or of another type. Take the model from its source again."
                         % (path, ', '.join(wrong)))


def checkModel(folder):
    """The card of a whole and undamaged model folder. Raises ValueError as readCard, and for wrong weights."""
    card = readCard(folder)
    weights = os.path.join(folder, WEIGHTS)
    if not os.path.isfile(weights):
        raise ValueError("The model %s has no %s. Copy the whole folder." % (folder, WEIGHTS))
    if sha256(weights) != card['weights_sha256']:
        raise ValueError("%s is damaged: its checksum is not the one in %s. Take the model from its source again."
                         % (weights, CARD))
    return card


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def copyModel(source, target):
    """Copy a checked model folder, whole or not at all; the copy is checked as well.

    Raises FileExistsError if `target` is there, ValueError if the model is not whole, OSError as shutil.
    """
    if os.path.exists(target):
        raise FileExistsError("%s exists already and is not replaced. Choose another folder or remove it." % target)
    checkModel(source)
    partial = '%s.%d.partial' % (target, os.getpid())
    try:
        shutil.copytree(source, partial)
        checkModel(partial)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def shippedModels(engineFolder):
    """{name: folder} of the models that come with the plugin, in alphabetical order."""
    models = os.path.join(engineFolder, 'cryodl', 'models')
    names = sorted(os.listdir(models)) if os.path.isdir(models) else []
    return {n: os.path.join(models, n) for n in names if os.path.isfile(os.path.join(models, n, CARD))}
