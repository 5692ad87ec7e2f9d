"""The game in a window, by pygame-ce (SDL), with relative mouse movement."""

import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.play.controls import BUTTON_OF_CODE, BUTTON_OF_MOUSE, Controls
from basalt.play.player import Status

WINDOW = (1280, 720)
"""Initial size, that of BEDD's recorder; frames are scaled to the current size."""

_KEYS = (
    "Click to play. W A S D walk, Space jumps, Shift sneaks, Ctrl sprints",
    "E inventory, Q drop, F other hand, 1 to 9 and wheel: hotbar",
    "Left mouse button attacks and digs, right one uses and places, middle one picks",
    "ESC ends the episode; leaving the window pauses it",
)


def has_screen() -> bool:
    """Whether the environment names a display for windows."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class WindowScreen:
    """A window as a `basalt.play.player.Screen`, to be used from the main thread.

    It is paused until the player clicks into it, and whenever it loses the keyboard focus.

    Args:
        title: Title of the task.
        instruction: Instruction of the task.

    Raises:
        MissingDependencyError: pygame-ce is not installed.
        ConfigError: The window cannot be opened.
    """

    def __init__(self, *, title: str, instruction: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as err:
            raise MissingDependencyError(
                "a window needs pygame-ce: pip install 'basalt-benchmark[play]'; "
                "or play in the browser: basalt play browser=true"
            ) from err
        self._pygame = pygame
        self.controls = Controls()
        self.paused = True
        self.left = False
        self._title = title
        self._lines = (instruction, "", *_KEYS)
        self._status = Status()
        self._frame: NDArray[np.uint8] | None = None
        self._began = False
        try:
            pygame.display.init()
            if pygame.display.get_driver() in _UNSEEN:
                raise pygame.error(f"SDL found only {pygame.display.get_driver()!r}")
            pygame.font.init()
            self._window = pygame.display.set_mode(WINDOW, pygame.RESIZABLE)
        except pygame.error as err:
            raise ConfigError(
                f"no window can be opened on this screen ({err}); play in the browser: "
                "basalt play browser=true"
            ) from err
        self._codes = _codes(pygame)
        self._font = pygame.font.Font(None, 28)
        self._draw()

    def show(self, frame: NDArray[np.uint8] | None, status: Status) -> None:
        """See `Screen.show`."""
        self._frame = self._frame if frame is None else frame
        self._status = status
        self._draw()
        self._take_events()

    def wait(self, seconds: float) -> None:
        """See `Screen.wait`."""
        until = time.monotonic() + seconds
        self._take_events()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.005))
            self._take_events()

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()

    def _take_events(self) -> None:
        pg = self._pygame
        for event in pg.event.get():
            if event.type == pg.QUIT:
                self.left = True
            elif event.type == pg.WINDOWFOCUSLOST:
                self._pause()
            elif event.type in (pg.WINDOWRESIZED, pg.WINDOWEXPOSED):
                self._draw()
            elif self.paused:
                if event.type == pg.MOUSEBUTTONUP and self._status.phase == "playing":
                    self._resume()
                elif self._began and event.type == pg.KEYDOWN and event.scancode == pg.KSCAN_ESCAPE:
                    self._end()
            else:
                self._play(event)

    def _play(self, event: Any) -> None:
        pg, controls = self._pygame, self.controls
        match event.type:
            case pg.KEYDOWN if event.scancode == pg.KSCAN_ESCAPE:
                self._end()
            case pg.KEYDOWN | pg.KEYUP if event.scancode in self._codes:
                controls.button(self._codes[event.scancode], down=event.type == pg.KEYDOWN)
            case pg.MOUSEBUTTONDOWN | pg.MOUSEBUTTONUP if event.button - 1 in BUTTON_OF_MOUSE:
                # SDL counts buttons from 1.
                controls.button(
                    BUTTON_OF_MOUSE[event.button - 1], down=event.type == pg.MOUSEBUTTONDOWN
                )
            case pg.MOUSEMOTION:
                controls.move(*event.rel)
            case pg.MOUSEWHEEL:
                controls.wheel(-event.y)

    def _end(self) -> None:
        if self.paused:
            self._resume()
        self.controls.button("ESC", down=True)

    def _resume(self) -> None:
        self.controls.release()
        self._grab(True)
        self.paused = False
        self._began = True
        self._draw()

    def _pause(self) -> None:
        self.controls.release()
        self._grab(False)
        self.paused = True
        self._draw()

    def _grab(self, grabbed: bool) -> None:
        # With a hidden, grabbed pointer SDL reports relative movement without limits.
        self._pygame.event.set_grab(grabbed)
        self._pygame.mouse.set_visible(not grabbed)

    def _draw(self) -> None:
        pg, status = self._pygame, self._status
        self._window.fill((0, 0, 0))
        if self._frame is not None:
            self._draw_frame(self._frame)
        lines: tuple[str, ...] = ()
        if status.phase == "starting":
            lines = (status.note or "The world is starting ...", "", *self._lines)
        elif status.phase == "over":
            lines = (status.note,)
        elif self.paused:
            lines = ("Paused" if self._began else "Ready", "", *self._lines)
        self._draw_lines(lines)
        left = max(0, status.limit - status.step) // STEPS_PER_SECOND
        clock = f" - {left // 60}:{left % 60:02d} left" if status.limit else ""
        pg.display.set_caption(f"{self._title}{clock} - basalt play")
        pg.display.flip()

    def _draw_frame(self, frame: NDArray[np.uint8]) -> None:
        pg = self._pygame
        height, width = frame.shape[:2]
        room = self._window.get_size()
        scale = min(room[0] / width, room[1] / height)
        size = int(width * scale), int(height * scale)
        frame = pg.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB")
        place = (room[0] - size[0]) // 2, (room[1] - size[1]) // 2
        self._window.blit(pg.transform.scale(frame, size), place)

    def _draw_lines(self, lines: tuple[str, ...]) -> None:
        if not lines:
            return
        pg = self._pygame
        width, height = self._window.get_size()
        shade = pg.Surface((width, height), pg.SRCALPHA)
        shade.fill((10, 12, 14, 190))
        self._window.blit(shade, (0, 0))
        text = "\n".join(lines)
        frame = self._font.render(text, True, (230, 236, 241), None, int(width * 0.8))
        self._window.blit(
            frame, ((width - frame.get_width()) // 2, (height - frame.get_height()) // 2)
        )


_UNSEEN = ("offscreen", "dummy")
"""Drivers that SDL falls back to if the named display does not answer."""

_SCANCODES = {"Space": "SPACE", "ShiftLeft": "LSHIFT", "ControlLeft": "LCTRL"}
"""SDL's names of keys that are not the last letter of the W3C code."""


def _codes(pygame: Any) -> dict[int, str]:
    """Buttons by SDL scancode."""
    return {
        getattr(pygame, f"KSCAN_{_SCANCODES.get(code, code[-1])}"): button
        for code, button in BUTTON_OF_CODE.items()
    }
