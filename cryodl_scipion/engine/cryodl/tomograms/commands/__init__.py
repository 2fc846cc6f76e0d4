# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per command on tomograms; its run(config) does it."""
