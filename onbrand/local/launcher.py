"""A small program that changes to the user of one of PostgreSQL's programs, and then becomes that program.

It runs by its path in a new interpreter (`python -I -S launcher.py …`), so it imports nothing from `onbrand`. A
`preexec_fn` would do the same inside the parent process, which Python's documentation calls unsafe once the parent has
threads. `privileges.py` chooses the user.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent_pid: int, death_signal: int, identity: str, cwd: str, command: list[str]) -> None:
    """Replace this process by `command`, in `cwd`, as `identity` (`self`, `user:UID:GID` or `namespace:UID:GID`).

    On Linux the program gets `death_signal` when the thread that started it ends. The new user enters `cwd`. So a
    folder that this user cannot reach is an error here, with a clear message.
    """
    how, *ids = identity.split(":")
    if how == "user":
        os.setgroups([])
        os.setgid(int(ids[1]))
        os.setuid(int(ids[0]))
    elif how == "namespace":
        enter_namespace(*ids)
    if sys.platform == "linux":
        # After the change of user, because the kernel forgets the signal when credentials change (prctl(2)).
        _check(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent_pid:
        sys.exit("the supervisor ended before its database started")  # then the signal would never come
    os.chdir(cwd)
    # Only these variables: PG* would change the server's settings, ONBRAND_* may contain keys, and the supervisor reads
    # the server's messages in English.
    os.execve(command[0], command, {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath})


def enter_namespace(uid: str, gid: str) -> None:
    """Enter a user namespace where the current user has the number `uid`: same files, no root rights, no other user."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER))
    for name, text in (
        (
            "setgroups",
            "deny",
        ),  # user_namespaces(7): a process without CAP_SETGID outside must write this before gid_map
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
