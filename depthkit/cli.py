"""The command `depthkit`: it reads the command line, and says a user's mistake in one line."""

import argparse
import contextlib
import functools
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from errno import EACCES, EDQUOT, EEXIST, EISDIR, ENOSPC, ENOTDIR, EPERM, EROFS
from typing import Any

from tyro.conf import FlagConversionOff, OmitArgPrefixes
from tyro.extras import subcommand_cli_from_dict

from depthkit.commands import COMMANDS, train
from depthkit.errors import InputError
from depthkit.training.config import RECIPES, TrainConfig

# What the system says where nothing can be written: of no use to the user with a trace.
NO_PLACE = {EEXIST, EISDIR, ENOTDIR, EACCES, EPERM, EROFS, ENOSPC, EDQUOT}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; a user's mistake is one line on stderr and exit code 2, a defect keeps its trace."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "×" or "≥" shows "?"
    try:
        action = _parse(sys.argv[1:] if arguments is None else list(arguments))
        if (summary := action()) is not None:
            print(summary)
        sys.stdout.flush()  # here, where a reader that has left is no defect, and not when the interpreter ends
    except InputError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who read it, `head` for example, has enough; what is left in the buffer has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_PLACE and "requested and" not in str(error):  # so says NumPy of a full disk
            raise
        _refuse(f"{error.filename or 'output'}: {error.strerror or error}; name another place, or make room there")


def _parse(arguments: list[str]) -> Callable[[], Any]:
    """The subcommand and its arguments as a function to call."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return subcommand_cli_from_dict(
                {name: _postponed(command, arguments) for name, command in COMMANDS.items()},
                prog="depthkit",
                description="Metric and relative depth: train, score and use a Depth Anything V2.",
                args=arguments,
                use_underscores=True,
                config=(FlagConversionOff, OmitArgPrefixes),
            )
    except SystemExit as stop:
        if stop.code:
            _refuse(_first_paragraph(complaint.getvalue()))
        raise


def _postponed(command: Callable[..., Any], arguments: list[str]) -> Callable[..., Callable[[], Any]]:
    """The command as tyro sees it: it only binds arguments, so that errors of the work itself are not caught here."""

    @functools.wraps(command)
    def bind(*positional: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(command, *positional, **named)

    if command is train and (recipe := _named_recipe(arguments)):
        with_defaults = functools.partial(command, config=TrainConfig(**RECIPES.get(recipe, {})))
        bind.__signature__ = inspect.signature(with_defaults)  # type: ignore[attr-defined]
    return bind


def _named_recipe(arguments: list[str]) -> Any:
    """What follows --recipe, on which the defaults of the other options depend; None where it is not there."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", nargs="?")
    return parser.parse_known_args(arguments)[0].recipe


def _first_paragraph(box: str) -> str:
    """What tyro says in a frame below its title and up to the next rule, as one line."""
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-")))
    text = next((" ".join(paragraph) for has_words, paragraph in paragraphs if has_words), "see depthkit --help")
    return re.sub(r"^Error parsing __tyro\S+: ", "", text)


def _refuse(message: str) -> None:
    print(f"depthkit: {message}", file=sys.stderr)
    sys.exit(2)
