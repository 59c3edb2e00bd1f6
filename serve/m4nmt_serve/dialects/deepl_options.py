"""Options of DeepL's dialect that texts and documents share."""

from m4nmt_serve import fields
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.params import Params


def must_not_demand_formality(params: Params) -> None:
    """No language here has a formality that could be chosen: only a preference is heard.

    Raises:
        ServiceError: 400, one is demanded, as at DeepL for languages without it.
    """
    kinds = ("default", "prefer_more", "prefer_less", "more", "less")
    if fields.one_of(params, "formality", kinds) in ("more", "less"):
        raise ServiceError(
            400,
            "'formality' is not supported for given 'target_lang'; prefer_more and prefer_less are",
        )
