"""Start ``banyan join`` on a host over ssh, and pass on what it says.

The token goes over standard input, so that no list of processes shows it. ssh must not need to ask
for anything (BatchMode).
"""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable
from typing import Final

from banyan.core.errors import HostUnreachable
from banyan.plan.hosts import HostSpec

SSH: Final = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
)
GOODBYE_S: Final = 3.0
"""How long a worker may take to leave once its standard input has closed."""
NOT_CONNECTED: Final = 255
NOT_FOUND: Final = 127


class RemoteHost:
    """A host that was started; ``close`` ends it. ``on_end`` is told why it ended by itself."""

    def __init__(
        self,
        host: HostSpec,
        head: str,
        token: str,
        on_line: Callable[[str], None],
        on_end: Callable[[HostUnreachable], None],
        *,
        tls: bool = False,
    ) -> None:
        """Raises ``HostUnreachable`` when there is no ssh here."""
        self._host = host
        self._on_line = on_line
        self._on_end = on_end
        self._closing = False
        command = [*shlex.split(host.command), "join", head, "--token-stdin", "--leave-with-stdin"]
        command += ["--name", host.name, "--ranks", str(host.ranks), "--device", host.device]
        command += ["--tls"] if tls else []
        self._process = _started([*SSH, "--", host.ssh, shlex.join(command)])
        self._tell(token)
        self._thread = threading.Thread(target=self._relay, name=f"ssh {host.name}", daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """The worker notices that its standard input has closed, and leaves."""
        self._closing = True
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read the token

    def close(self) -> None:
        """Hang up and wait for its end, ``GOODBYE_S`` at most."""
        self.hang_up()
        try:
            self._process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(GOODBYE_S)

    def _tell(self, token: str) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(token + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already: ``_relay`` says why

    def _relay(self) -> None:
        last = ""
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    last = line.strip()
                    self._on_line(f"{self._host.name}: {last}")
        status = self._process.wait()
        if not self._closing:
            self._on_end(_failure(self._host, status, last))


def _started(command: list[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the head, which then hangs up
        )
    except OSError as error:
        raise HostUnreachable(
            f"ssh cannot be started: {error}.",
            remedy="Install an ssh client here, or leave `ssh` out of the hosts file and run "
            "`banyan join` on each machine.",
        ) from None


def _failure(host: HostSpec, status: int, said: str) -> HostUnreachable:
    if status == NOT_CONNECTED:
        return HostUnreachable(
            f"ssh could not reach {host.name} ({host.ssh}): {said}",
            remedy=f"`ssh {host.ssh} true` must work without a password.",
        )
    if status == NOT_FOUND:
        return HostUnreachable(
            f"{host.name} has no command {host.command!r}.",
            remedy="Install Banyan there, or give its path as `command` in the hosts file.",
        )
    return HostUnreachable(f"banyan join on {host.name} ended ({status}): {said}")
