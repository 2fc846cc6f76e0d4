# SPDX-License-Identifier: GPL-3.0-or-later
"""Which composition of a complex a particle shows."""
