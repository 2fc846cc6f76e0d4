# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that improve maps: one class each, and its row in contract/networks.py."""

import functools

from ...learning.task import method_of

improver_method = functools.partial(method_of, "map_improver")
