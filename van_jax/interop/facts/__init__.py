"""What can be told of weights: architecture, preprocessing, classes."""
