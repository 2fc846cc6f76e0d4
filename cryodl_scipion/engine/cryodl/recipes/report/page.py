# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: one HTML file with its pictures in it. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
import datetime
import html
import typing

from .pictures import Picture
from .runs import FoundRun

MARK = "<!-- cryodl report -->"  # by which a report is known that may be replaced
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 1080px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; }
h2 { font-size: 1.15em; margin: 1.8em 0 .5em; border-bottom: 1px solid #d8dde3; }
.when { color: #5b6875; margin-top: .2em; }
.numbers { display: flex; flex-wrap: wrap; gap: .8em; } .numbers div { border: 1px solid #d8dde3; border-radius: 6px;
  padding: .5em .9em; } .numbers b { display: block; font-size: 1.35em; }
.alarms { background: #fdeeee; border-left: 5px solid #b8321f; padding: .6em 1em; } .calm { background: #eef7ef;
  border-left: 5px solid #2f8f46; padding: .6em 1em; } .warnings { background: #fff8e6; border-left: 5px solid #d8a01f;
  padding: .6em 1em; }
ul { margin: .2em 0; padding-left: 1.2em; } li { overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; } figure { margin: 0; } figcaption { color: #5b6875; font-size: .9em; }
.shown { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .25em .6em;
  border-bottom: 1px solid #e4e8ec; }
td:last-child { overflow-wrap: anywhere; } .summary { width: 55%; } .status, .failed { white-space: nowrap; }
.failed { color: #b8321f; font-weight: 600; }
pre { white-space: pre-wrap; background: #f5f7f9; padding: .6em; font-size: .85em; }
"""


_STATUS = 1  # column of the table of runs


class Content(typing.NamedTuple):
    """What the page shows.

    title, source: texts. numbers: [(what, how many)]. alarms, warnings, malformed: sentences. pictures: {section:
    [Picture]}. methods: [(run's label, sentences)]. parameters: [(command, JSON)]. versions: {name: version}.
    """

    title: str
    source: str
    runs: typing.Sequence[FoundRun]
    numbers: list[tuple[str, str]]
    alarms: list[str]
    warnings: list[str]
    malformed: list[str]
    pictures: dict[str, list[Picture]]
    methods: list[tuple[str, list[str]]]
    parameters: list[tuple[str, str]]
    versions: dict[str, str]
    refresh: int


def page_of(content: Content, now: datetime.datetime) -> str:
    """The whole page as text. now: when it is written."""
    working = any(run.works for run in content.runs)
    refresh = f'<meta http-equiv="refresh" content="{content.refresh}">' if content.refresh and working else ""
    state = "runs are active" if working else "no run is active"
    parts = [
        f"<h1>{_e(content.title)}</h1>",
        f'<p class="when">{_e(content.source)}, {now:%Y-%m-%d %H:%M:%S}; {state}.</p>',
        _numbers(content.numbers),
        _alarms(content),
    ]
    parts += [_section(title, _shown(pictures)) for title, pictures in content.pictures.items() if pictures]
    parts.append(_section("Runs", _runs(content.runs)))
    if content.methods:
        parts.append(_section("Methods", "".join(_methods(*method) for method in content.methods)))
    if content.parameters:
        parts.append(_section("Parameters", "".join(_details(*pair) for pair in content.parameters)))
    parts.append(_section("Versions", _rows(sorted(content.versions.items()))))
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en"><head><meta charset="utf-8">{refresh}'
        f"<title>{_e(content.title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _e(text: object) -> str:
    """A text as HTML; what is no letter of any file, such as half of a pair, is replaced."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"), quote=True)


def _section(title: str, inner: str) -> str:
    return f"<h2>{_e(title)}</h2>\n{inner}"


def _numbers(numbers: list[tuple[str, str]]) -> str:
    boxes = "".join(f"<div><b>{_e(value)}</b>{_e(title)}</div>" for title, value in numbers)
    return f'<div class="numbers">{boxes}</div>' if boxes else "<p>There are no results yet.</p>"


def _alarms(content: Content) -> str:
    parts = []
    if content.alarms:
        parts.append(f'<h2>Alarms</h2><div class="alarms" id="alarms">{_list(content.alarms)}</div>')
    else:
        parts.append('<h2>Alarms</h2><div class="calm" id="alarms">None.</div>')
    for title, sentences in (("Warnings", content.warnings), ("Files that cannot be read", content.malformed)):
        if sentences:
            parts.append(f'<h2>{title}</h2><div class="warnings">{_list(sentences)}</div>')
    return "\n".join(parts)


def _list(sentences: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{_e(sentence)}</li>" for sentence in sentences) + "</ul>"


def _shown(pictures: list[Picture]) -> str:
    figures = [
        f'<figure><img alt="{_e(p.title)}" src="data:image/png;base64,{base64.b64encode(p.png).decode("ascii")}">'
        f"<figcaption>{_e(': '.join(text for text in (p.title, p.words) if text))}</figcaption></figure>"
        for p in pictures
    ]
    return figures[0] if len(figures) == 1 else f'<div class="shown">{"".join(figures)}</div>'


def _runs(runs: typing.Sequence[FoundRun]) -> str:
    rows, classes = [], []
    for run in runs:
        commands = ", ".join(dict.fromkeys(finished.result.command for finished in run.results))
        last = max((finished.time for finished in run.results), default=None)
        when = "" if last is None else f"{datetime.datetime.fromtimestamp(last):%Y-%m-%d %H:%M:%S}"
        summary = "<br>".join(_e(line.replace("*", "")) for line in run.summary)
        css = "failed" if run.status in ("failed", "aborted") else "status"
        devices = ", ".join(dict.fromkeys(f.result.device for f in run.results if f.result.device))
        rows.append([_e(run.label), _e(run.status), _e(commands), when, _e(devices), summary])
        classes.append(css)
    titles = ("run", "status", "command", "last result", "computed on", "summary")
    shown = [k for k, column in enumerate(zip(titles, *rows)) if any(column[1:])]  # empty columns are left out
    head = "".join(f"<th>{titles[k]}</th>" for k in shown)
    lines = [
        "".join(f'<td class="{css if k == _STATUS else titles[k]}">{row[k]}</td>' for k in shown)
        for row, css in zip(rows, classes)
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _methods(label: str, sentences: list[str]) -> str:
    return f"<p><b>{_e(label)}.</b> {_e(' '.join(sentences))}</p>"


def _details(command: str, parameters: str) -> str:
    return f"<details><summary>{_e(command)}</summary><pre>{_e(parameters)}</pre></details>"


def _rows(pairs: list[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{_e(name)}</td><td>{_e(value)}</td></tr>" for name, value in pairs)
    return f"<table>{rows}</table>"
