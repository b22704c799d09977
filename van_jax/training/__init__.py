"""Training: state, step, loop and the recipe's parts."""
