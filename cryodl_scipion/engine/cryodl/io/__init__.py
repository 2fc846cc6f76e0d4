# SPDX-License-Identifier: GPL-3.0-or-later
"""File formats, and what else touches files."""
