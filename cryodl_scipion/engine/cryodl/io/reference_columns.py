# SPDX-License-Identifier: GPL-3.0-or-later
"""What a STAR file of particles says of the reference that gave its angles, and where the noise control lies."""

# columns of particles whose angles come from a reference: its file's name, the beginning of the SHA-256 of its content,
# and the finest detail (Å) that was compared
REFERENCE, DIGEST, COMPARED = "cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution"
DIGITS = 12  # of the SHA-256
NOISE = "_noise"  # what the name of the noise control has more than that of the particles


def noise_name(output: str) -> str:
    """NAME_noise.star of NAME.star.

    Parameters
    ----------
    output : str
        NAME.star.

    Returns
    -------
    str
    """
    return f"{output[: -len('.star')]}{NOISE}.star"
