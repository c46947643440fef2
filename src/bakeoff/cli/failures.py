"""What an error is called, says and ends with on the command line."""

import logging

import typer

from bakeoff.core.errors import BakeoffError
from bakeoff.core.explain import explained

__all__ = ["INTERRUPTED", "described"]

WRONG_CALL, INTERRUPTED = 2, 130


def described(error: BaseException) -> tuple[str, str, int]:
    """An error's name, message and exit code, in words for who called the command."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "Interrupted", "interrupted; what was finished is kept: run again to go on", INTERRUPTED
    wrong_call = getattr(error, "format_message", None)
    if wrong_call is not None:  # in the words of click, which typer brings along under a private name
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "bakeoff"
        message = wrong_call()
        end = "" if message.endswith(("?", ".")) else "."
        return "UsageError", f"{message}{end} Try '{command} --help'.", WRONG_CALL
    ours = explained(error)
    if ours is not error or not isinstance(ours, BakeoffError):
        logging.getLogger(__name__).info("unexpected error", exc_info=error)
    if isinstance(ours, BakeoffError):
        return type(ours).__name__, str(ours), ours.exit_code
    name = type(error).__name__
    defect = "this is a defect of bakeoff: run again as 'bakeoff --verbose …' for the traceback, and report it"
    return name, f"unexpected: {str(error) or name}; {defect}", 1
