"""Frozen dataclasses to JSON and back, strictly, and `--set a.b=value`.

A config is a frozen, keyword-only dataclass made of numbers, strings, literals, tuples,
string-keyed mappings and other configs. A union is written with its class name under "kind".
Not its job: knowing what any option means (each config stands beside the component it builds).
"""

import copy
import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
KIND = "kind"


class ConfigError(ValueError):
    """A config, or a change to one, that says what, where and how to mend it."""


def to_dict(config: Any) -> Any:
    """Plain JSON data of a config; every dataclass carries its class name under "kind"."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
        return {KIND: type(config).__name__, **fields}
    if isinstance(config, Mapping):
        return {key: to_dict(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_dict(value) for value in config]
    return config


def canonical_json(config: Any) -> str:
    """One spelling per config: sorted keys, no spaces."""
    return json.dumps(to_dict(config), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(config: Any) -> str:
    """sha256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def parse_json(text: str, where: str = "JSON") -> Any:
    """`json.loads` that refuses duplicate keys (the standard one silently keeps the last).

    Raises:
        ConfigError: broken JSON or a duplicate key, with the place.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in items:
            if key in seen:
                raise ConfigError(f"{where}: the key {key!r} is given twice; keep one")
            seen[key] = value
        return seen

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error


def from_dict(cls: type[T], data: Any, where: str = "") -> T:
    """Build a `cls` from plain data.

    Raises:
        ConfigError: unknown key (with the nearest right one), wrong type, or missing key.
    """
    return typing.cast(T, _build(cls, data, where or cls.__name__))


def override(config: T, assignments: Sequence[str]) -> T:
    """A copy of `config` with changes such as `optim.lr=3e-4` or `model.encoder.*.dropout=0.2`.

    Values are JSON, or bare strings; the name of a config class switches a union to its defaults,
    which later changes reach: `optim=Adafactor`, then `optim.beta1=0.9`. `*` stands for every item
    of a tuple, the name of a config class for those of that class.

    Raises:
        ConfigError: unknown path, wrong type, one path given twice, or a change that undoes an
            earlier one.
    """
    data = to_dict(config)
    done: dict[str, set[_Place]] = {}
    for assignment in assignments:
        path, sign, text = assignment.partition("=")
        path = path.strip()
        if not sign or not path:
            raise ConfigError(f"--set {assignment!r}: write it as section.option=value")
        if path in done:
            raise ConfigError(f"--set {path}: given twice; keep one")
        written = set(_assign(type(config), data, path.split("."), _value(text), path))
        for before, places in done.items():
            if all(_inside(place, written) for place in places):
                raise ConfigError(
                    f"--set {path}: undoes --set {before} before it; put it first, or keep one"
                )
        done[path] = written
    return from_dict(type(config), data)


def unknown_name(name: str, known: Iterable[str], what: str) -> str:
    """A message for a wrong name that offers the nearest right one."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(options)}"
    return f"unknown {what} {name!r}; {hint}"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"true": True, "false": False, "none": None}.get(text.strip().lower(), text)


_Place = tuple[str | int, ...]


def _inside(place: _Place, written: set[_Place]) -> bool:
    return any(place[: n + 1] in written for n in range(len(place)))


def _assign(hint: Any, data: Any, path: list[str], value: Any, where: str) -> list[_Place]:
    """Write `value` at `path` inside plain data of this type, checking every step; the places
    where it now stands."""
    places: list[_Place] = []
    head, rest = path[0], path[1:]
    for key in _keys(hint, data, head, where):
        if not rest:
            data[key] = copy.deepcopy(value)
            places.append((key,))
            continue
        part = _part(hint, data, key)
        given = data.get(key) if isinstance(data, dict) else data[key]
        data[key] = _opened(part, given, where)
        if not isinstance(data[key], dict | list):
            name = where.removesuffix("." + ".".join(rest))
            names = sorted(_classes(part))
            first = f"; set {name} to one of {', '.join(names)} first" if names else ""
            raise ConfigError(f"--set {where}: {name} is {data[key]!r}, which has no parts{first}")
        places += [(key, *place) for place in _assign(part, data[key], rest, value, where)]
    return places


def _keys(hint: Any, data: Any, head: str, where: str) -> Iterable[str | int]:
    """The keys or indices in plain data that a step of a path stands for."""
    if isinstance(data, list) and head == "*":
        if not data:
            raise ConfigError(f"--set {where}: there is nothing that '*' could stand for")
        return range(len(data))
    if isinstance(data, list):
        kinds = [item.get(KIND) if isinstance(item, dict) else None for item in data]
        named = [number for number, kind in enumerate(kinds) if kind == head]
        return named or [_index(head, kinds, where)]
    if KIND in data:
        known = {f.name for f in dataclasses.fields(_classes(hint)[data[KIND]])}
        if head not in known:
            raise ConfigError(f"--set {where}: {unknown_name(head, known, 'option')}")
    return [head]


def _index(text: str, kinds: list[Any], where: str) -> int:
    if not text.lstrip("-").isdigit() or not -len(kinds) <= int(text) < len(kinds):
        names = ["*", *dict.fromkeys(str(kind) for kind in kinds if kind)]
        told = f"{text!r} is not an index of {len(kinds)} items (or {', '.join(names)})"
        raise ConfigError(f"--set {where}: {told}")
    return int(text) % len(kinds)


def _part(hint: Any, data: Any, key: str | int) -> Any:
    """The type of one part of plain data of a type."""
    if isinstance(data, dict) and KIND in data:
        return typing.get_type_hints(_classes(hint)[data[KIND]])[str(key)]
    wanted = (tuple,) if isinstance(data, list) else (dict, Mapping)
    for option in _options(hint):
        args = get_args(option)
        if get_origin(option) in wanted:
            each = args[1] if isinstance(data, dict) else args[0]
            fixed = isinstance(data, list) and args[-1] is not Ellipsis
            return args[int(key)] if fixed else each
    return Any


def _opened(hint: Any, data: Any, where: str) -> Any:
    """Plain data with the defaults of the config that it names, or of which it has some options,
    written out; data of no config as they are."""
    classes = _classes(hint)
    if isinstance(data, str) and data in classes:
        data = {KIND: data}
    if not isinstance(data, dict) or not classes:
        return data
    kind = data.get(KIND, next(iter(classes)) if len(classes) == 1 else None)
    if kind is None:
        raise ConfigError(f'--set {where}: give "kind" first, one of {sorted(classes)}')
    if kind not in classes:
        raise ConfigError(f"--set {where}: {unknown_name(str(kind), classes, 'kind')}")
    opened = {KIND: kind}
    for field in dataclasses.fields(classes[kind]):
        if field.default is not dataclasses.MISSING:
            opened[field.name] = to_dict(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            opened[field.name] = to_dict(field.default_factory())
    return {**opened, **data}


def _options(hint: Any) -> tuple[Any, ...]:
    """What a union allows; of any other type itself."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _classes(hint: Any) -> dict[str, Any]:
    """The configs that a type allows, by name."""
    return {
        option.__name__: option
        for option in _options(hint)
        if dataclasses.is_dataclass(option) and isinstance(option, type)
    }


def _build(hint: Any, data: Any, where: str) -> Any:
    """Turn plain data into what the type hint asks for."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(typing.cast(type, hint), data, where)
    if origin in (Union, types.UnionType):
        return _build_union(hint, data, where)
    if origin is Literal:
        if data not in get_args(hint):
            options = [str(option) for option in get_args(hint)]
            raise ConfigError(f"{where}: {unknown_name(str(data), options, 'value')}")
        return data
    if origin is tuple:
        return _build_tuple(get_args(hint), data, where)
    if origin in (dict, Mapping):
        if not isinstance(data, dict):
            raise ConfigError(f"{where}: expected a mapping, got {data!r}")
        return {
            key: _build(get_args(hint)[1], value, f"{where}.{key}") for key, value in data.items()
        }
    return _build_scalar(hint, data, where)


def _build_scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is Any:
        return data
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    wrong_bool = isinstance(data, bool) and hint is not bool
    if wrong_bool or not isinstance(data, type(None) if hint is None else hint):
        name = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{where}: expected {name}, got {data!r}")
    return data


def _build_tuple(args: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise ConfigError(f"{where}: expected a list, got {data!r}")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(args) != len(data):
        raise ConfigError(f"{where}: expected {len(args)} items, got {len(data)}")
    return tuple(
        _build(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(args, data, strict=True))
    )


def _build_union(hint: Any, data: Any, where: str) -> Any:
    args, classes = get_args(hint), _classes(hint)
    if data is None and type(None) in args:
        return None
    if isinstance(data, str) and data in classes:
        return _build(classes[data], {}, where)
    if isinstance(data, dict) and KIND in data:
        if data[KIND] not in classes:
            raise ConfigError(f"{where}: {unknown_name(str(data[KIND]), classes, 'kind')}")
        return _build(classes[data[KIND]], data, where)
    scalars = [a for a in args if a is not type(None) and not dataclasses.is_dataclass(a)]
    problems = []
    for option in scalars:
        try:
            return _build(option, data, where)
        except ConfigError as error:
            problems.append(str(error))
    if len(classes) == 1 and isinstance(data, dict):
        return _build(next(iter(classes.values())), data, where)
    if classes and isinstance(data, str):
        raise ConfigError(f"{where}: {unknown_name(data, classes, 'kind')}")
    raise ConfigError(
        problems[0] if problems else f'{where}: give "kind", one of {sorted(classes)}'
    )


def _build_dataclass(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected the options of {cls.__name__}, got {data!r}")
    kind = data.get(KIND, cls.__name__)
    if kind != cls.__name__:
        raise ConfigError(f"{where}: expected {cls.__name__}, got kind {kind!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key != KIND and key not in fields:
            raise ConfigError(f"{where}: {unknown_name(key, fields, 'option')}")
    values = {k: _build(hints[k], v, f"{where}.{k}") for k, v in data.items() if k != KIND}
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING
        if name not in values and no_default and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: the option {name!r} is missing")
    try:
        return cls(**values)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
