# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a process with a display: what the box beside a slider does with wrong numbers. Prints what it finds."""

from ..viewers.micrograph_window import MicrographWindow, Pictures


def main():
    accepted = []
    window = MicrographWindow(
        None, Pictures([]), "Box", dict(from_=0, to=1, resolution=0.0001, label="Score"), 0.5, accept=accepted.append
    )
    for typed in ("abc", "1.5", "", "nan", "0,3", "0.25"):
        window._typed.set(typed)
        taken = window.settle()
        print(f"{typed!r} taken={taken} value={window.value.get():g} message={window.message.get()}")
    window._typed.set("2")
    window.use()
    window.use()
    print(f"accepted {accepted}")


if __name__ == "__main__":
    main()
