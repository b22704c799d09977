"""Batches of images, for training and for evaluation."""
