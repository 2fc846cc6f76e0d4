# SPDX-License-Identifier: GPL-3.0-or-later
"""The message after Ctrl-C: what is left on the disk, and how the same command continues."""

# A training (train-...) keeps a checkpoint at each validation; see checkpoints.py.
# What is finished is kept, item by item.
_ITEMS = {
    "pick": "micrograph",
    "pick-filaments": "micrograph",
    "pick-templates": "micrograph",
    "assess-micrographs": "micrograph",
    "estimate-ctf": "micrograph",
    "extract-particles": "micrograph",
    "denoise-micrographs": "micrograph",
    "denoise-tomograms": "tomogram",
    "segment": "tomogram",
    "merge-features": "tomogram",
    "pick-features": "tomogram",
    "measure-membranes": "tomogram",
    "detect-particles": "tomogram",
    "simulate-micrographs": "micrograph",
    "simulate-tomograms": "tomogram",
    "simulate-particles": "chunk",
    "simulate-subtomograms": "chunk",
    "assign-orientations": "chunk",
    "classify-subtomograms": "chunk",
    "cluster-subtomograms": "round",
    "classify-2d": "pass",
    "assess-integrity": "structure",
    "auto-pick": "round",
    "compare-maps-of-picks": "step",
}
_OTHERS = {
    "annotate": "what was saved is in the annotations.",
    "pick-by-hand": "every change is in the folder of coordinates.",
    "fit-heterogeneity": "the same command continues the method gaussian after its last round; the method linear "
    "begins anew.",
    "doctor": "it writes nothing.",
}


def stopped_sentence(command: str) -> str:
    """Sentence for a command that the user has stopped.

    Parameters
    ----------
    command : str
        Its name.

    Returns
    -------
    str
    """
    if command.startswith("train-"):
        tail = (
            "the same command continues after the last checkpoint, which is written at each validation; before the "
            "first one it starts again."
        )
    elif command in _ITEMS:
        tail = f"finished work is kept; the same command continues after the last finished {_ITEMS[command]}."
    else:
        tail = _OTHERS.get(command, "the output is not complete, and the same command begins anew.")
    return f"stopped by the user; {tail}"
