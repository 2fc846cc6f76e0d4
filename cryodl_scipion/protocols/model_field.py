# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields by which a protocol takes a model, from the project or one that comes with the plugin, and the size of box."""
import os

from pyworkflow.protocol import params

from .. import Plugin
from ..convert.models import shippedModels
from ..convert.picks import boxSizeFor
from ..engine.cryodl import contract
from .checks import checkModelFolder

FROM_PROJECT, SHIPPED = 0, 1
# The model for every particle; not all versions of the plugin bring it.
GENERAL = 'general'


def addModelParams(form, default=FROM_PROJECT):
    """Add modelFrom, inputModel and shippedModel to a form. default: FROM_PROJECT or SHIPPED."""
    names = list(shippedModels(Plugin.getEngineFolder()))
    form.addParam('modelFrom', params.EnumParam, default=default, label="Model",
                  choices=["trained or imported in this project", "shipped with the plugin"],
                  help="Where the trained network comes from: train one with *cryodl - train picker*, bring one with "
                       "*cryodl - import model*, or take one that comes with the plugin.")
    form.addParam('inputModel', params.PointerParam, pointerClass='CryodlModel', important=True,
                  condition='modelFrom == %d' % FROM_PROJECT, label="Trained model",
                  help="A model of this project: of a training, of *cryodl - auto-pick particles*, or imported.")
    # A text, not a list: positions in a list would change with the models of later versions.
    form.addParam('shippedModel', params.StringParam, default=firstModel(names), important=True,
                  condition='modelFrom == %d' % SHIPPED, label="Shipped model",
                  help="Name of the model; the wizard lists them. This version has: %s.%s" % (
                      ', '.join(names) or 'none',
                      " *general* is for particles of every kind and size." if GENERAL in names else ''))


def firstModel(names):
    """The shipped model that a new form has: the general one, where there is one."""
    return GENERAL if GENERAL in names else (list(names) or [''])[0]


def addBoxParam(form):
    form.addParam('boxSize', params.IntParam, default=None, allowsNull=True, label="Box size (px)",
                  help="Box of the coordinates, in pixels of the micrographs; extraction takes it as a suggestion."
                       "\n\nEmpty: 1.5 times the particle diameter, rounded to an even number.")


def checkModelField(protocol):
    """What is wrong with the chosen model. Sentences for the form."""
    name, known = (protocol.shippedModel.get() or '').strip(), shippedModels(Plugin.getEngineFolder())
    if protocol.modelFrom.get() == SHIPPED and name not in known:
        return ["Shipped model is %r, which there is not. Shipped models: %s." % (name, ', '.join(known) or 'none')]
    return checkModelFolder(modelFolder(protocol))


def checkSizeFields(protocol):
    """What is wrong with particle diameter and box, of a protocol whose model is whole."""
    if diameterOf(protocol) is None:
        return ["Particle diameter is missing. The model %s is for particles of every size, so give theirs; the wizard "
                "beside the field measures it on a micrograph." % cardOf(protocol)['name']]
    if protocol.boxSize.get() is not None and protocol.boxSize.get() < 2:
        return ["Box size (px) is %d; it must be at least 2. Leave it empty for 1.5 times the particle diameter."
                % protocol.boxSize.get()]
    return []


def modelFolder(protocol):
    """The folder that the fields name, '' if none is chosen. It need not exist."""
    if protocol.modelFrom.get() == FROM_PROJECT:
        model = protocol.inputModel.get()
        return '' if model is None else model.getFolder()
    name = (protocol.shippedModel.get() or '').strip()
    return os.path.join(Plugin.getEngineFolder(), 'cryodl', 'models', name) if name else ''


def cardOf(protocol):
    """The model's card; None if the model is gone, which must not hide what was picked with it."""
    try:
        return contract.read_card(modelFolder(protocol))
    except ValueError:
        return None


def diameterOf(protocol):
    """Å: the form's, else the model's. None without a model, and for a general model, which is for every size."""
    card = cardOf(protocol) or {}
    return protocol.particleDiameter.get() or (None if card.get('general') else card.get('particle_diameter'))


def boxSizeOf(protocol):
    """px: the form's, else what suits the particles."""
    return protocol.boxSize.get() or boxSizeFor(diameterOf(protocol), protocol.getInputMicrographs().getSamplingRate())
