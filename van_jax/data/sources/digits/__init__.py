"""A TFDS builder for scikit-learn's handwritten digits.

Empty on purpose: importing the builder imports TFDS.
"""
