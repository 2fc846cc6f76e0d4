# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: the loop, checkpoints, several processes, inference, shared networks."""
