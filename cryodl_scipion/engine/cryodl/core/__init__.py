# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, arrays out: the mathematics that several wings share. No files, no configs."""
