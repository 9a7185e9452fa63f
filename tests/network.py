"""Several hosts on one machine: network namespaces on a switch. A test can pull their cables.

A pulled cable loses packets without a word: no reset, no refusal, as when a switch fails. Needs Linux, root, and the
`ip` and `nsenter` of iproute2 and util-linux. Nothing of it touches the machine's own network.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

Answer = TypeVar("Answer")

HOSTS = ("db", "web", "host1", "host2")
SUBNET = "10.77.0"
_TOOLS = "/usr/sbin:/sbin"  # where Debian keeps `ip`; the path of a plain root shell may lack it
_CLONE_NEWNET = 0x40000000  # linux/sched.h


class Network:
    """Hosts with an address each, all plugged into one switch, which stands on the first."""

    def __init__(self) -> None:
        self._prefix = f"onbrand-{uuid4().hex[:6]}-"

    def address(self, host: str) -> str:
        return f"{SUBNET}.{HOSTS.index(host) + 1}"

    def build(self) -> None:
        """Make it all.

        Raises:
            subprocess.CalledProcessError: the kernel does not let us.
        """
        for host in HOSTS:
            _ip("netns", "add", self._prefix + host)
            self._on(host, "link", "set", "lo", "up")
        switch, *others = HOSTS
        self._on(switch, "link", "add", "switch", "type", "bridge")
        self._on(switch, "address", "add", f"{self.address(switch)}/24", "dev", "switch")
        self._on(switch, "link", "set", "switch", "up")
        for host in others:
            cable = ["name", "eth0", "type", "veth", "peer", "name", host, "netns", self._prefix + switch]
            self._on(host, "link", "add", *cable)
            self._on(host, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            self._on(host, "link", "set", "eth0", "up")
            self._on(switch, "link", "set", host, "master", "switch", "up")

    def tear_down(self) -> None:
        for host in HOSTS:
            subprocess.run([tool("ip"), "netns", "delete", self._prefix + host], capture_output=True)

    def pull_cable(self, host: str) -> None:
        """From now on nothing reaches the host and nothing comes from it."""
        self._on(HOSTS[0], "link", "set", host, "down")

    def plug_in(self, host: str) -> None:
        self._on(HOSTS[0], "link", "set", host, "up")

    def command(self, host: str, program: Sequence[str]) -> list[str]:
        """What to start to have `program` run on the host, under the process id of what was started."""
        return [tool("nsenter"), f"--net={self._file(host)}", *program]

    def on(self, host: str, ask: Callable[[], Answer]) -> Answer:
        """Do something on the host: in a thread of its own, because a thread can move to another network."""

        def move_and_ask() -> Answer:
            with self._file(host).open() as place:
                if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "cannot move to the host's network")
            return ask()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(move_and_ask).result()

    def _file(self, host: str) -> Path:
        return Path("/run/netns") / (self._prefix + host)

    def _on(self, host: str, *arguments: str) -> None:
        _ip("-n", self._prefix + host, *arguments)


def tool(name: str) -> str:
    """Where a program is; empty if it is nowhere."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_TOOLS}") or ""


def _ip(*arguments: str) -> None:
    subprocess.run([tool("ip"), *arguments], check=True, capture_output=True, text=True)
