"""A request to stop: set by a signal at any moment, looked at where a run can be left in order."""


class Stopped(BaseException):
    """The work was left on request; not an error, so no `except Exception` may hold it up."""


class Stop:
    """Whether somebody asked to stop, and who."""

    def __init__(self) -> None:
        self.reason = ""

    @property
    def requested(self) -> bool:
        return bool(self.reason)

    def request(self, reason: str) -> None:
        """Ask to stop, for example for "SIGTERM"; the first reason stays."""
        self.reason = self.reason or reason

    def check(self) -> None:
        """Raise `Stopped` if somebody asked."""
        if self.requested:
            raise Stopped(self.reason)
