# SPDX-License-Identifier: GPL-3.0-or-later
"""Classifiers of subtomograms: one method per file, and its row in contract/networks.py."""

import functools
import os

import torch

from ...io.model import find_model, read_model
from ...learning.task import method_of
from .run import Classifier

classifier_method = functools.partial(method_of, "classifier")
