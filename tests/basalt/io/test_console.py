"""A log gets few lines of progress, each its own, whatever figures a bar shows."""

import io

import pytest

from basalt.io.console import note, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stderr)
    with progress_bar(total=500, title="training", unit="step") as bar:
        for step in range(500):
            bar.update()
            bar.set_postfix(loss=f"{500 - step}")
            if step == 250:
                note("halfway")
    return stderr.getvalue()


def test_a_log_has_a_line_for_the_start_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    text = work(monkeypatch, io.StringIO())
    first, middle, last = text.splitlines()
    assert "0/500" in first and middle == "halfway" and "500/500" in last
    assert "\r" not in text and text.endswith("\n")


def test_a_terminal_draws_over_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = work(monkeypatch, Terminal())
    assert "\r" in text and "halfway\n" in text and "500/500" in text
    assert text.count("/500") < 50
