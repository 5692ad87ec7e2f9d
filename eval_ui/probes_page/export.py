"""Latents as one self-contained HTML file, with clips, curves and charts."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from basalt.probes.records import Moment, number
from eval_ui.probes_page.notes import Note
from eval_ui.probes_page.pictures import latent_html, ranges_text
from eval_ui.probes_page.suites import Autoencoder, Suite

_COMPONENTS = Path(__file__).resolve().parents[1] / "components"


def export_html(
    suite: Suite,
    sae: Autoencoder,
    latents: Sequence[int],
    clip: Callable[[Moment], str],
    notes: Mapping[int, Note],
) -> str:
    """A page with some latents of an autoencoder.

    Args:
        suite: Suite of the autoencoder.
        sae: Autoencoder.
        latents: Numbers of the latents, in order.
        clip: Function that gives the data URL of a moment's clip.
        notes: Notes by latent.
    """
    css, js = (
        (_COMPONENTS / f"latent.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    result, report = sae.result, suite.report
    title = f"{result.hook_point} · {result.name}"
    body = "".join(
        f'<section><h3 id="latent-{i}">Latent {i}</h3>'
        + latent_html(sae, i, report.measures, clip, notes[i].text if i in notes else "")
        + "</section>"
        for i in latents
    )
    label = f"<p><strong>{escape(report.label)}</strong></p>" if report.label else ""
    ranges = ranges_text(result)
    ranges = f" (95% intervals over them: {ranges})" if ranges else ""
    unexplained = result.variance_explained.complement()
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>body {{ font-family: system-ui, sans-serif; margin: 1.5rem auto; max-width: 1300px; }}"
        f"{css}</style></head><body><h2>{escape(title)}</h2>{label}"
        f"<p>L0 {number(result.l0.value, '.1f')}, variance unexplained {number(unexplained.value, '.3f')}, "
        f"BC loss {number(result.loss_change.value, '+.4f')} nats, on held-out episodes{ranges}.</p>{body}"
        f'<script type="module">{js.replace("export default function", "function attach")}'
        f'\nfor (const root of document.querySelectorAll(".latent")) animate(root);</script></body></html>'
    )
