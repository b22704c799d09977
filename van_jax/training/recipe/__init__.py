"""What a recipe is made of: optimizers, losses, schedules, mixing."""
