# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several structures particles show, and how much of each."""
