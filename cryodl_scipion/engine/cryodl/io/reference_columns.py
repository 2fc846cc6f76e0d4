# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of a particle STAR file that record the reference its angles come from, and the names of the control
files."""

# columns of particles whose angles come from a reference: its file's name, the beginning of the SHA-256 of its content,
# and the finest detail (Å) that was compared
REFERENCE, DIGEST, COMPARED = "cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution"
DIGITS = 12  # of the SHA-256
NOISE = "_noise"  # what the name of the noise control has more than that of the particles
SUBSTITUTED = "_substituted"  # ... and that of the particles whose fine detail was replaced by noise
BEYOND = "cryodlNoiseSubstitution"  # their column: Å, detail finer than that is noise


def control_name(output: str, kind: str = NOISE) -> str:
    """NAME_noise.star of NAME.star.

    Parameters
    ----------
    output : str
        NAME.star.
    kind : str
        NOISE or SUBSTITUTED.
    """
    return f"{output[: -len('.star')]}{kind}.star"
