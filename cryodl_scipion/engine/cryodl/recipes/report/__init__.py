# SPDX-License-Identifier: GPL-3.0-or-later
"""One page that says where a project stands."""
