"""Which Minecraft a client uses, where several run and several clients want one.

The process itself does not refuse a second client: both would control the same player. So clients on one machine
claim an address through a lock file, which is released when their process exits.
"""

import os
import re
from collections.abc import Sequence

from filelock import FileLock, Timeout

from basalt.io.errors import ConfigError
from basalt.io.paths import cache_dir
from basalt.worlds.minerl.protocol import Address, MinecraftBusy

ENVIRONMENT = "BASALT_MINERL"
"""Environment variable with the default addresses: HOST:PORT, or several separated by commas."""


def parse_addresses(spec: str | Sequence[str] | None) -> tuple[Address, ...]:
    """Return the addresses of a setting.

    Args:
        spec: One address, several separated by commas, or a list; None reads `$BASALT_MINERL`.

    Raises:
        ConfigError: One of them is not an address, or is named twice.
    """
    if spec is None:
        spec = os.environ.get(ENVIRONMENT) or ()
    if isinstance(spec, str):
        spec = [part for part in spec.split(",") if part.strip()]
    addresses = tuple(Address.parse(str(text)) for text in spec)
    if len(set(addresses)) != len(addresses):
        raise ConfigError(
            f"address: expected each address once, got {', '.join(map(str, addresses))}"
        )
    return addresses


class Claim:
    """An address that no other client on this machine uses, until `release`.

    Attributes:
        address: The address.
        earlier_task: Name of the task that was last played there from this machine, or "".
    """

    def __init__(self, address: Address, earlier_task: str, lock: FileLock) -> None:
        self.address = address
        self.earlier_task = earlier_task
        self._lock = lock

    def release(self) -> None:
        """Give the address back; may be called twice."""
        self._lock.release()


def claim_address(addresses: Sequence[Address], task: str) -> Claim:
    """Claim a free address, preferably one where only this task was played.

    Raises:
        MinecraftBusy: Other clients on this machine use all of them.
    """
    folder = cache_dir() / "minerl" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    for only_this_task in (True, False):
        for address in addresses:
            name = re.sub(r"[^\w.-]", "_", str(address))
            # Any thread may close the environment.
            lock = FileLock(folder / f"{name}.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            last_task = folder / f"{name}.task"
            earlier_task = last_task.read_text(encoding="utf-8") if last_task.is_file() else ""
            if only_this_task and earlier_task not in ("", task):
                lock.release()
                continue
            last_task.write_text(task, encoding="utf-8")
            return Claim(address, earlier_task, lock)
    raise MinecraftBusy(
        f"address: {', '.join(map(str, addresses))}: in use by other environments on this machine; "
        "give each its own Minecraft (address=[HOST:PORT,HOST:PORT])"
    )
