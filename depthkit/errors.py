"""The error of a user's mistake, which the command line shows as one line."""


class InputError(ValueError):
    """Something that a user gave can't be used: the message names it, what was found, and the remedy."""
