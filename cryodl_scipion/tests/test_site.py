# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site, as a reader without a network sees it: `bash scripts/docs` builds it."""

import glob
import html
import html.parser
import os
import re
import shutil
import subprocess

import pytest
from pyworkflow.protocol.params import Group, LabelParam

import cryodl_scipion
from cryodl_scipion import protocols

TOP = os.path.dirname(os.path.dirname(os.path.abspath(cryodl_scipion.__file__)))
SITE = os.path.join(TOP, ".cryodl", "site")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
built = pytest.mark.skipif(not os.path.exists(os.path.join(SITE, "index.html")), reason="needs the site: scripts/docs")
browser = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
WIDTHS = {"desktop": 1280, "phone": 390}


def ourProtocols():
    return [c for c in vars(protocols).values() if isinstance(c, type) and "_label" in vars(c)]


class Article(html.parser.HTMLParser):
    """The paragraphs of a page's article, which is what lies between menu and footer."""

    def __init__(self, text):
        super().__init__()
        self.paragraphs, self._inside = [], False
        self.feed(text[text.index("<article") : text.index("</article>")])

    def handle_starttag(self, tag, attributes):
        self._inside = tag == "p"
        if self._inside:
            self.paragraphs.append("")

    def handle_data(self, data):
        if self._inside:
            self.paragraphs[-1] += data


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def rendered(address, width=1280):
    """The page as Chromium made it, without any network."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=10000 --dump-dom"
    done = subprocess.run(
        [CHROMIUM, *flags.split(), "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},900", address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@built
def test_the_page_of_each_protocol_lists_every_field_of_its_form():
    for protocolClass in ourProtocols():
        page = protocolClass.__module__.rsplit(".", 1)[-1] + ".html"
        items = re.findall(r"<li>(?:<p>)?<strong>(.*?)</strong>", read(os.path.join(SITE, page)))
        listed = [html.unescape(item) for item in items]
        for section in protocolClass().getDefinition().iterSections():
            if section.getLabel() not in ("General", "Parallelization"):
                for name, param in section.iterParams():
                    label = param.label.get()
                    grouped = isinstance(param, (Group, LabelParam))
                    assert grouped or not label or label in listed, f"{page}: {name}; bash scripts/docs builds it anew"


@built
def test_no_list_is_a_paragraph_and_nothing_is_loaded_from_elsewhere():
    pages = glob.glob(os.path.join(SITE, "**", "*.html"), recursive=True)
    assert len(pages) > 50
    for page in pages:
        text = read(page)
        assert not [p for p in Article(text).paragraphs if re.search(r"\n\s*[-*] ", p)], page
        assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//", text), page


@built
def test_the_sections_of_the_menu_are_closed_on_the_first_page():
    toggles = re.findall(r"<input class=\"md-nav__toggle[^>]*>", read(os.path.join(SITE, "index.html")))
    assert len(toggles) > 5 and not [t for t in toggles if "checked" in t and "__toc" not in t]
    assert "md-nav__item--section" not in read(os.path.join(SITE, "index.html"))


@built
@browser
@pytest.mark.slow
@pytest.mark.parametrize("screen", WIDTHS)
@pytest.mark.parametrize("word, page", [("Dynamo", "in_and_out.html"), ("streaming", "facility.html")])
def test_a_word_is_found_without_a_server_and_without_a_network(word, page, screen):
    found = rendered(f"file://{SITE}/index.html?q={word}", WIDTHS[screen])
    results = found[found.index("md-search-result__list") :]
    assert re.search(r"\d+ matching documents", found) and page in results


@built
@browser
@pytest.mark.slow
@pytest.mark.parametrize("screen", WIDTHS)
@pytest.mark.parametrize("page", ["index", "protocol_pick", "bench_particles", "reference/micrographs"])
def test_a_page_fits_its_screen_and_shows_its_pictures(page, screen, tmp_path):
    """Measured in the page itself, by a script added to a copy of it."""
    measured = """<script>addEventListener("load", () => setTimeout(() => {
      const lost = [...document.images].filter((i) => i.complete && !i.naturalWidth).length;
      const data = document.documentElement.dataset;
      [data.lost, data.wide] = [lost, document.documentElement.scrollWidth - innerWidth];
    }, 500));</script></body>"""
    base = f'<head><base href="file://{os.path.dirname(os.path.join(SITE, page))}/">'
    copy = tmp_path / "page.html"
    copy.write_text(read(os.path.join(SITE, page + ".html")).replace("<head>", base, 1).replace("</body>", measured))
    found = rendered(f"file://{copy}", WIDTHS[screen])
    assert 'data-lost="0"' in found
    assert int(re.search(r'data-wide="(-?\d+)"', found)[1]) <= 0
