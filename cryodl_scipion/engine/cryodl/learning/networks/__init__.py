# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of networks that several wings share."""
