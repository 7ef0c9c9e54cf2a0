"""The page as one string: sections in order, style and script inside, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources

import aixmeg
from aixmeg.report.corpus import corpus
from aixmeg.report.curves import training
from aixmeg.report.dataset import dataset, tokenizer
from aixmeg.report.infills import infills
from aixmeg.report.load import Run, Tree
from aixmeg.report.markup import Html, join, tag
from aixmeg.report.overview import sentence, summary
from aixmeg.report.settings import settings
from aixmeg.report.troubles import troubles

_CONTENTS = {
    "training": "Training",
    "troubles": "Failures",
    "infills": "Infills",
    "corpus": "Corpus",
    "tokenizer": "Tokenizer",
    "dataset": "Dataset",
    "settings": "Configuration",
}


def render(run: Run, *, written: datetime, completion: Tree | None = None) -> str:
    """The whole document; the same arguments give the same text.

    Args:
        run: what was read.
        written: time shown in the footer.
        completion: an infill to show first, as an entry of infills.json.
    """
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        _head(run),
        tag(
            "main", summary(run), training(run), troubles(run), infills(run, completion), corpus(run), tokenizer(run),
            dataset(run), settings(run), id="content",
        ),
        tag("footer", f"Written {written:%Y-%m-%d %H:%M} by aixmeg {aixmeg.__version__}. This file needs no network."),
        tag("script", _asset("script.js")),
    )  # fmt: skip
    return "<!DOCTYPE html>\n" + tag("html", _metadata(f"{run.name}: aixmeg run report"), body, lang="en") + "\n"


def render_sections(
    title: str, sections: Sequence[Html], *, written: datetime, contents: Mapping[str, str] | None = None
) -> str:
    """A page of some sections, with the same style and the same guard against what file names may hold.

    Args:
        title: also its heading.
        sections: in order.
        written: time shown in the footer.
        contents: id of a section → its name in the navigation; None makes none.
    """
    body = tag(
        "body",
        tag("header", tag("h1", title), _navigation(contents) if contents else None, class_="top"),
        tag("main", *sections, id="content"),
        tag("footer", f"Written {written:%Y-%m-%d %H:%M} by aixmeg {aixmeg.__version__}. This file needs no network."),
        tag("script", _asset("script.js")),
    )
    return "<!DOCTYPE html>\n" + tag("html", _metadata(title), body, lang="en") + "\n"


def _metadata(title: str) -> Html:
    # Belt and braces: even if some text escaped its escaping, a browser runs and loads only what is listed here.
    policy = f"default-src 'none'; style-src {_hash('style.css')}; script-src {_hash('script.js')}; base-uri 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", _asset("style.css")),
    )


def _head(run: Run) -> Html:
    contents = {name: title for name, title in _CONTENTS.items() if name != "troubles" or run.troubles}
    return tag(
        "header", tag("p", "aixmeg run report", class_="eyebrow"), tag("h1", run.name),
        tag("p", sentence(run), class_="outcome"), _navigation(contents), class_="top",
    )  # fmt: skip


def _navigation(contents: Mapping[str, str]) -> Html:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in contents.items()]
    return tag("nav", tag("ul", *links), aria_label="Sections")


def _asset(name: str) -> Html:
    return join(Html(resources.files("aixmeg.report").joinpath(name).read_text(encoding="utf-8")))


def _hash(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
