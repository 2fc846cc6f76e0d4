# SPDX-License-Identifier: GPL-3.0-or-later
"""Between Scipion's sets and the engine's files; sets are iterated here and nowhere else."""
