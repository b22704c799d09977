"""What Ctrl-C and SIGTERM do to a script until `command` sees to them.

Scripts run this file before they import anything: to import JAX takes seconds.
It may import the standard library alone.
"""

import os
import signal


def _end(number: int, frame: object) -> None:
  """Ends the script at once, with one line."""
  again = number == signal.SIGTERM  # Whoever sends it starts a script of 75.
  line = "SIGTERM; the same command goes on." if again else "Ctrl-C."
  os.write(2, f"stopped by {line}\n".encode())
  os._exit(75 if again else 130)


for _number in (signal.SIGTERM, signal.SIGINT):
  if signal.getsignal(_number) is not signal.SIG_IGN:
    signal.signal(_number, _end)
