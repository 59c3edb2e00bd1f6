"""The parameters of a request, wherever the client put them: query, form or JSON body.

Strict about bytes (UTF-8 only) and JSON (no duplicate keys, no NaN); the dialects check meaning.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.requests import Request

from m4nmt.core.config import ConfigError, parse_json
from m4nmt_serve.errors import ServiceError

Params = dict[str, Any]


class Upload(NamedTuple):
    """A file that a form brought."""

    name: str
    data: bytes


async def read_params(request: Request) -> Params:
    """All parameters by name; the body wins over the query. A name given twice becomes a list.

    A file of a multipart form is an `Upload`. What was read is kept for whoever asks again.

    Raises:
        ServiceError: 400, not UTF-8, not JSON, or a JSON body that is no object.
    """
    state = request.scope.setdefault("state", {})
    if "m4nmt_params" not in state:
        state["m4nmt_params"] = await _read(request)
    params: Params = state["m4nmt_params"]
    return params


async def read_json(request: Request) -> Any:
    """A JSON body, whatever it is.

    Raises:
        ServiceError: 400, not UTF-8, or not JSON.
    """
    return _parsed(await request.body())


async def _read(request: Request) -> Params:
    params = _urlencoded(request.scope.get("query_string", b""))
    body = await request.body()
    if not body:
        return params
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return params | _json(body)
    if kind == "multipart/form-data":
        return params | await _multipart(request)
    if kind in ("application/x-www-form-urlencoded", ""):
        return params | _urlencoded(body)
    raise ServiceError(400, f"content type {kind[:60]!r} is not supported; send JSON or a form")


def _json(body: bytes) -> Params:
    data = _parsed(body)
    if not isinstance(data, dict):
        raise ServiceError(400, 'the body must be a JSON object, such as {"q": "Hello"}')
    return data


def _parsed(body: bytes) -> Any:
    try:
        return parse_json(body.decode(), "the body")
    except UnicodeDecodeError as error:
        raise ServiceError(400, "the body is not UTF-8") from error
    except ConfigError as error:
        raise ServiceError(400, str(error)) from error
    except (RecursionError, ValueError) as error:  # too deep; an integer of thousands of digits
        raise ServiceError(400, "the body is JSON that cannot be read (too deep?)") from error


def _urlencoded(body: bytes) -> Params:
    try:
        pairs = parse_qsl(
            body.decode("ascii", errors="strict") if body.isascii() else body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=2000,
        )
    except UnicodeDecodeError as error:
        raise ServiceError(400, "the form is not UTF-8") from error
    except ValueError as error:
        raise ServiceError(400, "the form has too many fields") from error
    return _gather(pairs)


async def _multipart(request: Request) -> Params:
    try:
        async with request.form(max_files=1, max_fields=2000) as form:
            items = list(form.multi_items())
            files = [(k, v) for k, v in items if isinstance(v, UploadFile)]
            uploads = {k: Upload(v.filename or "", await v.read()) for k, v in files}
    except UnicodeDecodeError as error:
        raise ServiceError(400, "the form is not UTF-8") from error
    return _gather([(k, v) for k, v in items if isinstance(v, str)]) | uploads


def _gather(pairs: list[tuple[str, str]]) -> Params:
    out: Params = {}
    for name, value in pairs:
        if name not in out:
            out[name] = value
        elif isinstance(out[name], list):
            out[name].append(value)
        else:
            out[name] = [out[name], value]
    return out
