"""Storage that fails for a while is tried again, up to a deadline."""

from van_jax.retrying.calls import (
  SECONDS as SECONDS,
  Patience as Patience,
  call as call,
)
from van_jax.retrying.passing import (
  StillFailingError as StillFailingError,
  first_line as first_line,
  is_passing as is_passing,
  may_go_on as may_go_on,
)
from van_jax.retrying.paths import path as path
