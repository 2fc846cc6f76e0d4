# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of protocols on tomograms share: two tomograms, labels, models, and runs."""

import numpy as np

from ..convert.tomograms.tomograms import markLabels
from ..protocols import CryodlProtMergeFeatures, CryodlProtPickFeatures, CryodlProtSegment
from .particle_sets import ParticlesTest, addTo
from .tomogram_sets import SHAPE, makeMasks, makeSegmenter, makeTomograms


class TomogramsTest(ParticlesTest):
    """Two tomograms, their labels (1 in the first slice, 2 in the second), and segmenters of two features."""

    @classmethod
    def prepare(cls):
        cls.tomograms = makeTomograms(cls)
        labels = np.zeros(SHAPE, np.int8)
        labels[0], labels[1] = 1, 2
        cls.labels = makeMasks(
            cls,
            cls.tomograms,
            dict(TS_01=labels, TS_02=labels),
            lambda masks: markLabels(masks, ["membrane", "ribosome"]),
        )
        cls.models = [makeSegmenter(cls, "membrane"), makeSegmenter(cls, "ribosome", threshold=0.45)]

    @classmethod
    def segmentation(cls, tomograms=None, models=None, **values):
        """A segmentation that has not run."""
        protocol = cls.makeProtocol(
            CryodlProtSegment,
            dict(inputTomograms=(tomograms or cls.tomograms, "outputTomograms")),
            **dict(dict(useGpu=False, streamingSleepOnWait=1), **values),
        )
        addTo(protocol.inputModels, cls.models if models is None else models, "outputModel")
        return protocol

    @classmethod
    def launch(cls, protocol):
        cls.proj.launchProtocol(protocol, wait=True)
        return protocol

    @classmethod
    def merging(cls, segmented, features=("membrane", "ribosome"), **values):
        protocol = cls.makeProtocol(CryodlProtMergeFeatures, None, **values)
        for feature in features:
            addTo(protocol.inputScores, [segmented], "scores_" + feature)
        return protocol

    @classmethod
    def picking(cls, source, output, **values):
        pointers = dict(values.pop("pointers", {}), inputMasks=(source, output))
        return cls.makeProtocol(CryodlProtPickFeatures, pointers, **values)
