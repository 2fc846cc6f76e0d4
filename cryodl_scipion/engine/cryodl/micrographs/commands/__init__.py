# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per command on micrographs; its run(config) does it."""
