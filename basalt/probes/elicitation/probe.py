"""`basalt probe elicit`: probes without labels on a policy's activations, with the checks that they must pass."""

from pathlib import Path
from typing import ClassVar

from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device, find_checkpoint, load_policy
from basalt.probes.elicitation.checks import PLANTED, TEMPLATES, MethodResult, run_checks
from basalt.probes.elicitation.pairs import pair_set, turns, twin_examples
from basalt.probes.records import Estimate, ProbeRecord, number
from basalt.probes.settings import ElicitConfig
from basalt.probes.subject import load_subject
from basalt.probes.twins.windows import twin_windows

STATEMENTS = {
    "mirror": "the player turns left within half a second",
    "twins": "this is the changed world",
}
"""By kind of pairs: what holds for exactly one input of a pair."""

MOMENTS = 16
"""Largest number of moments of each twin."""


class ElicitationReport(ProbeRecord):
    """What probes without labels find in contrast pairs, and the checks that they passed.

    Attributes:
        pairs: Kind of pairs.
        statement: What holds for exactly one input of each pair.
        hook_point: Where the activations are from.
        n_training, n_held_out: Numbers of pairs that probes were fitted to, and of others.
        groups: Number of episodes or seeds of the others.
        ceiling: Held-out accuracy of logistic regression with labels.
        floor: 95% quantile of the accuracies of random directions, the better sign each.
        methods: The methods.
    """

    FORMAT: ClassVar[str] = "basalt-elicitation"

    pairs: str
    statement: str
    hook_point: str
    n_training: int
    n_held_out: int
    groups: int
    ceiling: Estimate
    floor: float
    methods: tuple[MethodResult, ...]

    @property
    def passed(self) -> tuple[str, ...]:
        """Methods that passed every check."""
        return tuple(one.method for one in self.methods if all(one.checks.values()))

    def lines(self) -> list[str]:
        """Accuracies, what each method follows under a distractor, the checks, and what may be claimed."""
        found = [
            f"{self.statement} ({self.pairs} pairs), at {self.hook_point}: {self.n_training} pairs to fit, {self.n_held_out} "
            f"held out, of {self.groups} episodes or seeds",
            f"with labels {self.ceiling.text('.3f', interval_form='.2f')}; random directions {self.floor:.3f} (95% quantile)",
            f"{'fitted to':<20}" + "".join(f"{one.method:>24}" for one in self.methods),
        ]
        looks = {look: look for look in TEMPLATES} | {"plain": "pairs as they are"}
        for look in TEMPLATES:
            cells = (one.templates[look].text(".3f", interval_form=".2f") for one in self.methods)
            found.append(f"{looks[look]:<20}" + "".join(f"{cell:>24}" for cell in cells))
        for look in PLANTED:
            for what, name in (("truth", look), ("planted", f"  follows the {look}")):
                cells = (
                    getattr(one.planted[look], what).text(".3f", interval_form=".2f")
                    for one in self.methods
                )
                found.append(f"{name:<20}" + "".join(f"{cell:>24}" for cell in cells))
        for one in self.methods:
            agrees = ", ".join(f"{name} {share:.2f}" for name, share in one.agreement.items())
            found.append(
                f"{one.method}: agrees with {agrees} (random directions {one.random_agreement:.2f}); seeds "
                f"{min(one.seeds):.2f} to {max(one.seeds):.2f}; {one.orthogonal} orthogonal probes as accurate"
                + (
                    f"; loss {number(one.loss, '.3f')} (random directions {number(one.random_loss, '.3f')})"
                    if one.loss is not None
                    else ""
                )
            )
            failed = [name for name, passed in one.checks.items() if not passed]
            found.append(f"  failed: {', '.join(failed) or 'no check'}")
        if self.passed:
            found.append(
                f"{', '.join(self.passed)} passed every check: the policy knows whether {self.statement}"
            )
        else:
            found.append("each method failed a check, so nothing is claimed")
        return found


def elicit(cfg: ElicitConfig) -> ElicitationReport:
    """Run `basalt probe elicit`: fit and check all probes on held-out recordings or twins; write the report to `cfg.out`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    if cfg.pairs == "twins":
        policy, info = load_policy(find_checkpoint(cfg.checkpoint), choose_device(cfg.device))
        windows = twin_windows(info, cfg.data, cfg.changes, cfg.count, cfg.frames, MOMENTS)
        examples = twin_examples(windows, cfg.seed)
    elif cfg.pairs == "mirror":
        subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
        policy = subject.policy
        examples = turns(subject.held_out, cfg.count, cfg.frames)
    else:
        raise ConfigError(f"pairs: expected {' or '.join(STATEMENTS)}, got {cfg.pairs!r}")
    pairs = pair_set(policy, cfg.site, examples, cfg.seed)
    results = run_checks(pairs, cfg.seed)
    report = ElicitationReport(
        pairs=cfg.pairs,
        statement=STATEMENTS[cfg.pairs],
        hook_point=cfg.site,
        n_training=int((~pairs.test).sum()),
        n_held_out=int(pairs.test.sum()),
        groups=len(set(pairs.group[pairs.test.numpy()].tolist())),
        ceiling=results.ceiling,
        floor=results.floor,
        methods=results.methods,
    )
    if cfg.out:
        report.write(Path(cfg.out))
    return report
