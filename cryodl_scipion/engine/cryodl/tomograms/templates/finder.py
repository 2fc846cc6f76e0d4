# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of particles with a template."""

from __future__ import annotations

import typing

import torch

from ...contract import sha256
from ...core.names import numbers_by_name
from ...io.tomograms import Tomogram
from ..detectors.answer import SpeciesFound
from ..segmenters.working import WorkingTomogram, check_volume
from .search import TemplateSearch
from .template import Template, load_template


class TemplateFinder:
    """What detect-particles does with a template. config: DetectParticlesConfig. named: (name, path) of tomograms."""

    typical_pixel_size = None

    def __init__(self, config: typing.Any, named: typing.Sequence[tuple[str, str]], device: torch.device) -> None:
        from pathlib import Path

        from ...simulate.structures import structure_names

        if Path(config.template).is_dir():
            raise ValueError(f"The template {config.template} is a folder; a map (.mrc) or an atomic model is needed.")
        if not Path(config.template).is_file():
            raise FileNotFoundError(f"The template {config.template} does not exist.")
        self.config, self.device = config, device
        self.species = tuple(structure_names([config.template]))
        given = numbers_by_name(config.threshold, self.species, "Thresholds (--threshold)", 0, 1)
        self.threshold = given.get(self.species[0])
        if self.threshold is None and not config.control:
            raise ValueError(
                "The threshold for a template is determined in noise. Give a fraction of the tomogram for this "
                "control (--control), or a threshold (--threshold)."
            )
        self.identity = {"checksum of the template": sha256(config.template)}
        self.notes: list[str] = []
        self.angular_step: float | None = None
        self.orientations: int | None = None
        self._loaded: dict[float, tuple[Template, list[str]]] = {}
        self._first(named)

    def _first(self, named: typing.Sequence[tuple[str, str]]) -> None:
        """Load the template at the pixel size of the first tomogram that has one, so that what is wrong with it is
        told before the work."""
        from ...io.tomograms import working_pixel_size

        for _, path in named:
            try:
                pixel_size, _ = working_pixel_size(Tomogram(path), self.config.pixel_size)
            except (ValueError, FileNotFoundError):
                continue  # it is skipped with its reason when its turn comes
            template = self._template(pixel_size)
            self.notes += self._loaded[pixel_size][1]
            print(
                f"Template {template.name}: {template.diameter:.0f} Å wide, compared to {template.resolution:.3g} Å at "
                f"{template.pixel_size:.3g} Å/px in {len(template.angles)} orientations, {template.step:.3g}° apart."
            )
            return

    def _template(self, pixel_size: float) -> Template:
        if pixel_size not in self._loaded:
            self._loaded[pixel_size] = load_template(self.config, pixel_size)
        template = self._loaded[pixel_size][0]
        self.angular_step, self.orientations = template.step, len(template.angles)
        return template

    def search(self, name: str, tomogram: Tomogram, pixel_size: float) -> tuple[list[SpeciesFound], list[str]]:
        """SpeciesFound in a tomogram, and sentences for the user. Raises ValueError if it cannot be searched."""
        from tqdm import tqdm

        check_volume(tomogram)
        template = self._template(pixel_size)
        source = WorkingTomogram(tomogram, pixel_size, template.pixel_size)
        search = TemplateSearch(source, template, self.config, self.device, [self.config.seed, *name.encode()])
        with tqdm(total=search.work, unit="orientation", desc=name, mininterval=1.0) as bar:
            found = search.run(self.threshold, bar.update)
        notes = []
        if found.inverted:
            other = "bright" if self.config.contrast == "dark" else "dark"
            notes.append(
                f"In {name} the inverted template fits better: protein seems to be {other}. Try --contrast {other}."
            )
        one = SpeciesFound(
            template.name, found.zyx, found.scores, found.angles, found.threshold, found.expected, template.diameter
        )
        return [one], notes
