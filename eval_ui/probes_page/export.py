"""Latents as one HTML file that needs nothing else: films, curves and pictures are inside."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from eval_ui.probes_page.pictures import figure_ranges, latent_html
from eval_ui.probes_page.suites import Autoencoder, Suite

_COMPONENTS = Path(__file__).resolve().parents[1] / "components"


def export_html(
    suite: Suite,
    sae: Autoencoder,
    latents: Sequence[int],
    film: Callable[[Mapping[str, Any]], str],
    notes: Mapping[int, Mapping[str, Any]],
) -> str:
    """A page with some latents of an autoencoder.

    Args:
        suite: of which.
        sae: whose latents.
        latents: which, in order.
        film: address of a moment's film, one that carries it.
        notes: by latent.
    """
    css, js = (
        (_COMPONENTS / f"latent.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    (metrics,) = (row for row in suite.metrics(sae.site) if row["name"] == sae.name)
    title = f"{sae.site} · {sae.name}"
    body = "".join(
        f'<section><h3 id="latent-{i}">Latent {i}</h3>'
        + latent_html(
            i,
            sae.latents[i],
            sae.effects[i],
            suite.report["measures"],
            sae.episodes,
            film,
            str(notes.get(i, {}).get("text", "")),
        )
        + "</section>"
        for i in latents
    )
    label = (
        f"<p><strong>{escape(suite.report['label'])}</strong></p>" if suite.report["label"] else ""
    )
    ranges = figure_ranges(metrics)
    ranges = f" (95 % over them: {ranges})" if ranges else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>body {{ font-family: system-ui, sans-serif; margin: 1.5rem auto; max-width: 1300px; }}"
        f"{css}</style></head><body><h2>{escape(title)}</h2>{label}"
        f"<p>L0 {metrics['l0']:.1f}, variance unexplained {1 - metrics['variance_explained']:.3f}, "
        f"BC loss {metrics['loss_change']:+.4f} nats, on held-out episodes{ranges}.</p>{body}"
        f'<script type="module">{js.replace("export default function", "function attach")}'
        f'\nfor (const root of document.querySelectorAll(".latent")) animate(root);</script></body></html>'
    )
