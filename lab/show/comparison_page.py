"""A comparison as one HTML page that needs nothing else: no script, no network, no other file.

Owns    the page
Takes   a Comparison and its picture
Gives   HTML, in which every word from somewhere else is text
Never   fetches: its policy forbids the browser to load anything but the picture inside it
"""

from __future__ import annotations

import base64
from html import escape

from lab.show.comparison import Comparison, notes_of, rows_of
from lab.show.words import one_line

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1.25rem; background: #fff; color: #1f2933;
       font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 60rem; overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; margin: 1.5rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid #e4e8ec;
         min-width: 9rem; max-width: 22rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #1f2933; }
tbody th { font-weight: 400; color: #566270; white-space: nowrap; position: sticky; left: 0; background: #fff; }
.notes { color: #566270; font-size: .87rem; margin-top: 1.25rem; }
"""


def page_of(comparison: Comparison, *, svg: bytes) -> str:
    """The whole page."""
    names = [escape(one_line(host.name, 60)) for host in comparison.hosts]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row.label)}</th>'
        + "".join(f"<td>{escape(one_line(cell, 200))}</td>" for cell in row.cells)
        + "</tr>"
        for row in rows_of(comparison)
    )
    said = "\n".join(f"<p>{escape(sentence.plain)}</p>" for sentence in comparison.sentences)
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in notes_of(comparison))
    picture = base64.b64encode(svg).decode()
    title = " and ".join([", ".join(names[:-1]), names[-1]])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>Nightlab: {title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
{said}
<img alt="Gains over each own baseline; the table has the numbers." src="data:image/svg+xml;base64,{picture}">
<div class="wide">
<table>
<thead><tr><th></th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
<div class="notes">
{notes}
</div>
</body>
</html>
"""
