# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that stands for CTFFIND 5 in tests: it asks what CTFFIND asks, and writes CTFFIND's three files.

The number in the micrograph's name decides: mic_002 has 12000 Å, mic_009 cannot be fitted (CTFFIND writes nan). An
answer that CTFFIND would not take, or one too many, ends it with an error.
"""

import sys
from pathlib import Path

import mrcfile
import numpy as np

VERSION = "5.0.2"
_COLUMNS = (
    "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; #5 - "
    "additional phase shift [radians]; #6 - cross correlation; #7 - spacing (in Angstroms) up to which CTF rings were "
    "fit successfully; #8 - Estimated tilt axis angle; #9 - Estimated tilt angle ; #10 Estimated sample thickness (in "
    "Angstroms)\n"
)
_LINES = (
    "# 6 lines per micrograph: #1 - spatial frequency (1/Angstroms); #2 - 1D rotational average of spectrum (assuming "
    "no astigmatism); #3 - 1D rotational average of spectrum; #4 - CTF fit; #5 - cross-correlation between spectrum "
    "and CTF fit; #6 - 2sigma of expected cross correlation of noise\n"
)
_FREQUENCIES = 362  # of the profiles, to the corner of a spectrum of 512 px


class _Answers:
    """The lines of standard input, each an answer to the next question."""

    def __init__(self, lines):
        self._lines = list(lines)

    def text(self, question):
        if not self._lines:
            sys.exit(f"Error: no answer to '{question}'")
        return self._lines.pop(0).strip()

    def number(self, question, kind=float):
        answer = self.text(question)
        try:
            return kind(answer)
        except ValueError:
            sys.exit(f"Error: '{answer}' is no answer to '{question}'")

    def yes(self, question):
        answer = self.text(question)
        if answer.lower() not in ("yes", "no"):
            sys.exit(f"Error: '{answer}' is no answer to '{question}'")
        return answer.lower() == "yes"

    def end(self):
        if any(line.strip() for line in self._lines):
            sys.exit(f"Error: no question is left for {self._lines}")


def asked(lines):
    """{name: answer} of CTFFIND's questions, in its order, for a micrograph that is no movie."""
    answers = _Answers(lines)
    found = dict(input=answers.text("Input image file name"), output=answers.text("Output diagnostic image file name"))
    for name in ("pixel", "voltage", "cs", "contrast"):
        found[name] = answers.number(name)
    found["box"] = answers.number("Size of amplitude spectrum to compute", int)
    for name in ("lowest", "highest", "minimum", "maximum", "step"):
        found[name] = answers.number(name)
    if answers.yes("Do you know what astigmatism is present?"):
        sys.exit("Error: this program knows no astigmatism")
    answers.yes("Slower, more exhaustive search?")
    if answers.yes("Use a restraint on astigmatism?"):
        answers.number("Expected (tolerated) astigmatism")
    found["shift"] = answers.yes("Find additional phase shift?")
    for name in ("least", "most", "step") if found["shift"] else ():
        answers.number(f"{name} phase shift")
    for question in ("Determine sample tilt?", "Determine sample thickness?", "Do you want to set expert options?"):
        if answers.yes(question):
            sys.exit(f"Error: this program was not made for '{question}' yes")
    answers.end()
    return found


def main():
    """Read the answers and the micrograph, and write spectrum, text and profiles."""
    values = asked(sys.stdin.read().splitlines())
    with mrcfile.open(values["input"]) as mrc:
        side = min(mrc.data.shape[-2:] + (values["box"],))
        image = np.asarray(mrc.data[:side, :side], np.float32)
    spectrum = np.zeros((values["box"],) * 2, np.float32)
    spectrum[:side, :side] = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))))
    with mrcfile.new(values["output"], overwrite=True) as mrc:
        mrc.set_data(spectrum)
        mrc.voxel_size = values["pixel"]

    number = int("".join(c for c in Path(values["input"]).stem if c.isdigit()) or 1)
    defocus = float(np.clip(10000.0 + 1000 * number, values["minimum"] + 200, values["maximum"]))
    row = [1.0, defocus, defocus - 200, 30.0, 0.0, 0.2, 2.5 * values["pixel"], 0.0, 0.0, 0.0]
    if number == 9:
        row[1:4] = [np.nan] * 3
    head = (
        f"# Output from CTFFind version {VERSION}, run on 2025-02-13 21:14:21\n"
        f"# Input file: {values['input']} ; Number of micrographs: 1\n"
        f"# Pixel size: {values['pixel']:.3f} Angstroms ; acceleration voltage: {values['voltage']:.1f} keV ; "
        f"spherical aberration: {values['cs']:.2f} mm ; amplitude contrast: {values['contrast']:.2f}\n"
        f"# Box size: {values['box']} pixels ; min. res.: {values['lowest']:.1f} Angstroms ; max. res.: "
        f"{values['highest']:.1f} Angstroms ; min. def.: {values['minimum']:.1f} um; max. def. "
        f"{values['maximum']:.1f} um\n"
    )
    stem = values["output"].rsplit(".", 1)[0]
    Path(stem + ".txt").write_text(head + _COLUMNS + " ".join(f"{value:f}" for value in row) + "\n")
    frequency = np.linspace(0, 0.7071, _FREQUENCIES)
    ctf = np.abs(np.sin(np.pi * 0.0197 * defocus * (frequency / values["pixel"]) ** 2))
    profiles = [frequency, ctf, ctf, ctf, np.exp(-frequency), np.full(_FREQUENCIES, 0.1)]
    lines = "".join(" ".join(f"{value:f}" for value in line) + "\n" for line in profiles)
    Path(stem + "_avrot.txt").write_text(head + _LINES + lines)


if __name__ == "__main__":
    main()
