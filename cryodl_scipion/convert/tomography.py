# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Scipion's tomography is here: scipion-em-tomo, whose objects the protocols on tomograms take and give.

Without it the plugin loads as ever, and those protocols, their viewers and wizards are left out: `if HAS_TOMO:` stands
before their imports in the __init__.py of protocols, viewers and wizards. The tree leaves them out by itself."""

import importlib.util
import logging


def _hasTomo() -> bool:
    if importlib.util.find_spec("tomo") is None:
        return False
    try:
        import tomo.objects  # noqa: F401
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "cryodl's tomogram protocols are not available: the plugin scipion-em-tomo is installed, but cannot be "
            "imported (%s).",
            error,
        )
        return False
    return True


HAS_TOMO = _hasTomo()
