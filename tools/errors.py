"""The one exception that means: the user's input is at fault, and this line says what would be right."""


class InputError(ValueError):
    """Bad input of a user: a file, a value, a request.

    The message is one line that names the culprit (argument, file, field), says what was expected and what was
    received. Commands print it without a traceback and end with status 1.
    """


class WrongUse(InputError):
    """A command line that asks for nothing, or for two things at once: what its parser cannot see.

    Commands end with status 2, as for any other wrong use.
    """
