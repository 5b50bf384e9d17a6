#!/usr/bin/env python3
"""draw.py NNN.TENTHS…: an SVG that shows screens of a terminal one after another, each as long as its name says.

A screen is what `tmux capture-pane -e -p` prints: lines, with the sequences of ECMA-48 for bold, dim, reverse and the eight
colours. Python's standard library and nothing else.
"""

import re
import sys
from html import escape

WIDTH, HEIGHT, SIZE, MARGIN = 8.4, 18, 14, 12
COLOURS = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]
INK, PAPER = "#e6edf3", "#0d1117"
SEQUENCE = re.compile("\x1b\\[([0-9;]*)m|\x1b[()][A-Z0-9]|[\x0e\x0f]")


def runs(text, style):
    """Pieces of a line with one style each, and the style at its end: (column, text, style)…"""
    column, at, pieces = 0, 0, []
    for found in list(SEQUENCE.finditer(text)) + [None]:
        piece = text[at : found.start() if found else len(text)]
        if piece:
            pieces.append((column, piece, dict(style)))
            column += len(piece)
        if found:
            at = found.end()
            if found.group(1) is not None:
                # One of the 256 colours of a palette is one number here; the first eight are the ones that are drawn.
                numbers = found.group(1).replace("38;5;", "3")
                for number in numbers.split(";"):
                    change(style, int(number or 0))
    return pieces


def change(style, code):
    """What one number of a sequence does to the style."""
    if code == 0:
        style.clear()
    elif code in (1, 2, 7):
        style[code] = True
    elif code == 22:
        style.pop(1, None), style.pop(2, None)
    elif code == 27:
        style.pop(7, None)
    elif 30 <= code <= 37:
        style["ink"] = COLOURS[code - 30]
    elif code == 39:
        style.pop("ink", None)


def drawn(screen, columns):
    """A screen as elements of SVG."""
    style, out = {}, []
    for row, line in enumerate(screen):
        for column, text, its in runs(line, style):
            x, y = MARGIN + column * WIDTH, MARGIN + row * HEIGHT
            ink, paper = its.get("ink", INK), None
            if its.get(7):
                ink, paper = PAPER, ink
            wide = len(text) * WIDTH
            if paper:
                out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{HEIGHT}" fill="{paper}"/>')
            if text.strip():
                weight = ' font-weight="bold"' if its.get(1) else ""
                faint = ' opacity="0.6"' if its.get(2) else ""
                out.append(
                    f'<text x="{x:.1f}" y="{y + SIZE}" textLength="{wide:.1f}" fill="{ink}"{weight}{faint}>{escape(text)}</text>'
                )
    return "".join(out)


def main(files):
    screens = [open(name, encoding="utf-8").read().split("\n")[:-1] for name in files]
    tenths = [int(name.rsplit(".", 1)[1]) for name in files]
    bare = [[SEQUENCE.sub("", line) for line in screen] for screen in screens]
    columns, rows = max(len(line) for screen in bare for line in screen), max(map(len, screens))
    whole, width, height = sum(tenths), 2 * MARGIN + columns * WIDTH, 2 * MARGIN + rows * HEIGHT
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" xml:space="preserve"')
    print(f'  font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{SIZE}">')
    print("<title>A recorded session of gantry top</title>")
    print("<style>g { visibility: hidden; animation-duration: %.1fs; animation-iteration-count: infinite;" % (whole / 10))
    print("animation-timing-function: step-end; white-space: pre }")
    # Who wants nothing to move sees the longest of them.
    longest = max(range(len(tenths)), key=lambda nth: tenths[nth])
    begin = 0
    for nth, length in enumerate(tenths):
        start, end = 100 * begin / whole, 100 * (begin + length) / whole
        shown = f"{start:.2f}% {{ visibility: visible }} " + (f"{end:.2f}% {{ visibility: hidden }}" if end < 100 else "")
        before = "0% { visibility: hidden } " if nth else ""
        print(f"@keyframes s{nth} {{ {before}{shown} }} #s{nth} {{ animation-name: s{nth} }}")
        begin += length
    print(f"@media (prefers-reduced-motion) {{ g {{ animation: none !important }} #s{longest} {{ visibility: visible }} }}")
    print(f'</style>\n<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>')
    for nth, screen in enumerate(screens):
        print(f'<g id="s{nth}">{drawn(screen, columns)}</g>')
    print("</svg>")


main(sys.argv[1:])
