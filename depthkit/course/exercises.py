"""Check cells of the exercises: they say whether what the reader wrote is right, and let the notebook run on."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def check(name: str) -> Iterator[None]:
    """Run a block of assertions about the reader's own function, and print what came of it, in one line.

    An assertion that fails prints its hint, an exercise that is not written yet (NotImplementedError) says so, and any
    other error is named. Nothing is raised: a notebook with open exercises runs from start to finish.
    """
    try:
        yield
    except NotImplementedError:
        print(f"{name}: not written yet")
    except AssertionError as error:
        print(f"{name}: not right yet: {error}" if str(error) else f"{name}: not right yet")
    except Exception as error:  # whatever the reader's own code raises
        print(f"{name}: stopped by {type(error).__name__}: {error}")
    else:
        print(f"{name}: right")
