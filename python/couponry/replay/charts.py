"""Bar charts as inline SVG, drawn with whole numbers; colours come from the page's style."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Bars", "bar_chart"]

_WIDTH: Final = 760
_HEIGHT: Final = 220
_TOP: Final = 18
_BELOW: Final = 64
_LEFT: Final = 60


class Bars(NamedTuple):
    """One value a label; `style` is the class of the bars."""

    name: str
    style: str
    values: Sequence[int]


def bar_chart(title: str, labels: Sequence[str], series: Sequence[Bars]) -> str:
    """Groups of bars side by side, one of each series a label; a bar's value is shown when it is pointed at."""
    most = max((value for bars in series for value in bars.values), default=0)
    slot = (_WIDTH - 2 * _LEFT) // max(len(labels), 1)
    width = max((slot - 4) // max(len(series), 1), 1)
    base = _TOP + _HEIGHT
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {base + _BELOW}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _LEFT}" y2="{base}"/>',
    ]
    for place, label in enumerate(labels):
        left = _LEFT + place * slot + 2
        for number, bars in enumerate(series):
            value = bars.values[place]
            # Whatever is there is seen, however few.
            height = max(value * _HEIGHT // most, 1) if value else 0
            told = f"{label}, {bars.name}: {value:,}"
            parts.append(
                f'<rect class="{bars.style}" x="{left + number * width}" y="{base - height}" width="{width}" '
                f'height="{height}"><title>{escape(told)}</title></rect>'
            )
        middle = left + len(series) * width // 2
        parts.append(
            f'<text class="label" x="{middle}" y="{base + 10}" transform="rotate(-45 {middle} {base + 10})">'
            f"{escape(label)}</text>"
        )
    parts.append(f'<text class="most" x="{_LEFT}" y="{_TOP - 6}">{most:,}</text></svg>')
    return "\n".join(parts)
