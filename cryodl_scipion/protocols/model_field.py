# SPDX-License-Identifier: GPL-3.0-or-later
"""The two fields by which a protocol takes a model: from the project, or one that comes with the plugin."""
import os

from pyworkflow.protocol import params

from .. import Plugin
from ..convert.models import shippedModels
from .checks import checkModelFolder

FROM_PROJECT, SHIPPED = 0, 1


def addModelParams(form):
    """Add modelFrom, inputModel and shippedModel to a form."""
    names = list(shippedModels(Plugin.getEngineFolder()))
    form.addParam('modelFrom', params.EnumParam, default=FROM_PROJECT, label="Model",
                  choices=["trained or imported in this project", "shipped with the plugin"],
                  help="Where the trained network comes from: train one with *cryodl - train picker*, bring one with "
                       "*cryodl - import model*, or take one that comes with the plugin.")
    form.addParam('inputModel', params.PointerParam, pointerClass='CryodlModel', important=True,
                  condition='modelFrom == %d' % FROM_PROJECT, label="Trained model",
                  help="A model of *cryodl - train picker* or *cryodl - import model*.")
    # A text, not a list: positions in a list would change with the models of later versions.
    form.addParam('shippedModel', params.StringParam, default=names[0] if names else '', important=True,
                  condition='modelFrom == %d' % SHIPPED, label="Shipped model",
                  help="Name of the model; the wizard lists them. This version has: %s." % (', '.join(names) or 'none'))


def checkModelField(protocol):
    """What is wrong with the chosen model. Sentences for the form."""
    name, known = (protocol.shippedModel.get() or '').strip(), shippedModels(Plugin.getEngineFolder())
    if protocol.modelFrom.get() == SHIPPED and name not in known:
        return ["Shipped model is %r, which there is not. Shipped models: %s." % (name, ', '.join(known) or 'none')]
    return checkModelFolder(modelFolder(protocol))


def modelFolder(protocol):
    """The folder that the fields name, '' if none is chosen. It need not exist."""
    if protocol.modelFrom.get() == FROM_PROJECT:
        model = protocol.inputModel.get()
        return '' if model is None else model.getFolder()
    name = (protocol.shippedModel.get() or '').strip()
    return os.path.join(Plugin.getEngineFolder(), 'cryodl', 'models', name) if name else ''
