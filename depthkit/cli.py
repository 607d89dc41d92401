"""The command `depthkit`: it reads the command line, and says a user's mistake in one line."""

import contextlib
import errno
import functools
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import FlagConversionOff, OmitArgPrefixes, Positional

from depthkit.commands import COMMANDS, train
from depthkit.data.importers import import_data
from depthkit.errors import InputError
from depthkit.training.config import RECIPES, TrainConfig

# What the system says where nothing can be written: of no use to the user with a trace.
NO_PLACE = {
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
}
RECIPE = re.compile(r"--recipe(=.*)?$")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; a user's mistake is one line on stderr and exit code 2, a defect keeps its trace."""
    try:
        action = _parse(sys.argv[1:] if arguments is None else list(arguments))
        if (summary := action()) is not None:
            print(summary)
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
    app = tyro.extras.SubcommandApp()
    for name, command in COMMANDS.items():
        app.command(name=name)(_postponed(command, arguments))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return app.cli(
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

    def bind(*positional: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(command, *positional, **named)

    bind.__doc__, signature = command.__doc__, inspect.signature(command)
    parameters = dict(signature.parameters)
    if command is import_data:  # a function of the kit, which knows nothing of tyro: here its first two go by place
        for name in ("source", "data"):
            parameters[name] = parameters[name].replace(annotation=Positional[Path])
    pairs = pairwise([*arguments, ""])
    named = [word.partition("=")[2] or following for word, following in pairs if RECIPE.match(word)]
    if command is train and named:
        recipe = RECIPES.get(named[-1], {})  # type: ignore[call-overload]
        parameters["config"] = parameters["config"].replace(default=TrainConfig(**recipe))
    bind.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    bind.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return bind


def _first_paragraph(box: str) -> str:
    """What tyro says in a frame below its title and up to the next rule, as one line."""
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-")))
    text = next((" ".join(paragraph) for has_words, paragraph in paragraphs if has_words), "see depthkit --help")
    return re.sub(r"^Error parsing __tyro\S+: ", "", text)


def _refuse(message: str) -> None:
    print(f"depthkit: {message}", file=sys.stderr)
    sys.exit(2)
