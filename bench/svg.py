"""Small SVG charts, readable on white and on black."""

import html
import math

_STYLE = ("<style>text{font:13px sans-serif;fill:#777}.bar{fill:#3b82c4}.line{fill:none;"
          "stroke-width:2}.axis{stroke:#999;stroke-width:1}.range{stroke:#222;stroke-width:1.5}"
          "</style>")
_COLOURS = ("#3b82c4", "#d97706", "#2f9e5f", "#b5475f", "#7c5cc4")


def _page(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">{_STYLE}\n' + "\n".join(parts) + "\n</svg>\n")


def _text(x, y, text, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _short(value):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def bars(title, items):
    """Draws horizontal bars of (label, spread) on a logarithmic axis, each with its range."""
    left, width, step = 290, 800, 26
    low = 10 ** math.floor(math.log10(min(found["min"] for _, found in items)))
    high = max(found["max"] for _, found in items)
    scale = (width - left - 70) / math.log10(high / low)

    def x(value):
        return left + math.log10(value / low) * scale

    parts = [_text(8, 20, title)]
    for place, (label, found) in enumerate(items):
        y = 36 + place * step
        parts += [
            _text(left - 8, y + 14, label, "end"),
            f'<rect class="bar" x="{left}" y="{y}" width="{x(found["median"]) - left:.1f}" '
            f'height="{step - 8}"/>',
            f'<path class="range" d="M{x(found["min"]):.1f} {y + 9}H{x(found["max"]):.1f}"/>',
            _text(x(found["max"]) + 6, y + 14, f"{found['median']:.3g}")]
    return _page(width, 44 + len(items) * step, parts)


def lines(title, x_label, series):
    """Draws lines of (name, [(x, y)]) over a logarithmic x axis, with y from 0."""
    left, right, top, bottom, width, height = 56, 150, 34, 44, 560, 280
    xs = sorted({x for _, points in series for x, _ in points})
    high = max(y for _, points in series for _, y in points) * 1.1 or 1
    span = math.log10(xs[-1] / xs[0]) or 1

    def place(x, y):
        return (left + math.log10(x / xs[0]) / span * (width - left - right),
                height - bottom - y / high * (height - top - bottom))

    parts = [_text(8, 20, title), _text((left + width - right) / 2, height - 8, x_label, "middle"),
             f'<path class="axis" fill="none" d="M{left} {top}V{height - bottom}'
             f'H{width - right}"/>',
             _text(left - 6, top + 5, _short(high), "end"),
             _text(left - 6, height - bottom, "0", "end")]
    for x in xs:
        parts.append(_text(place(x, 0)[0], height - bottom + 16, _short(x), "middle"))
    above = -math.inf  # the position of the previous name
    for number, (name, points) in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in (place(x, y) for x, y in points))
        parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
        a, b = place(*points[-1])
        above = b = max(b, above + 13)
        parts.append(f'<text x="{a + 6:.0f}" y="{b + 4:.0f}" style="fill:{colour}">'
                     f'{html.escape(name)}</text>')
    return _page(width, height, parts)
