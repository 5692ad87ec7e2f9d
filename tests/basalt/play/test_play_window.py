"""The window where it cannot be: one clear error that names the other way.

On a real X server it is played in tests/e2e/test_play.py.
"""

import sys

import pytest

from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.play.window import WindowScreen, has_screen


def test_a_screen_is_what_the_environment_names(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_screen()


def test_without_pygame_the_browser_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingDependencyError, match=r"basalt-benchmark\[play\].*browser=true"):
        WindowScreen(title="Find Cave", instruction="")


@pytest.mark.parametrize("driver", ["x11", None])
def test_a_screen_that_is_gone_is_said(monkeypatch, driver):
    pytest.importorskip("pygame", reason="pygame-ce is not installed")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if driver:
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    monkeypatch.setenv("DISPLAY", ":9999")
    with pytest.raises(ConfigError, match=r"no window can be opened .*browser=true"):
        WindowScreen(title="Find Cave", instruction="")
