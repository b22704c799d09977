"""What a user can mend, told apart from what only we can."""


class UserError(ValueError):
  """Bad input or a bad environment; the message says which, and the remedy.

  Scripts print it as one line. Any other error is a bug, and keeps its
  traceback.
  """


class PeerError(UserError):
  """Another process of the run is missing, late or gone.

  Nothing is wrong with the command: the same one, started again in all
  processes, goes on.
  """
