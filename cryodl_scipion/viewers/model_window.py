# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's learning curve and card; live while it trains."""
import os
import tkinter as tk
from tkinter import ttk

from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg
from matplotlib.figure import Figure
from pyworkflow.viewer import View

from ..engine.cryodl import contract
from .plots import drawCurves, readMetrics

METRICS = 'metrics.csv'
REFRESH = 3000  # ms between two looks at a training that goes on
_NAMES_SHOWN = 12


def metricsPath(folder):
    """The metrics of a model folder, or of its unfinished training."""
    whole = os.path.join(folder, METRICS)
    return whole if os.path.exists(whole) else os.path.join(folder + '.partial', METRICS)


def cardLines(folder):
    """The card in words, one line each; what is not in it is left out."""
    if not os.path.exists(os.path.join(folder, contract.CARD)):
        return ["The model is not finished yet.", "The curves follow the training."]
    card = contract.read_card(folder)
    training, validation = card.get('training') or {}, card.get('validation') or {}
    facts = [("Name", card['name']), ("Kind", card['kind']), ("Network", card['network']),
             ("Particle diameter", _with(card.get('particle_diameter'), '%g Å')),
             ("Pixel sizes", _with(card.get('pixel_sizes'), '%s Å/px', lambda v: ', '.join('%g' % p for p in v))),
             ("Default threshold", _with(card.get('threshold'), '%.3f')), None,
             ("Particles", training.get('particles')), ("Background boxes", training.get('background_boxes')),
             ("Steps", training.get('steps')), ("Stopped because", training.get('stop_reason')),
             ("Time", _with(training.get('seconds'), '%.0f s')), ("Computed on", training.get('device')), None,
             ("Validation F1", _with(validation.get('f1'), '%.3f')),
             ("Precision", _with(validation.get('precision'), '%.3f')),
             ("Recall", _with(validation.get('recall'), '%.3f')),
             ("Average precision", _with(validation.get('average_precision'), '%.3f'))]
    lines = ['' if fact is None else '%-18s %s' % fact for fact in facts if fact is None or fact[1] is not None]
    lines += _names("Trained on", training.get('micrographs'))
    lines += _names("Validated on", training.get('validation_micrographs'))
    versions = card.get('versions') or {}
    return lines + ['', 'Made with ' + ', '.join('%s %s' % pair for pair in versions.items())]


def _with(value, form, convert=lambda value: value):
    return None if value is None else form % convert(value)


def _names(title, names):
    if not names:
        return []
    more = ['  and %d more' % (len(names) - _NAMES_SHOWN)] if len(names) > _NAMES_SHOWN else []
    return ['', '%s (%d):' % (title, len(names))] + ['  ' + n for n in names[:_NAMES_SHOWN]] + more


class ModelWindow:
    """folder: of the model, finished or not. parent: tk widget or None."""

    def __init__(self, parent, folder, title):
        self._own, self._folder = parent is None, folder
        self.root = tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)
        self._text = tk.Text(self.root, width=46, font='TkFixedFont', relief=tk.FLAT, padx=8, pady=8, wrap=tk.WORD)
        self._text.pack(side=tk.RIGHT, fill=tk.Y)
        frame = ttk.Frame(self.root)
        frame.pack(fill=tk.BOTH, expand=True)
        self._figure = Figure(figsize=(9.5, 4.8), facecolor='white')
        self._canvas = FigureCanvasTkAgg(self._figure, frame)
        self._canvas.get_tk_widget().pack(fill=tk.BOTH, expand=True)
        self.refresh()

    def refresh(self):
        """Draw what there is, and come back while the training goes on."""
        if not self.root.winfo_exists():
            return  # closed since the last look
        drawCurves(self._figure, readMetrics(metricsPath(self._folder)))
        self._canvas.draw_idle()
        self._text.config(state=tk.NORMAL)
        self._text.delete('1.0', tk.END)
        self._text.insert(tk.END, '\n'.join(cardLines(self._folder)))
        self._text.config(state=tk.DISABLED)
        if not os.path.exists(os.path.join(self._folder, contract.CARD)):
            self.root.after(REFRESH, self.refresh)

    def show(self):
        if self._own:
            self.root.mainloop()


class ModelView(View):
    """See ModelWindow."""

    def __init__(self, parent, folder, title):
        self._arguments = parent, folder, title

    def show(self):
        ModelWindow(*self._arguments).show()
