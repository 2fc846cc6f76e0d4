# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to cite."""

from typing import List, Optional

from ..engine.cryodl.contract import network_citations


def citationsOf(network: Optional[str]) -> List[str]:
    """Keys of the bibliography for work with a picker or denoiser, whose names differ; network: its name, or None if no
    model is known yet."""
    return ["cryodl"] + list(network_citations("picker", network) or network_citations("denoiser", network))
