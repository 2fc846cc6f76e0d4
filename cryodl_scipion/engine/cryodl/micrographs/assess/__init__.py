# SPDX-License-Identifier: GPL-3.0-or-later
"""Ice, contamination, carbon and other metrics of micrographs."""
