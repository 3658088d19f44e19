"""Boxes, arrows and words as SVG text that loads nothing and can be read on a light page and on a dark one."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

LINE = 18
"""From one line of words to the next, in pixels, as all lengths here."""

_STYLE = """
svg { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 14px }
.page { fill: #ffffff } .box { fill: #eef2fb; stroke: #4a5d8a } .inner { fill: #ffffff; stroke: #8493b5 }
.word { fill: #1c2333 } .name { fill: #1c2333; font-weight: 600 } .soft { fill: #4a5568; font-size: 12px }
.line { stroke: #4a5d8a; stroke-width: 1.5; fill: none } .tip { fill: #4a5d8a } .life { stroke: #8493b5; stroke-dasharray: 4 4 }
@media (prefers-color-scheme: dark) {
.page { fill: #1a1d27 } .box { fill: #262c3d; stroke: #93a5d6 } .inner { fill: #1a1d27; stroke: #66749b }
.word, .name { fill: #e6e9f2 } .soft { fill: #b4bccf }
.line { stroke: #93a5d6 } .tip { fill: #93a5d6 } .life { stroke: #66749b } }
"""


@dataclass(frozen=True)
class Box:
    """A box with a name and lines below it."""

    x: int
    y: int
    width: int
    height: int
    name: str
    lines: tuple[str, ...] = ()
    kind: str = "box"
    """`box`, or `inner` for one that stands in another."""

    def svg(self) -> str:
        """The box, with its words in the middle, or at its top where boxes stand in it."""
        size = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - LINE * len(self.lines) / 2 + 5
        words = [word(middle, top, self.name, "name")]
        words += [word(middle, top + LINE * at, line, "soft") for at, line in enumerate(self.lines, start=1)]
        return "\n".join([f'<rect class="{self.kind}" {size} rx="6"/>', *words])


def frame(x: int, y: int, width: int, height: int, name: str) -> str:
    """A box that others stand in: its name is at its top."""
    return f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>\n' + word(
        x + 12, y + 22, name, "name", anchor="start"
    )


def word(x: float, y: float, text: str, kind: str = "word", anchor: str = "middle") -> str:
    """Words at a place: its `anchor` there is their `start`, `middle` or `end`."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def arrow(x: int, y: int, to_x: int, to_y: int, text: str = "", *, both: bool = False) -> str:
    """A straight arrow, with words above its middle."""
    ends = ' marker-end="url(#tip)"' + (' marker-start="url(#tail)"' if both else "")
    line = f'<line class="line" x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"{ends}/>'
    if not text:
        return line
    return line + "\n" + word((x + to_x) / 2, (y + to_y) / 2 - 6, text, "soft")


def page(width: int, height: int, title: str, parts: list[str]) -> str:
    """A whole picture. `title` is what those hear who do not see it."""
    tips = (
        '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path class="tip" d="M0,0 L9,4 L0,8 z"/></marker>'
        '<marker id="tail" markerWidth="9" markerHeight="8" refX="1" refY="4" orient="auto">'
        '<path class="tip" d="M9,0 L0,4 L9,8 z"/></marker></defs>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    )
    ground = f'<rect class="page" width="{width}" height="{height}" rx="8"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", tips, ground, *parts, "</svg>", ""])
