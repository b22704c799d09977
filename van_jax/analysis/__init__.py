"""What a model is and does: its size and cost."""
