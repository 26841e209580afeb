"""One API server: GET, watch and writes in raw JSON, asked again where that may help.

Rules. A failure of the network, 429 and 5xx are asked again: after `Retry-After` where the server names it, else after
a wait that doubles; for `Patience.whole_s` in all, and then it is an error. Once that has been waited for in vain, each
later request is tried once until one is answered: twenty lists do not wait twenty times. 401 is asked again once, with
credentials read anew (tokens expire). Everything else is an answer: 403 and 404 do not go away by asking. A write is
asked again like a read where to do it twice does no harm, and else not at all: who writes says which.

This is the one place that translates the client's and urllib3's exceptions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol, cast

import msgspec
import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from urllib3.exceptions import HTTPError

from raypipe.adapters.kubernetes.contexts import configuration_of
from raypipe.errors import ClusterError

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID, TOO_MANY = 401, 403, 404, 409, 410, 422, 429
_STARTING = 500
type Query = Mapping[str, str | int]


class RefusedError(ClusterError):
    """The API server answers, and not with what was asked for.

    status: that of HTTP. reason: the word that Kubernetes has for it (``AlreadyExists``), "" where it has none.
    retry_after_s: when the server wants to be asked again, 0 where it does not say.
    """

    def __init__(self, words: str, status: int, retry_after_s: float = 0.0, reason: str = "") -> None:
        super().__init__(words)
        self.status, self.retry_after_s, self.reason = status, retry_after_s, reason
        self.temporary = status in (TOO_MANY, GONE) or status >= _STARTING


class UnreachableError(ClusterError):
    """No answer, or half of one."""

    temporary = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for, in seconds.

    Attributes:
        connect_s: to be connected. read_s: between two bytes of an answer. whole_s: from the first failure to the last.
        first_s: the first wait, doubled with each further one; most_s: the longest.
        sleep, clock: those of the machine, unless a test has its own.
    """

    connect_s: float = 4.0
    read_s: float = 60.0
    whole_s: float = 12.0
    first_s: float = 0.25
    most_s: float = 4.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is asked; `payload`: what is sent with it, of this content type."""

    method: str = "GET"
    path: str
    query: Query
    payload: bytes | None = None
    content_type: str = JSON


class Sender(Protocol):
    """What those who keep one small object at an API server need of it. `Server` is one."""

    def get(self, path: str) -> Any: ...

    def send(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, again: bool = True
    ) -> Any: ...


class Server:
    """The API server of one kubeconfig context; may be used by several threads."""

    def __init__(
        self,
        context: str,
        patience: Patience | None = None,
        configuration: Callable[[str], Configuration] = configuration_of,
    ) -> None:
        """Raises ClusterError where the context does not say how to reach it."""
        self.context = context
        self._patience = patience or Patience()
        self._configuration = configuration
        self._lock = Lock()
        self._client = ApiClient(configuration(context))
        self._streams: list[urllib3.HTTPResponse] = []
        self._waited_in_vain = self._closed = False
        self.requests = 0

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path; ClusterError where there is none to be had."""
        request = _Request(path=path, query=query or {})
        return self._until_answered(lambda client: self._read(client, request))

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = JSON,
        query: Query | None = None,
        again: bool = True,
    ) -> Any:
        """Write, and return the JSON of the answer; ClusterError where it is refused or nobody answers.

        again: to do it twice does no harm, so it is asked again as a read is. Without, an UnreachableError leaves open
        whether it was done.
        """
        payload = None if body is None else msgspec.json.encode(body)
        request = _Request(method=method, path=path, query=query or {}, payload=payload, content_type=content_type)
        return self._until_answered(lambda client: self._read(client, request), again=again)

    @contextmanager
    def stream(self, path: str, query: Query, quiet_s: float) -> Iterator[Iterator[bytes]]:
        """The lines of a watch as they come; it ends with the server's, or as an error after `quiet_s` of silence."""
        timeout = (self._patience.connect_s, quiet_s)
        request = _Request(path=path, query=query)
        response = self._until_answered(lambda client: self._opened(client, request, timeout))
        with self._lock:
            self._streams.append(response)
            closed = self._closed
        try:
            if not closed:
                yield self._lines(response)
            else:
                yield iter(())
        finally:
            with self._lock:
                self._streams.remove(response)
            response.close()

    def close(self) -> None:
        """Let go of all connections; watches that other threads read end, and nobody waits for an answer any longer."""
        with self._lock:
            self._closed = True
            for response in self._streams:
                response.shutdown()
        self._client.rest_client.close()

    def _until_answered[T](self, ask: Callable[[ApiClient], T], *, again: bool = True) -> T:
        patience, wait, renewed = self._patience, self._patience.first_s, False
        until: float | None = None
        while True:
            client = self._client
            try:
                answer = ask(client)
                self._waited_in_vain = False
                return answer
            except (UnreachableError, RefusedError) as error:
                refused = error if isinstance(error, RefusedError) else None
                if refused is not None and refused.status == UNAUTHORIZED and not renewed:
                    renewed = True
                    self._renew(client)
                    continue
                if not (again and error.temporary) or (refused is not None and refused.status == GONE):
                    raise
                now = patience.clock()
                until = now + patience.whole_s if until is None else until
                pause = max(wait, _retry_after(error))
                if self._closed or self._waited_in_vain or now + pause > until:
                    self._waited_in_vain = True
                    raise
                patience.sleep(pause)
                wait = min(2 * wait, patience.most_s)

    def _renew(self, used: ApiClient) -> None:
        """Read the credentials anew, unless another thread has."""
        with self._lock:
            if self._client is used:
                self._client = ApiClient(self._configuration(self.context))

    def _read(self, client: ApiClient, request: _Request) -> Any:
        timeout = (self._patience.connect_s, self._patience.read_s)
        response = self._opened(client, request, timeout)
        try:
            return msgspec.json.decode(response.data)
        except (HTTPError, OSError) as error:
            raise self._unreachable(client, error) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise UnreachableError(f"{self.context}: {request.path}: no JSON: {error}") from None
        finally:
            response.release_conn()

    def _opened(self, client: ApiClient, request: _Request, timeout: tuple[float, float]) -> urllib3.HTTPResponse:
        """An answer that is about to be read; RefusedError where it is a refusal.

        The client gives address and credentials. Its own way of sending takes no JSON patch as it is.
        """
        connect_s, read_s = timeout
        pairs = [(name, str(value)) for name, value in request.query.items()]
        wanted = {"Accept": JSON, "Accept-Encoding": "gzip"}
        if request.payload is not None:
            wanted["Content-Type"] = request.content_type
        self.requests += 1
        try:
            method, url, headers, *_ = client.param_serialize(
                request.method, request.path, query_params=pairs, header_params=wanted, auth_settings=["BearerToken"]
            )
            answer = client.rest_client.pool_manager.request(
                method,
                url,
                body=request.payload,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect_s, read=read_s),
                preload_content=False,
            )
            if answer.status < 400:
                return cast(urllib3.HTTPResponse, answer)  # a pool of urllib3's own has no other
            told = answer.data
        except (HTTPError, OSError, ApiException) as error:
            raise self._unreachable(client, error) from None
        raise self._refused(request.path, answer, told)

    def _lines(self, response: urllib3.HTTPResponse) -> Iterator[bytes]:
        """Whole lines; what is left of the last one where the answer ends is no line."""
        rest = b""
        try:
            while part := response.read1(65_536):
                *whole, rest = (rest + part).split(b"\n")
                yield from (line for line in whole if line)
        except (HTTPError, OSError, ValueError, AttributeError) as error:  # the last two: closed by another thread
            raise UnreachableError(f"{self.context}: the watch broke: {_words(error)}") from None

    def _unreachable(self, client: ApiClient, error: Exception) -> ClusterError:
        host = client.configuration.host
        words = _words(error)
        if "CERTIFICATE_VERIFY_FAILED" in words or "certificate" in words:
            return ClusterError(f"{self.context}: {host} is not trusted: {words}")  # asking again changes nothing
        return UnreachableError(f"{self.context}: no answer from {host}: {words}")

    def _refused(self, path: str, answer: urllib3.BaseHTTPResponse, told: bytes) -> RefusedError:
        status, said = answer.status, _said(told)
        words = said.message or answer.reason or ""
        match status:
            case 401:
                words = f"its credentials are not accepted (401 {words}): expired, or not of this cluster"
            case 403:
                words = f"forbidden: {words}"
            case _:
                words = f"{path}: {status} {words}"
        return RefusedError(
            f"{self.context}: {words}", status, _seconds(answer.headers.get("Retry-After")), said.reason
        )


def _retry_after(error: ClusterError) -> float:
    return error.retry_after_s if isinstance(error, RefusedError) else 0.0


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0


class _Status(msgspec.Struct):
    """What Kubernetes answers where it refuses."""

    message: str = ""
    reason: str = ""


def _said(body: bytes) -> _Status:
    try:
        told = msgspec.json.decode(body, type=_Status)
        return _Status(message=" ".join(told.message.split())[:500], reason=told.reason)
    except (msgspec.DecodeError, RecursionError):
        return _Status(message=" ".join(body[:200].decode(errors="replace").split()))


def _words(error: Exception) -> str:
    """The innermost reason of an error of the network, without the addresses of Python's objects."""
    reason = getattr(error, "reason", None) or error.__cause__ or error
    text = " ".join(str(reason).split())
    return (text.rpartition(">: ")[2] or type(error).__name__)[:200]
