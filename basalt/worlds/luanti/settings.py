"""How the game is set up and driven during play: its keys, its settings file, its limits."""

import math
import re

from basalt.core.actions import FRAME_SIZE
from basalt.core.recorder_lines import DEGREES_PER_PIXEL

KEYS = {
    "forward": "w",
    "back": "s",
    "left": "a",
    "right": "d",
    "jump": "space",
    "sneak": "Shift_L",
    "sprint": "Control_L",
    "inventory": "e",
    "drop": "q",
    **{f"hotbar.{slot}": str(slot) for slot in range(1, 10)},
}
"""Keysym that presses each button.

ESC is missing because it would open the game's pause menu; the environment ends the episode itself. So are
pickItem and swapHands (`MOD_KEYS`).
"""

MOUSE = {"attack": 1, "use": 3}
"""Mouse button that presses each button."""

MOD_KEYS = {"pickItem": "p", "swapHands": "s"}
"""Buttons without a function in the game: the letter by which the mod (`mod/keys.lua`) is asked instead."""

PITCH_LIMIT = 89.5
"""Largest angle above and below the horizon at which the game looks, in degrees."""

AGE_S = 3.875
"""The game's age when an episode is asked to begin, in seconds.

Shortly before the whole second at which liquids flow; `mod/liquids.lua` waits for that.
"""

FLAMES_REPEAT_S = 33
"""Period after which the pictures of flames look the same, in seconds of the game's age."""

WORLD_MT = """\
gameid = minetest_game
backend = sqlite3
player_backend = sqlite3
auth_backend = sqlite3
mod_storage_backend = sqlite3
"""
"""Text of a new world's `world.mt`."""

SEARCH_SETTINGS = """\
num_emerge_threads = 1
emergequeue_limit_total = 1000000
emergequeue_limit_diskonly = 1000000
emergequeue_limit_generate = 1000000
sqlite_synchronous = 0
server_map_save_interval = 100000
server_announce = false
world_start_time = 12000
time_speed = 0
bind_address = 127.0.0.1
prometheus_listener_address = 127.0.0.1:0
"""
"""Text of the settings file while a site is searched.

One thread generates land, in the order in which it is asked for, so the same seed gives the same trees. An engine
built with Prometheus takes a free port: its default one would allow only one engine per machine.
"""

FOV = 70.0
"""Vertical field of view in degrees, that of MineRL."""

_LOOK_SCALE = 1.37638
"""Measured factor: degrees per pixel = mouse_sensitivity * tan(vertical field of view / 2) * this."""


def window_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the game's window for frames of a size, in pixels.

    A window is at least as high as MineRL's frames, because the engine does not draw its bars smaller than for that
    height. A smaller frame is a picture of such a window, so the game and its mouse are the same at every size.
    """
    width, height = size
    if height >= FRAME_SIZE[1]:
        return size
    return max(1, round(width * FRAME_SIZE[1] / height)), FRAME_SIZE[1]


def vertical_fov(size: tuple[int, int]) -> float:
    """Return the field of view that the game really uses, in degrees: it is wider in narrow windows."""
    aspect = size[0] / size[1]
    return FOV * min(1.4, max(1.0, math.sqrt(1.6 / aspect)))


def _scales(size: tuple[int, int], engine: str) -> dict[str, int | float]:
    """Return the settings of the sizes of forms, bars and letters: the same share of the frame in every engine.

    Engines since 5.7 know limits: scales and density of at least 0.5, and no unit of a form below 0.5555 inches. At
    the lowest density only the last one is in the way, so `mod/crafting.lua` reads the unit. Source:
    `guiFormSpecMenu.cpp` of the engine.
    """
    height = size[1]
    limited = tuple(int(part) for part in re.findall(r"\d+", engine)[:2]) > (5, 6)
    density, scale, least = (0.5, 0.5, 0.5555 * 96 * 0.5 * 0.5) if limited else (1.0, 0.6, 1.0)
    unit = int(max(int(0.9 * min(size)) // 15 * scale, least))
    return {
        **({"display_density_factor": density} if limited else {}),
        "gui_scaling": scale,
        "hud_scaling": round(max(0.3, height / 600) / density, 3),
        "font_size": round(max(5, round(13 * height / 360)) * 0.6 / scale / density),
        # a form's unit, in pixels of a frame 360 pixels high
        "basalt_form_unit": round(unit * 360 / height, 5),
    }


def play_settings(size: tuple[int, int], engine: str) -> str:
    """Return the text of the game's settings file.

    Args:
        size: Width and height of the window in pixels.
        engine: The engine's version, e.g. `5.6.1`.
    """
    width, height = size
    sensitivity = DEGREES_PER_PIXEL / (math.tan(math.radians(vertical_fov(size) / 2)) * _LOOK_SCALE)
    settings: dict[str, str | int | float] = {
        # frame
        "screen_w": width,
        "screen_h": height,
        "autosave_screensize": "false",
        "fov": FOV,
        "viewing_range": 70,
        # A steeper start of the light curve: light levels 2 to 5 of 15 in a cave can be distinguished on
        # a judge's screen, and unlit depths stay dark.
        "display_gamma": 2.0,
        "lighting_alpha": 1.0,
        "lighting_boost_spread": 0.3,
        "enable_shaders": "false",
        "enable_vbo": "false",
        "enable_minimap": "false",
        "enable_clouds": "false",
        "enable_particles": "false",
        "enable_3d_clouds": "false",
        "fog_start": 0.7,
        # The player does not have the privileges for these two. They only stop the game from sampling the sky's
        # brightness in directions that it chooses at random at its start.
        "noclip": "true",
        "free_move": "true",
        "node_highlighting": "box",
        "show_debug": "false",
        "chat_log_level": "none",
        "view_bobbing_amount": 0,
        "fall_bobbing_amount": 0,
        "arm_inertia": "false",
        "smooth_lighting": "true",
        "leaves_style": "fancy",
        **_scales(size, engine),
        "tooltip_show_delay": 0,
        # pace
        "fps_max": 1000,
        "fps_max_unfocused": 1000,
        "vsync": "false",
        "pause_on_lost_focus": "false",
        "dedicated_server_step": 0.04,
        "time_speed": 0,
        "enable_sound": "false",
        # keys and mouse
        "mouse_sensitivity": f"{sensitivity:.7f}",
        "keymap_inventory": "KEY_KEY_E",
        "keymap_aux1": "KEY_LCONTROL",
        "keymap_sneak": "KEY_LSHIFT",
        "keymap_drop": "KEY_KEY_Q",
        "doubletap_jump": "false",
        "aux1_descends": "false",
        "autojump": "false",
        "always_fly_fast": "false",
        # world
        "creative_mode": "false",
        "enable_damage": "true",
        "enable_fence_tall": "true",
        "give_initial_stuff": "false",
        "enable_weather": "false",
        "server_announce": "false",
        "enable_client_modding": "false",
        "max_block_generate_distance": 5,
        "max_block_send_distance": 6,
        "max_simultaneous_block_sends_per_client": 200,
        "full_block_send_enable_min_time_from_building": 0,
        "active_block_range": 2,
        "max_forceloaded_blocks": 400,
        "active_object_send_range_blocks": 4,
        "num_emerge_threads": 1,
        # engines since 5.7: meshes in the order in which they are asked for, on any number of processors
        "mesh_generation_threads": 1,
        "prometheus_listener_address": "127.0.0.1:0",
        # an episode is discarded at its end: nothing needs to reach the disk
        "server_map_save_interval": 100_000,
        "sqlite_synchronous": 0,
        "map_compression_level_disk": 0,
        "profiler_print_interval": 0,
        "debug_log_level": "warning",
        "ignore_world_load_errors": "true",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())
