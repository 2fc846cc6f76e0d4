# SPDX-License-Identifier: GPL-3.0-or-later
"""What a STAR file of particles says of the reference that gave its angles, and where the noise control lies."""

# columns of particles whose angles come from a reference: its file's name, and the finest detail (Å) that was compared
REFERENCE, COMPARED = "cryodlReference", "cryodlReferenceResolution"


def noise_name(output: str) -> str:
    """NAME_noise.star of NAME.star."""
    return f"{output[: -len('.star')]}_noise.star"
