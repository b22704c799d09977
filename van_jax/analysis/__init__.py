"""What a model and a program are and do: their size and cost."""
