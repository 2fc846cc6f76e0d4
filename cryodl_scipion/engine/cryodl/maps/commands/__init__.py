# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per command on maps; its run(config) does it."""
