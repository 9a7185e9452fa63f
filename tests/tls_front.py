"""TLS before the embedded PostgreSQL, which is built without it: answers a client's request for TLS, then passes on.

A client asks with the packet SSLRequest, and a server that has TLS answers with one byte, S:
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@contextmanager
def tls_front(url: str, certificate: tuple[bytes, bytes], folder: Path) -> Iterator[str]:
    """The address of the same database through TLS, by the name `localhost` and without `sslmode`."""
    (folder / "front.pem").write_bytes(b"".join(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "front.pem")
    parts = conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = (str(parts["host"]), int(str(parts["port"])))
        threading.Thread(target=_accept, args=(listener, target, context), daemon=True).start()
        port = listener.getsockname()[1]
        kept = {name: value for name, value in parts.items() if name != "sslmode"}
        yield make_conninfo("", **kept | {"host": "localhost", "hostaddr": "127.0.0.1", "port": port})
        listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`


def _accept(listener: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, target, context), daemon=True).start()


def _serve(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    with suppress(OSError), client:  # a client that refuses our certificate hangs up
        if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
            return
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as inside, socket.create_connection(target) as server:
            back = threading.Thread(target=_pass_on, args=(server, inside), daemon=True)
            back.start()
            _pass_on(inside, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
