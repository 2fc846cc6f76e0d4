# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in sentences."""


def counted(number, noun, nouns=None):
    """'1 tomogram', '2 tomograms', '0 tomograms'. nouns: the plural where it takes more than an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"
