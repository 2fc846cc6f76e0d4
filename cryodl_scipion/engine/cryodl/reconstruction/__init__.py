# SPDX-License-Identifier: GPL-3.0-or-later
"""Back-projection and half-maps."""
