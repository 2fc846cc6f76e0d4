# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion reads the references of protocols from the words of this module: references.bib has them. A DOI stands there
as an address: Scipion makes its links of this field as it is, and shows accents only as letters."""

from pathlib import Path

__doc__ = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
