"""What the service refuses, as an HTTP status and one sentence for the client."""


class ServiceError(Exception):
    """A refusal. Each dialect gives it its own shape.

    Attributes:
        status: HTTP status code.
        message: what is wrong and how to mend it; never holds a text to translate.
        retry_after: seconds after which trying again makes sense; 0 is never.
    """

    def __init__(self, status: int, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this refusal."""
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}


def overloaded(retry_after: int) -> ServiceError:
    """429: nothing is wrong with the request, there is no room for it now."""
    seconds = max(1, retry_after)
    return ServiceError(429, f"the server is busy; try again in {seconds} s", seconds)
