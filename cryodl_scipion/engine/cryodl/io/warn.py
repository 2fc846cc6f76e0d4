# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings that are said where they come up, before the work, which may be in vain; the command line says the others
of a Result at its end."""

_said = set()


def warn(sentence):
    """Print a warning that also stands in the Result."""
    _said.add(sentence)
    print(f"Warning: {sentence}", flush=True)


def begin():
    """Forget what an earlier command of this process said."""
    _said.clear()


def unsaid(sentences):
    """Those that were not said yet."""
    return [sentence for sentence in sentences if sentence not in _said]
