"""Keyboard and mouse of the game, through the X server's XTest extension."""

import contextlib
import select
import time
from collections.abc import Iterator

from Xlib import XK, X, display, error
from Xlib.ext import xtest
from Xlib.protocol import request

from basalt.io.errors import WorldError
from basalt.worlds.luanti.settings import KEYS, MOUSE

ANSWER_TIMEOUT_S = 10.0
"""Time limit for a reply of the X server."""


@contextlib.contextmanager
def _x_errors() -> Iterator[None]:
    try:
        yield
    except (error.ConnectionClosedError, error.XError, OSError) as err:
        raise WorldError(f"the X server is gone ({err}); call reset() to restart it") from err


class Input:
    """Held keys and the pointer of one game window.

    Args:
        display_name: Name of the X server, e.g. `:3`.
        size: Width and height of the window in pixels, by which it is found.

    Raises:
        WorldError: The X server does not answer.
    """

    def __init__(self, display_name: str, size: tuple[int, int]) -> None:
        self._size = size
        try:
            self._display = display.Display(display_name)
        except (error.DisplayError, OSError) as err:
            raise WorldError(f"X server {display_name} does not answer: {err}") from err
        self._screen = self._display.screen()
        screen_size = self._screen.width_in_pixels, self._screen.height_in_pixels
        self._origin = tuple((s - w) // 2 for s, w in zip(screen_size, size, strict=True))
        self._codes = {
            button: self._display.keysym_to_keycode(XK.string_to_keysym(name))
            for button, name in KEYS.items()
        }
        self._held: set[str] = set()

    def take_window(self, timeout: float = 10.0) -> None:
        """Move the game's window to the middle of the screen and give it the keyboard.

        Raises:
            WorldError: The window does not appear.
        """
        self.flush()  # notices a server that hangs; the requests below would wait for it
        deadline = time.monotonic() + timeout
        while not self._window_taken():
            if time.monotonic() > deadline:
                raise WorldError(
                    f"the game did not open a window of {self._size[0]}x{self._size[1]}; call reset() again"
                )
            time.sleep(0.02)
        self.move_pointer(self._size[0] // 2, self._size[1] // 2)
        self.flush()

    @_x_errors()
    def _window_taken(self) -> bool:
        for window in self._screen.root.query_tree().children:
            geometry = window.get_geometry()
            if (geometry.width, geometry.height) == self._size:
                window.configure(x=self._origin[0], y=self._origin[1])
                window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
                return True
        return False

    @_x_errors()
    def hold(self, buttons: set[str]) -> None:
        """Press and release buttons so that exactly these are held; buttons without a key are ignored."""
        # In a fixed order: the order of a set, and then the game, would differ between processes.
        for button in sorted(self._held - buttons):
            self._fake(button, pressed=False)
        for button in sorted(buttons - self._held):
            self._fake(button, pressed=True)
        self._held = set(buttons)

    def _fake(self, button: str, *, pressed: bool) -> None:
        if button in MOUSE:
            kind = X.ButtonPress if pressed else X.ButtonRelease
            xtest.fake_input(self._display, kind, MOUSE[button])
        elif button in self._codes:
            kind = X.KeyPress if pressed else X.KeyRelease
            xtest.fake_input(self._display, kind, self._codes[button])

    @_x_errors()
    def move_pointer(self, x: int, y: int) -> None:
        """Move the pointer to a point, in pixels from the window's top left corner.

        Points outside the window are allowed: they turn the camera far.
        """
        xtest.fake_input(
            self._display, X.MotionNotify, 0, x=self._origin[0] + x, y=self._origin[1] + y
        )

    @_x_errors()
    def flush(self) -> None:
        """Wait until the X server has handled everything so far.

        Raises:
            WorldError: It is gone, or does not answer in time.
        """
        connection = self._display.display
        answer = request.GetInputFocus(display=connection, defer=True)
        connection.flush()
        if not select.select([connection.fileno()], [], [], ANSWER_TIMEOUT_S)[0]:
            raise WorldError(
                f"the X server did not answer within {ANSWER_TIMEOUT_S:g} s; call reset() to restart it"
            )
        answer.reply()

    def close(self) -> None:
        """Release all keys and disconnect from the X server."""
        # If the X server is gone, so are its pressed keys.
        with contextlib.suppress(WorldError):
            self.hold(set())
            self.flush()
        with contextlib.suppress(WorldError), _x_errors():
            self._display.close()
