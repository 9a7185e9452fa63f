"""The last step between the supervisor and one of PostgreSQL's programs: become its user, then become the program.

Run by path in a fresh interpreter (`python -I -S launcher.py …`), and therefore without any import from `onbrand`. A
`preexec_fn` would do the same inside the parent, which isn't safe once the parent has threads (says Python's
documentation of it). It does not choose the user; that is `privileges.py`.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent_pid: int, death_signal: int, identity: str, cwd: str, command: list[str]) -> None:
    """Replace this process by `command`, in `cwd`, as `identity` (`self`, `user:UID:GID` or `namespace:UID:GID`).

    On Linux the program gets `death_signal` when the thread that started it ends. `cwd` is entered as the new user, so
    a folder that user cannot reach is an error here and not a riddle later.
    """
    how, *ids = identity.split(":")
    if how == "user":
        os.setgroups([])
        os.setgid(int(ids[1]))
        os.setuid(int(ids[0]))
    elif how == "namespace":
        enter_namespace(*ids)
    if sys.platform == "linux":
        # After the change of user: the kernel forgets the signal when credentials change (prctl(2)).
        _check(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent_pid:
        sys.exit("the supervisor ended before its database started")  # and so no signal would ever come
    os.chdir(cwd)
    # A short environment: PG* variables would change the server's settings, ONBRAND_* may hold keys, and the messages
    # must be English for the supervisor to read them.
    os.execve(command[0], command, {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath})


def enter_namespace(uid: str, gid: str) -> None:
    """A user namespace in which this very user is called `uid`: same files, no root rights, no other user."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),  # user_namespaces(7): required before gid_map by whoever lacks CAP_SETGID outside
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
    except (AttributeError, OSError) as error:  # AttributeError: a C library without unshare
        sys.exit(str(error))
