"""The HTML around the page: as one file to send, or as the live page.

Owns    which scripts and styles there are, in which order, and the policy that admits them and nothing else
Takes   a Story and its Details; for the live page nothing but whether it may act
Gives   HTML, the same bytes for the same arguments
Never   writes a text of a campaign unescaped, and lets no script, style or request in that is not named here
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lab.page.payload import Pack, as_json, pack_details
from lab.story.shapes import Detail, Story

STATIC = Path(__file__).parent / "static"
STYLES = ("vendor/uPlot.min.css", "page.css", "views.css")
VIEWS = (
    "vendor/uPlot.iife.min.js",
    "base.js",
    "marks.js",
    "chart.js",
    "scene.js",
    "labels.js",
    "progress-paint.js",
    "progress.js",
    "pager.js",
    "table.js",
    "curve.js",
    "detail.js",
    "head.js",
    "waterfall.js",
    "lineage.js",
    "budget.js",
    "provenance.js",
    "story.js",
)
REPORT = (*VIEWS, "report.js")
LIVE = (*VIEWS, "wire.js", "campaigns.js", "now.js", "actions.js", "live.js")
LIVE_STYLES = (*STYLES, "live.css")
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

# What a browser may do on the live page, as a header. Everything comes from the page's own server.
LIVE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def report_page(story: Story, details: Sequence[Detail], *, progress_png: bytes | None) -> str:
    """The story as one HTML file that asks for nothing.

    Without a program in the browser it shows the sentences, the picture, what was kept and the commands.
    """
    style = _joined(STYLES)
    scripts = [_read(name) for name in REPORT]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes([style])}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = [
        _head(f"{story.tag} · Nightlab", policy),
        f"<style>{style}</style>\n</head>\n<body>\n",
        _frame(_plain_story(story, progress_png)),
        f'<script type="application/json" id="story">{as_json(story)}</script>\n',
        *(_packed(pack) for pack in pack_details(details)),
        *(f"<script>{script}</script>\n" for script in scripts),
        "</body>\n</html>\n",
    ]
    return "".join(parts)


def live_page(*, actions: bool) -> str:
    """The live page; `LIVE_POLICY` belongs into its header. `actions`: it may stop, note and queue."""
    links = "".join(f'<link rel="stylesheet" href="/static/{name}">\n' for name in LIVE_STYLES)
    scripts = "".join(f'<script src="/static/{name}" defer></script>\n' for name in LIVE)
    plain = "<noscript><p>The live page needs JavaScript; a report (make report) does not.</p></noscript>"
    body = f'<body class="live" data-actions="{"yes" if actions else "no"}">\n'
    return "".join(
        [_head("Nightlab", None), links, scripts, "</head>\n", body, _frame(plain), "</body>\n</html>\n"]
    )  # fmt: skip


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of the live page and its media type; None for a name that is not one of them."""
    if name not in {*LIVE, *LIVE_STYLES}:
        return None
    return (STATIC / name).read_bytes(), MEDIA_TYPES[Path(name).suffix]


def _head(title: str, policy: str | None) -> str:
    meta = (
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=False)}">\n'
        if policy
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        + meta
        + '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        + '<meta name="color-scheme" content="light dark">\n'
        + '<meta name="referrer" content="no-referrer">\n'
        # Without an icon named, a browser asks the server for one.
        + '<link rel="icon" href="data:image/png;base64,">\n'
        + f"<title>{_text(title)}</title>\n"
    )


def _frame(plain: str) -> str:
    return (
        '<a class="skip" href="#main">Skip to the content</a>\n'
        '<div class="bar" id="bar" role="banner"><span class="brand">Nightlab</span></div>\n'
        f'<main id="main" tabindex="-1">\n<div id="plain">{plain}</div>\n</main>\n'
    )


def _plain_story(story: Story, progress_png: bytes | None) -> str:
    parts = [f"<h1>{_text(story.tag)}</h1>\n"]
    parts += [f"<p>{_text(sentence)}</p>\n" for sentence in story.sentences]
    if progress_png is not None:
        picture = base64.b64encode(progress_png).decode()
        parts.append(
            '<noscript><img class="picture" alt="Progress of the campaign: every experiment and the best so far" '
            f'src="data:image/png;base64,{picture}"></noscript>\n'
        )
    if story.contributions:
        parts.append("<h2>What each keep contributed</h2>\n<ol>\n")
        parts += [
            f"<li>{step.number}: {_text(step.title)} ({step.from_bpb:.4f} to {step.to_bpb:.4f} bits per byte)</li>\n"
            for step in story.contributions
        ]
        parts.append("</ol>\n")
    if story.commands:
        parts.append("<h2>Check it yourself</h2>\n<ul>\n")
        parts += [
            f"<li>{_text(command.what)}: <code>{_text(command.command)}</code></li>\n"
            for command in story.commands
        ]
        parts.append("</ul>\n")
    return "".join(parts)


def _packed(pack: Pack) -> str:
    return (
        f'<script type="application/json" data-details data-first="{pack.first}" '
        f'data-last="{pack.last}">{pack.text}</script>\n'
    )


def _text(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _joined(names: Sequence[str]) -> str:
    return "\n".join(_read(name) for name in names)


@cache
def _read(name: str) -> str:
    """One of our own files, which must not end the element that it stands in."""
    text = (STATIC / name).read_bytes().decode()
    assert "\r" not in text, (
        f"{name}: a browser reads another line break, and the hash would not fit"
    )
    assert not any(end in text.lower() for end in ("</script", "</style", "<!--")), name
    return text
