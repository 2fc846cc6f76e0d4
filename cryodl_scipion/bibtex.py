# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion reads the references of protocols from the words of this module: references.bib has them. A DOI stands there
as an address: Scipion makes its links of this field as it is, and shows accents only as letters."""

import os

with open(os.path.join(os.path.dirname(__file__), "references.bib"), encoding="utf-8") as file:
    __doc__ = file.read()
