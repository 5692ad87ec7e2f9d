"""A latent as HTML: clips with their curves, histogram, effects on buttons and on the camera grid.

The page and the static export show the same HTML; every text is escaped.
"""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.probes.records import Moment, SAEResult, StoredEpisode, number
from eval_ui.probes_page.suites import Autoencoder

CAMERA_BINS = 11
_WIDTH, _HEIGHT = 320, 44


def latent_html(
    sae: Autoencoder,
    latent: int,
    measures: Sequence[str],
    clip: Callable[[Moment], str],
    note: str = "",
) -> str:
    """The HTML of one latent.

    Args:
        sae: Autoencoder of the latent.
        latent: Number of the latent.
        measures: Names of the measures of its effects; the last 121 are camera bins.
        clip: Function that gives the URL of a moment's clip; an empty URL if the recording is missing.
        note: A person's note.
    """
    row, effects, episodes = sae.latents[latent], sae.effects[latent], sae.episodes
    if not row.moments:
        return f"<p>Latent {latent} fires on no held-out frame.</p>"
    concept, largest = row.concept, row.max or 0.0
    best = (
        f"{escape(in_words(concept.concept))}, AUC {number(concept.auc, '.3g')}" if concept else "–"
    )
    facts = {
        "Fires on": f"{row.density:.2%} of frames",
        "Episodes": f"{row.episodes}",
        "In its top episode": f"{number(row.top_share, '.0%')} of its mass",
        "Mean when active": number(row.mean, ".3g"),
        "Largest": number(row.max, ".3g"),
        "Best concept": best,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    parts = [f'<dl class="facts small">{listed}</dl>']
    if note:
        parts.append(f'<blockquote class="note">{escape(note)}</blockquote>')
    parts.append("<h3>Strongest moments</h3>" + _clips(row.moments, largest, episodes, clip))
    buttons = [(name, float(value)) for name, value in zip(measures, effects, strict=True)]
    buttons = [each for each in buttons if not each[0].startswith("camera.")]
    camera = effects[len(measures) - CAMERA_BINS**2 :].reshape(CAMERA_BINS, CAMERA_BINS)
    parts.append(
        '<div class="panels">'
        f"<figure><figcaption>Effect on log-odds, first order</figcaption>{bars(buttons)}</figure>"
        f"<figure><figcaption>Effect on camera bins, first order</figcaption>{camera_grid(camera)}</figure>"
        f"<figure><figcaption>Frames by value, 0 to {number(row.max, '.3g')}, logarithmic</figcaption>"
        f"{histogram(row.histogram)}</figure></div>"
    )
    parts.append("<h3>Examples by quantile</h3>" + _clips(row.examples, largest, episodes, clip))
    return f'<div class="latent" data-latent="{latent}">{"".join(parts)}</div>'


def in_words(concept: str) -> str:
    """A concept's name for people: `about_to_press_esc` is "about to press esc"."""
    return concept.replace("_", " ")


def ranges_text(result: SAEResult) -> str:
    """The 95% intervals of an autoencoder's metrics; those without an interval are omitted."""
    metrics = {
        "L0": (result.l0, ".1f"),
        "unexplained": (result.variance_explained.complement(), ".1%"),
        "BC loss": (result.loss_change, "+.4f"),
        "loss recovered": (result.loss_recovered_mean, ".1%"),
    }
    shown = {name: metric.range_text(form) for name, (metric, form) in metrics.items()}
    return ", ".join(f"{name} {ends}" for name, ends in shown.items() if ends)


def _clips(
    moments: Sequence[Moment],
    largest: float,
    episodes: Sequence[StoredEpisode],
    clip: Callable[[Moment], str],
) -> str:
    shown = []
    for moment in moments:
        title = f"{escape(episodes[moment.episode].name)}, {moment.frame / STEPS_PER_SECOND:.1f} s"
        if moment.quantile is not None:
            title = f"{moment.quantile:.0%} quantile · {title}"
        url = clip(moment)
        video = (
            f'<video src="{escape(url)}" muted loop playsinline preload="auto" tabindex="0"></video>'
            if url
            else '<div class="gone">recording not found</div>'
        )
        shown.append(
            f'<figure class="film" data-frames="{len(moment.curve)}">{video}'
            f"{curve(moment.curve, largest, moment.frame - moment.start)}"
            f"<figcaption>{title} · {number(moment.value, '.3g')}</figcaption></figure>"
        )
    return f'<div class="films">{"".join(shown)}</div>'


def curve(values: Sequence[float], largest: float, at: int) -> str:
    """The activation over a clip's frames, with the moment marked."""
    top = max(largest, 1e-9)
    step = _WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        f"{i * step:.1f},{_HEIGHT * (0.96 - 0.9 * value / top):.1f}"
        for i, value in enumerate(values)
    )
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="activation over the clip"><line class="mark" x1="{at * step:.1f}" '
        f'x2="{at * step:.1f}" y1="0" y2="{_HEIGHT}"></line><polyline points="{points}"></polyline>'
        f'<line class="now" x1="0" x2="0" y1="0" y2="{_HEIGHT}"></line></svg>'
    )


def bars(values: Sequence[tuple[str, float]], most: int = 10) -> str:
    """The largest effects as bars to the left (less likely) and right (more likely)."""
    chosen = sorted(values, key=lambda each: -abs(each[1]))[:most]
    top = max((abs(value) for _, value in chosen), default=0.0) or 1.0
    rows = []
    for i, (name, value) in enumerate(chosen):
        length = 80 * abs(value) / top
        x = 190 if value >= 0 else 190 - length
        kind = "more" if value >= 0 else "less"
        rows.append(
            f'<text x="96" y="{18 * i + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{x:.1f}" y="{18 * i + 3}" width="{length:.1f}" height="12"></rect>'
            f'<text class="value" x="{278}" y="{18 * i + 13}">{value:+.3f}</text>'
        )
    return (
        f'<svg class="bars" viewBox="0 0 330 {18 * len(chosen) + 4}" role="img" '
        f'aria-label="effect on buttons">{"".join(rows)}</svg>'
    )


def camera_grid(values: NDArray[np.float32]) -> str:
    """The 11 x 11 camera bins, pitch down and yaw to the right; green is more likely, red less likely."""
    top = float(np.abs(values).max()) or 1.0
    cells = []
    for pitch in range(CAMERA_BINS):
        for yaw in range(CAMERA_BINS):
            value = float(values[pitch, yaw])
            kind = "more" if value >= 0 else "less"
            cells.append(
                f'<rect class="{kind}" x="{16 * yaw + 1}" y="{16 * pitch + 1}" width="15" height="15" '
                f'fill-opacity="{abs(value) / top:.3f}"><title>pitch bin {pitch}, yaw bin {yaw}: '
                f"{value:+.4f}</title></rect>"
            )
    return (
        f'<svg class="camera" viewBox="0 0 178 178" role="img" aria-label="effect on camera bins">'
        f'{"".join(cells)}<rect class="centre" x="81" y="81" width="15" height="15"></rect></svg>'
    )


def histogram(counts: Sequence[int]) -> str:
    """Counts of active values, on a logarithmic scale."""
    top = float(np.log1p(max(counts, default=0))) or 1.0
    width = 300 / max(len(counts), 1)
    rects = "".join(
        f'<rect x="{i * width:.1f}" y="{100 * (1 - np.log1p(count) / top):.1f}" width="{width - 1:.1f}" '
        f'height="{100 * np.log1p(count) / top:.1f}"><title>{count} frames</title></rect>'
        for i, count in enumerate(counts)
    )
    return (
        f'<svg class="histogram" viewBox="0 0 300 100" preserveAspectRatio="none" role="img" '
        f'aria-label="histogram of active values">{rects}</svg>'
    )
