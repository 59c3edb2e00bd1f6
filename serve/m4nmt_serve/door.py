"""The door of a dialect: finds the key where this dialect's clients put it, and lets in or not.

It stands before all routes of a dialect, so that none can forget it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from m4nmt_serve.errors import ServiceError
from m4nmt_serve.keys import Caller, Keys, let_in
from m4nmt_serve.params import read_params


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where a dialect looks for a key, and how it says no.

    Attributes:
        scheme: of the Authorization header, in small letters.
        headers, parameters: other places.
        refused: status without a key, or with a wrong one.
        spent: status when the month's characters are used up.
        ask: what to do, for the message.
    """

    scheme: str = ""
    headers: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    refused: int = 403
    spent: int = 403
    ask: str


def entrance(
    keys: Keys | None, door: Door, needed: bool = True
) -> Callable[[Request], Awaitable[None]]:
    """A dependency for a router; it raises ServiceError: `refused`, or 429 for too many requests.

    Without keys everybody is let in. Where a key is not `needed`, whoever sends none is let in as
    one without an account; a wrong one is refused all the same.
    """

    async def enter(request: Request) -> None:
        if keys is None:
            let_in(Caller(None, door.spent))
            return
        key = await _key(request, door)
        if not key and not needed:
            let_in(Caller(None, door.spent))
            return
        account = keys.find(key) if key else None
        if account is None:
            what = "this API key is not known" if key else "an API key is needed"
            raise ServiceError(door.refused, f"{what}: {door.ask}")
        account.request()
        let_in(Caller(account, door.spent))

    return enter


async def _key(request: Request, door: Door) -> str:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if door.scheme and scheme.lower() == door.scheme and given.strip():
        return given.strip()
    for name in door.headers:
        if request.headers.get(name):
            return request.headers[name]
    if door.parameters:
        params = await read_params(request)
        for name in door.parameters:
            if isinstance(params.get(name), str) and params[name]:
                return str(params[name])
    return ""
