"""A translated document as an answer.

It holds what somebody else wrote: browsers are told to save it and to run nothing of it.
"""

from urllib.parse import quote

from fastapi.responses import Response

from m4nmt_serve.files import Job, mime


def download(job: Job) -> Response:
    """The document.

    Raises:
        ServiceError: what it failed of.
    """
    if job.error is not None:
        raise job.error
    return Response(
        job.result,
        media_type=mime(job.name),
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(job.name)}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )
