"""What a run keeps and tells: checkpoints, its folder, progress."""
