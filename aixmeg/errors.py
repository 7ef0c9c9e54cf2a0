"""The exception that the command line prints without a traceback."""


class UserError(ValueError):
    """Bad input: the message names the offending value, the rule it broke and the remedy."""


class OthersError(UserError):
    """What another rank raised, told to this one."""
