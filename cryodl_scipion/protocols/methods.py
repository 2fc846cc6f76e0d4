# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done, in sentences for the methods of a paper, and counted nouns."""
from ..convert.picks import counted
from ..engine.cryodl import __version__

_NETWORKS = {'unet': 'a U-Net'}


def pickingInWords(coordinates, results, card):
    """Methods of a picking run. results: the contract's Results of `pick`; card: the model's, or None if it is gone."""
    counts = {name for r in results for name in r.outputs.get('counts', {})}
    text = "%s were picked on %s with cryodl %s" % (
        counted(coordinates.getSize(), 'particle'), counted(len(counts), 'micrograph'), _version(results))
    if card:
        text += ", by the model %s (%s%s)" % (card['name'], _network(card), _learned(card))
    thresholds = sorted({r.outputs['threshold'] for r in results if 'threshold' in r.outputs})
    if thresholds:
        text += ", at a score threshold of %s" % ' and '.join('%.3f' % t for t in thresholds)
    return text + '.'


def trainingInWords(card):
    """Methods of a training run. card: of its model."""
    training, validation = card.get('training') or {}, card.get('validation') or {}
    text = "The model %s for particles of %g Å, %s, was%s with cryodl %s" % (
        card['name'], card['particle_diameter'], _network(card), _learned(card).lstrip(',') or ' trained',
        (card.get('versions') or {}).get('cryodl', __version__))
    if training:
        text += " in %s" % counted(training['steps'], 'step')
    if validation:
        text += "; on %s kept for validation its F1 was %.3f and its average precision %.3f, at a score threshold of %.3f" % (
            counted(len(training.get('validation_micrographs', ())), 'micrograph'), validation['f1'],
            validation['average_precision'], card['threshold'])
    return text + '.'


def _learned(card):
    training = card.get('training')
    return ", trained on %s of %s" % (counted(training['particles'], 'particle'),
                                      counted(len(training['micrographs']), 'micrograph')) if training else ''


def _network(card):
    return _NETWORKS.get(card['network'], 'the network %s' % card['network'])


def _version(results):
    """The cryodl that picked, which an update may have replaced since."""
    return ', '.join(sorted({r.versions['cryodl'] for r in results if 'cryodl' in r.versions})) or __version__
