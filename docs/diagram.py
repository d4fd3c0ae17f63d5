"""Draws a Mermaid flowchart as an SVG picture, in layers from top to bottom, so that a page needs no script for it."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from html import escape
from typing import Any

Edges = list[tuple[str, str]]

_NODE = re.compile(r'(\w+)(?:\["?([^"\]]+)"?\])?')
_LETTER, _PADDING, _HEIGHT, _GAP, _LAYER = 8.0, 14.0, 32.0, 22.0, 74.0  # pixels


def fence(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """Return the picture of a ``mermaid`` block, as pymdownx.superfences asks for it."""
    return f'<div class="diagram">{svg(source)}</div>'


def parse(source: str) -> tuple[dict[str, str], Edges]:
    """Return the labels of the nodes, and the arrows between them, of a flowchart such as ``a["Label"] --> b & c``.

    Raises:
        ValueError: a line that is not of this form.
    """
    first, *lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    if not first.startswith("flowchart"):
        raise ValueError(f"a flowchart is wanted, not {first!r}")
    labels: dict[str, str] = {}
    edges: Edges = []
    for line in lines:
        sides = [[_NODE.fullmatch(part.strip()) for part in side.split("&")] for side in line.split("-->")]
        if len(sides) < 2 or not all(node for side in sides for node in side):
            raise ValueError(f"not an arrow between nodes: {line!r}")
        named = [[node[1] for node in side if node] for side in sides]
        for name, label in (node.groups() for side in sides for node in side if node):
            if label or name not in labels:
                labels[name] = label or name
        edges += [(a, b) for left, right in itertools.pairwise(named) for a in left for b in right]
    return labels, edges


def layers(names: list[str], edges: Edges) -> dict[str, int]:
    """Return each node's layer: one more than the lowest of those that point to it.

    Raises:
        ValueError: the arrows go round in a circle.
    """
    layer = dict.fromkeys(names, 0)
    for _ in names:
        lower = {b: layer[a] + 1 for a, b in sorted(edges, key=lambda edge: layer[edge[0]]) if layer[a] >= layer[b]}
        if not lower:
            return layer
        layer |= lower
    raise ValueError("the arrows go round in a circle")


def svg(source: str) -> str:
    """Return the picture of a flowchart as an SVG element that takes its colours from the page."""
    labels, edges = parse(source)
    rows, paths = _rows(list(labels), edges)
    drawn = {name: _LETTER * len(label) + 2 * _PADDING for name, label in labels.items()}
    width = {name: drawn.get(name, _GAP) for row in rows for name in row}
    total = max(sum(width[name] + _GAP for name in row) for row in rows)
    centre: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        free = (total - sum(width[name] for name in row)) / len(row)
        left = free / 2
        for name in row:
            centre[name] = (left + width[name] / 2, number * _LAYER + _HEIGHT)
            left += width[name] + free
    lines = "".join(f'<path d="{_curve([centre[name] for name in path])}"/>' for path in paths)
    boxes = "".join(_box(labels[name], *centre[name], width[name]) for name in labels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {len(rows) * _LAYER:.0f}" role="img" '
        f'width="{total:.0f}" style="max-width: 100%; height: auto" '
        'font-family="inherit" font-size="14" fill="currentColor">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        f'<g fill="none" stroke="currentColor" opacity="0.55" marker-end="url(#tip)">{lines}</g>{boxes}</svg>'
    )


def _rows(names: list[str], edges: Edges) -> tuple[list[list[str]], list[list[str]]]:
    """Return the nodes of each layer from left to right, and each arrow as a path with a stop in every layer."""
    layer = layers(names, edges)
    paths = [[a, *(f"{a} > {b} {n}" for n in range(layer[a] + 1, layer[b])), b] for a, b in edges]
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    above, below = defaultdict(list), defaultdict(list)
    for path in paths:
        for number, name in enumerate(path[1:-1], layer[path[0]] + 1):
            rows[number].append(name)
        for a, b in itertools.pairwise(path):
            below[a].append(b)
            above[b].append(a)
    for sweep in range(8):  # each layer in the order of its neighbours in the one before, downwards and upwards in turn
        ordered, neighbours = (rows, above) if sweep % 2 == 0 else (rows[::-1], below)
        place: dict[str, float] = {}
        for row in ordered:
            wanted = {name: (number + 0.5) / len(row) for number, name in enumerate(row)}
            wanted |= {n: sum(place[m] for m in neighbours[n]) / len(neighbours[n]) for n in row if neighbours[n]}
            row.sort(key=lambda name: wanted[name])
            place |= {name: (number + 0.5) / len(row) for number, name in enumerate(row)}
    return rows, paths


def _curve(points: list[tuple[float, float]]) -> str:
    """Return the path through the points, which leaves and enters each from above."""
    (x, y), half = points[0], _HEIGHT / 2
    text = f"M{x:.0f} {y + half:.0f}"
    previous = (x, y + half)
    for number, (x, y) in enumerate(points[1:], 1):
        y -= half if number == len(points) - 1 else 0
        middle = (previous[1] + y) / 2
        text += f"C{previous[0]:.0f} {middle:.0f} {x:.0f} {middle:.0f} {x:.0f} {y:.0f}"
        previous = (x, y)
    return text


def _box(label: str, x: float, y: float, width: float) -> str:
    left, top = x - width / 2, y - _HEIGHT / 2
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{_HEIGHT:.0f}" rx="6" stroke="currentColor" '
        f'fill="currentColor" fill-opacity="0.07"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{escape(label)}</text>'
    )
