"""What bodies and refusals look like, for /openapi.json. Not its job: checking them (fields.py)."""

from collections.abc import Callable
from typing import Any

from m4nmt_serve.door import Door
from m4nmt_serve.errors import ServiceError

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
ONE_OR_MORE: dict[str, Any] = {"anyOf": [TEXT, TEXTS]}
TABLE: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
FLAG: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
JSON = ("application/json",)
JSON_OR_FORM = ("application/json", "application/x-www-form-urlencoded")


def body(
    required: tuple[str, ...], properties: dict[str, Any], kinds: tuple[str, ...] = JSON
) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is an object of these properties."""
    schema = {"type": "object", "required": list(required), "properties": properties}
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}


def refusals(
    shape: Callable[[ServiceError], dict[str, Any]], door: Door
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a dialect's routes: all that any of them may refuse with."""
    example = shape(ServiceError(400, "what is wrong, and how to mend it"))
    schema = {"type": "object", "required": [*example], "example": example}
    content = {"application/json": {"schema": schema}}
    why = _REFUSALS | {door.refused: "the API key is missing or wrong"}
    spent = "its quota is used up"
    why[door.spent] = f"{why[door.spent]}, or {spent}" if door.spent in why else spent
    return {status: {"description": why[status], "content": content} for status in sorted(why)}


_REFUSALS = {
    400: "wrong parameters, or a language that the model does not know",
    404: "there is no such thing here",
    408: "the body did not arrive in time",
    413: "too much text",
    429: "no room now, or too many requests with this key; Retry-After says when",
    500: "the translation failed",
    503: "the model is being loaded",
    504: "not done before the deadline",
}


def texts(*names: str) -> dict[str, Any]:
    """Properties that are texts."""
    return dict.fromkeys(names, TEXT)


def upload(*names: str) -> dict[str, Any]:
    """A file, with texts beside it."""
    file = {"type": "string", "format": "binary"}
    return body(("file",), {"file": file, **texts(*names)}, ("multipart/form-data",))


OWN_TRANSLATE = body(
    ("target",),
    {
        "texts": TEXTS,
        "source": {**TEXT, "default": "auto"},
        "format": {**TEXT, "enum": ["text", "html"], "default": "text"},
        "n": {**COUNT, "minimum": 1, "default": 1},
        "split": {**FLAG, "default": True},
        "prefix": ONE_OR_MORE,
        "terms": TABLE,
        "search": {"type": "object", "example": {"beam": 8, "length_alpha": 0.8}},
        **texts("text", "target", "model", "glossary", "domain"),
        **dict.fromkeys(("required", "forbidden"), TEXTS),
        **dict.fromkeys(("align", "token_scores", "stream"), FLAG),
    },
)
OWN_WORDS = body(
    ("text", "target"), {"n": COUNT, **texts("text", "source", "target", "prefix", "domain")}
)
OWN_SCORE = body(
    ("sources", "translations", "source", "target"),
    {"sources": TEXTS, "translations": TEXTS, **texts("source", "target", "domain")},
)
OWN_DETECT = body(("texts",), {"texts": TEXTS})
OWN_SUGGESTION = body(
    ("text", "translation", "source", "target"),
    texts("text", "translation", "source", "target", "machine"),
)
OWN_GLOSSARY = body(
    ("name", "source", "target", "entries"),
    {"entries": TABLE, **texts("name", "source", "target")},
)
DEEPL_TRANSLATE = body(
    ("text", "target_lang"),
    {
        "text": TEXTS,
        "split_sentences": {**TEXT, "enum": ["0", "1", "nonewlines"]},
        "tag_handling": {**TEXT, "enum": ["html", "xml"]},
        **dict.fromkeys(("ignore_tags", "splitting_tags", "non_splitting_tags"), TEXTS),
        **texts("target_lang", "source_lang", "context", "formality", "glossary_id"),
    },
    JSON_OR_FORM,
)
DEEPL_DOCUMENT = upload("target_lang", "source_lang", "filename", "formality", "glossary_id")
GOOGLE_TRANSLATE = body(
    ("q", "target"),
    {
        "q": ONE_OR_MORE,
        "format": {**TEXT, "enum": ["html", "text"], "default": "html"},
        **texts("source", "target"),
    },
    JSON_OR_FORM,
)
AZURE_TRANSLATE = body(
    ("inputs",),
    {
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text", "targets"],
                "properties": {
                    "targets": {"type": "array", "items": {"type": "object"}},
                    **texts("text", "language", "textType"),
                },
            },
        }
    },
)
