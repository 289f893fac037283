"""Broker: one connection to an MQTT broker by paho-mqtt, 1.5 to 2.1, from its attempt to its end.

The thread that opens it does everything: paho starts none, and waits for nothing but the attempt.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from doorbelld.net import addresses, tls
from doorbelld.system.wakeup import Wakeup

_KEEPALIVE = 15
"""Seconds without a word after which the broker is asked, and again until it is given up."""

_HANDSHAKE = 5.0
"""Seconds for that of TLS."""

_ANSWER = 10.0
"""Seconds until the broker must have accepted us."""

_LOOK = 5.0
"""Seconds between two looks whether the broker still answers."""

_FAREWELL = 0.5
"""Seconds for the last words."""

_LARGEST = 64 * 1024
"""Bytes of a message to us. paho would keep any size in memory."""

_REFUSED = 0x80

_UNUSED = ("dns", "socks")
"""What paho imports if it is installed, and we do not use: megabytes, and a proxy's settings."""

NO_PAHO = "paho-mqtt is not installed: sudo apt install python3-paho-mqtt"

_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What OpenSSL calls an answer that is none of TLS."""

_ABORT = struct.pack("ii", 1, 0)
"""For SO_LINGER: what was not sent must not be sent later by the kernel, long after the press."""


class BrokerError(Exception):
    """There is no connection, or none any more: a sentence that says why."""


class ClosedError(BrokerError):
    """The broker has closed a connection that it had accepted."""


class Account(NamedTuple):
    """The broker and our account there. ``will`` is what it publishes if the connection is lost."""

    host: str
    port: int
    secure: bool
    client_id: str
    user: str | None
    password: str | None
    will: tuple[str, bytes]

    @property
    def place(self) -> str:
        """Host and port as they are written in a URL."""
        return addresses.with_port(self.host, self.port)


class Connection:
    """One connection. ``open`` begins it, ``wait`` keeps it going, ``close`` ends it.

    Within ``open`` and ``wait``, ``on_message`` is called with topic, payload, and whether it was
    retained; ``on_delivered`` with the number of a message that has arrived, and ``on_subscribed``
    with a topic and whether the broker allows to read it.
    """

    def __init__(
        self,
        account: Account,
        on_message: Callable[[str, bytes, bool], None],
        on_delivered: Callable[[int], None],
        on_subscribed: Callable[[str, bool], None],
    ) -> None:
        self._account = account
        self._on_message = on_message
        self._on_delivered = on_delivered
        self._on_subscribed = on_subscribed
        self._code: int | None = None  # the broker's answer
        self._topics: set[str] = set()
        self._asked: dict[int, str] = {}  # by the numbers of the requests
        self._client = client = _client(account.client_id)
        client.on_connect = self._connected
        client.on_message = self._received
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        topic, payload = account.will
        client.will_set(topic, payload, retain=True)
        if account.user is not None:
            client.username_pw_set(account.user, account.password)
        self._tls = _Context(ssl.PROTOCOL_TLS_CLIENT) if account.secure else None
        if self._tls is not None:
            tls.trust_the_system(self._tls)
            client.tls_set_context(self._tls)

    # Its life

    def open(self, wakeup: Wakeup, is_stopping: Callable[[], bool]) -> bool:
        """Connect; return whether the broker accepts us, False if stopped. Raises BrokerError."""
        try:
            host: Any = addresses.encoded(self._account.host)  # paho takes bytes, too
            self._client.connect(host, self._account.port, keepalive=_KEEPALIVE)
        except (OSError, ValueError) as error:
            is_late = self._tls is not None and self._tls.is_agreed
            raise BrokerError(self._lost() if is_late else _explain(error, self._account)) from None
        sock = self._client.socket()
        if sock is not None:  # Without this, the ring may wait for its picture's acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        give_up_at = time.monotonic() + _ANSWER
        while self._code is None and not is_stopping():
            if time.monotonic() > give_up_at:
                raise BrokerError(f"{self._account.place} does not answer")
            self.wait(wakeup)
        if self._code:
            raise self._lost()
        return self._code == 0

    def wait(self, wakeup: Wakeup) -> None:
        """Read and write once there is something to, or ``wakeup`` is set. Raises BrokerError.

        It returns now and then, even if there is neither.
        """
        client = self._client
        sock = client.socket()
        if sock is None:
            raise self._lost()
        # What TLS has decrypted already, no descriptor shows.
        pending = self._account.secure and sock.pending() > 0
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        ready = dict(poll.poll(0 if pending else _LOOK * 1000))
        if wakeup.fileno() in ready:
            wakeup.clear()
        events = ready.get(sock.fileno(), 0)
        with self._losing_it():
            if pending or events & ~select.POLLOUT:
                self._insist(client.loop_read())
                self._refuse_what_piles_up()
            if events & select.POLLOUT:
                self._insist(client.loop_write())
            is_silent = client.loop_misc() or client.socket() is None
        if is_silent:
            raise BrokerError(f"{self._account.place} no longer answers")

    def close(self, last: tuple[str, bytes] | None = None) -> None:
        """End it. With a ``last`` message, retained, say goodbye properly if that is quick."""
        client = self._client
        if last is not None and client.socket() is not None:
            topic, payload = last
            with suppress(OSError, ValueError):
                client.publish(topic, payload, retain=True)
                client.disconnect()
                self._write_the_rest()
        sock = client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            sock.close()
        # They refer to this object, and it to the client, whose own sockets would stay open.
        client.on_connect = client.on_message = client.on_publish = client.on_subscribe = None

    def _write_the_rest(self) -> None:
        give_up_at = time.monotonic() + _FAREWELL
        sock = self._client.socket()
        while sock is not None and self._client.want_write():
            left = give_up_at - time.monotonic()
            if left <= 0:
                return
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.poll(left * 1000)
            if self._client.loop_write():
                return
            sock = self._client.socket()

    # What it carries

    @property
    def is_busy(self) -> bool:
        """Whether the last message is not yet with the kernel: more would pile up."""
        return bool(self._client.want_write())

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        """Publish a message; return its number. Raises BrokerError."""
        with self._losing_it():
            info = self._client.publish(topic, payload, qos=qos, retain=retain)
        self._insist(info.rc)
        return int(info.mid)

    def subscribe(self, topics: Iterable[str]) -> None:
        """Ask for the messages on these topics. Raises BrokerError."""
        for topic in topics:
            with self._losing_it():
                result, mid = self._client.subscribe(topic, 0)
            self._insist(result)
            self._asked[mid] = topic
            self._topics.add(topic)

    def reads(self, topic: str) -> bool:
        """Return whether it has asked for the messages on a topic."""
        return topic in self._topics

    def unsubscribe(self, topic: str) -> None:
        """Ask for them no more. Raises BrokerError."""
        self._topics.discard(topic)
        with self._losing_it():
            result = self._client.unsubscribe(topic)[0]
        self._insist(result)

    # What paho calls, in 2.x with more arguments

    def _connected(self, _client: Any, _data: Any, _flags: Any, code: Any, *_: Any) -> None:
        self._code = int(getattr(code, "value", code))

    def _received(self, _client: Any, _data: Any, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # We have not asked for it.
        self._on_message(topic, message.payload, bool(message.retain))

    def _published(self, _client: Any, _data: Any, number: int, *_: Any) -> None:
        self._on_delivered(number)

    def _subscribed(self, _client: Any, _data: Any, number: int, codes: Any, *_: Any) -> None:
        topic = self._asked.pop(number, None)
        if topic is not None:
            self._on_subscribed(topic, int(getattr(codes[0], "value", codes[0])) < _REFUSED)

    # What is wrong

    @contextmanager
    def _losing_it(self) -> Iterator[None]:
        """Make a failure of TLS the end of the connection; some versions of paho raise it."""
        try:
            yield
        except ssl.SSLError:
            raise self._lost() from None

    def _insist(self, result: int) -> None:
        if result:
            raise self._lost()

    def _lost(self) -> BrokerError:
        place = self._account.place
        if self._code is None:
            why = "if it expects TLS, set broker = mqtts://…"
            if self._account.secure:  # In TLS 1.3, it refuses a client without one only now.
                why = "it must not require a client certificate; its log may say why"
            return BrokerError(f"{place} closed the connection without an answer; {why}")
        if self._code:
            return BrokerError(_refusal(self._code, self._account))
        return ClosedError(f"{place} closed the connection")

    def _refuse_what_piles_up(self) -> None:
        packet: Any = self._client._in_packet  # noqa: SLF001  # the same in all of paho's versions
        size = packet["remaining_length"]
        if size > _LARGEST:
            raise BrokerError(f"{self._account.place} sent a message of {size} bytes to us")
        # Until their second half comes, paho would keep 65,535 of them, and we asked for none.
        if self._client._in_messages:  # noqa: SLF001
            raise BrokerError(f"{self._account.place} sent a message with QoS 2 to us")


class _Context(ssl.SSLContext):
    """TLS for a client of which every attempt ends in time, and leaves no socket behind.

    paho would wait as long as for a ping, and forget the socket if the handshake fails.
    """

    is_agreed = False
    """Whether there was a handshake that succeeded."""

    def wrap_socket(self, sock: socket.socket, *_: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(_HANDSHAKE)
        try:
            found = super().wrap_socket(sock, server_hostname=options["server_hostname"])
        except ssl.SSLError:
            raise
        except ValueError as error:  # paho would try it without the name.
            raise ssl.SSLError(str(error)) from None
        else:
            self.is_agreed = True
            return found
        finally:
            sock.close()  # Its descriptor belongs to the result now.


def load_library() -> Any:
    """Return paho's client module, of any version. Raises BrokerError if it is not installed."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _UNUSED if name not in modules]
    for name in hidden:
        modules[name] = None  # An import of it fails.
    try:
        from paho.mqtt import client  # only if it is configured
    except ImportError:
        raise BrokerError(NO_PAHO) from None
    finally:
        for name in hidden:
            modules.pop(name, None)
    return client


def _client(client_id: str) -> Any:
    """Return a client of paho. Raises BrokerError if it is not installed."""
    paho = load_library()
    if hasattr(paho, "CallbackAPIVersion"):
        return paho.Client(paho.CallbackAPIVersion.VERSION2, client_id)
    return paho.Client(client_id)


def _refusal(code: int, account: Account) -> str:
    """Return what a CONNACK says, with the codes of MQTT 3 and, by paho 2.x, of MQTT 5."""
    place, user = account.place, account.user
    if user is None:
        credentials = f"{place} requires a password: set user and password_file"
    else:
        credentials = f"{place} does not accept the user {user} with this password"
    sentences = {
        (1, 132): f"{place} does not speak MQTT 3.1.1",
        (2, 133): f"{place} does not accept the client id {account.client_id}",
        (3, 136): f"{place} is not available at the moment",
        (4, 134): credentials,
        (5, 135): credentials,
    }
    found = (sentence for codes, sentence in sentences.items() if code in codes)
    return next(found, f"{place} refuses the connection with the code {code}")


def _explain(error: OSError | ValueError, account: Account) -> str:
    """Return why there is no connection."""
    place, host = account.place, account.host
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, place)
    if account.secure and isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return _no_tls(place)
    why = getattr(error, "strerror", None) or str(error)
    silent = f"{place} does not answer; check that it runs, and that no firewall is in between"
    sentences = (
        (socket.gaierror, f"the name {host} is not known: {why}; check: getent hosts {host}"),
        (ValueError, f"{host} is not a name: {why}"),
        (ConnectionRefusedError, f"{place} refuses connections: is the broker running there?"),
        (PermissionError, f"{place} is kept from us by a filter; sudo doorbelld --check names it"),
        (socket.timeout, silent),  # in Python 3.9 no TimeoutError
        (TimeoutError, silent),
    )
    found = (sentence for kind, sentence in sentences if isinstance(error, kind))
    return next(found, f"{place} cannot be reached: {why}")


def _explain_tls(error: ssl.SSLError, place: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{place} {tls.explain_distrust(error)}"
    reason = getattr(error, "reason", None)  # ours has none
    if isinstance(error, ssl.SSLEOFError) or reason in _NOT_TLS:
        return _no_tls(place)
    return f"TLS with {place} failed: {reason or error}"


def _no_tls(place: str) -> str:
    return f"{place} does not speak TLS: set its port for TLS, usually 8883, or broker = mqtt://…"
