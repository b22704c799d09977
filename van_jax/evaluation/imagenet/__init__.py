"""The test sets that ImageNet-1k models are compared on."""
