"""A client that does what no gRPC library would: it speaks HTTP/2 by hand, and takes no data until it is told to."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
FRAME_HEADER_BYTES = 9


class UnreadingClient:
    """Calls one method over a connection whose windows are 0, so that no message reaches it until it `reads`.

    Args:
        target: HOST:PORT.
        path: the method, `/package.Service/Method`.
        message: the request, encoded.
        call_count: how many calls to make.
    """

    def __init__(self, target: str, path: str, message: bytes, *, call_count: int = 1) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._call_count = call_count
        self._ended = 0
        self._last_headers = b""
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, _setting(0)))
        for call in range(call_count):
            stream = 2 * call + 1
            body = b"\0" + struct.pack(">I", len(message)) + message
            self._socket.sendall(_frame(HEADERS, END_HEADERS, stream, _headers(path)))
            self._socket.sendall(_frame(DATA, END_STREAM, stream, body))
        self._reading = threading.Thread(target=self._answer_frames, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reading.join(5)
        self._socket.close()

    @property
    def all_ended(self) -> bool:
        """Whether the server has ended every call."""
        return self._ended == self._call_count

    @property
    def last_headers(self) -> bytes:
        """The headers or trailers that came last, compressed as they are."""
        return self._last_headers

    def read(self) -> None:
        """Open the windows: take everything from now on."""
        self._socket.sendall(_frame(SETTINGS, 0, 0, _setting(1_000_000)))

    def _answer_frames(self) -> None:
        buffer = b""
        try:
            while data := self._socket.recv(65536):
                buffer += data
                while len(buffer) >= FRAME_HEADER_BYTES:
                    end = FRAME_HEADER_BYTES + int.from_bytes(buffer[:3], "big")
                    if len(buffer) < end:
                        break
                    self._take(buffer[3], buffer[4], buffer[FRAME_HEADER_BYTES:end])
                    buffer = buffer[end:]
        except OSError:
            pass

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind in {SETTINGS, PING} and not flags & ACK:
            self._socket.sendall(_frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == HEADERS:
            self._last_headers = payload
            self._ended += bool(flags & END_STREAM)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _setting(window: int) -> bytes:
    return struct.pack(">HI", INITIAL_WINDOW_SIZE, window)


def _headers(path: str) -> bytes:
    """The headers of a call, each as a literal that no table remembers."""
    pairs = {
        ":method": "POST", ":scheme": "http", ":path": path, ":authority": "x",
        "content-type": "application/grpc", "te": "trailers",
    }  # fmt: skip
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs.items())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
