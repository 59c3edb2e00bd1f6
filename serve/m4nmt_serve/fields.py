"""Single parameters of a request, checked: a text, texts, a number, yes or no, a table.

Every function raises ServiceError 400 that names the parameter. Not its job: where parameters
come from (params.py).
"""

from collections.abc import Collection, Sequence

from m4nmt.core.config import unknown_name
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.params import Params, Upload

_YES = ("true", "1", "yes", "on")
_NO = ("false", "0", "no", "off", "")


def only(params: Params, names: Collection[str]) -> None:
    """No others than these: what would be ignored is refused."""
    for name in params:
        if name not in names:
            raise ServiceError(400, unknown_name(name[:60], sorted(names), "parameter"))


def none_of(params: Params, names: Collection[str]) -> None:
    """None of these, which would promise something that cannot be done here."""
    for name in names:
        if params.get(name):
            raise ServiceError(400, f"{name} is not supported here; leave it out")


def text(params: Params, name: str, default: str | None = None, blank: bool = False) -> str:
    """A text; `default` where there is none; only `blank` ones may be white space."""
    value = params.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not (blank or default is not None or value.strip()):
        raise ServiceError(400, f"{name} is missing, or is not a text")
    return value


def texts(params: Params, name: str) -> list[str]:
    """One text or several."""
    value = params.get(name)
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ServiceError(
            400,
            f"{name} must be a text or a list of texts (JSON needs Content-Type: application/json)",
        )
    return value


def words(params: Params, name: str) -> tuple[str, ...]:
    """Texts, or none; one text may hold several with commas between."""
    value = params.get(name)
    if value is None or value == "":
        return ()
    return tuple(w.strip() for each in texts(params, name) for w in each.split(",") if w.strip())


def flag(params: Params, name: str, default: bool = False) -> bool:
    """Yes or no, in JSON or as forms write it."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in (*_YES, *_NO):
        return value.lower() in _YES
    raise ServiceError(400, f"{name} must be true or false")


def whole(params: Params, name: str, default: int = 0) -> int:
    """A whole number."""
    value = params.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdigit():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ServiceError(400, f"{name} must be a whole number")
    return value


def table(params: Params, name: str) -> dict[str, str]:
    """Texts by text; empty where there is none."""
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(x, str) for x in value.values()):
        raise ServiceError(400, f'{name} must be an object of texts, such as {{"term": "Wort"}}')
    return value


def one_of(params: Params, name: str, options: Sequence[str]) -> str:
    """One of some words; the first where there is none."""
    value = params.get(name)
    if value is None or value == "":
        return options[0]
    if not isinstance(value, str) or value not in options:
        raise ServiceError(400, f"{name} must be {', '.join(options[:-1])} or {options[-1]}")
    return value


def upload(params: Params, name: str) -> Upload:
    """A file of a multipart form."""
    value = params.get(name)
    if not isinstance(value, Upload) or not value.name:
        raise ServiceError(400, f"{name} is missing: send a file as multipart/form-data")
    return value
