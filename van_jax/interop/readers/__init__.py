"""Files of weights, opened without executing anything in them."""
