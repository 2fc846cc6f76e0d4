# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand for real ones in tests."""

import stat


def writeProgram(path, text):
    """A script that can be run. path: Path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
