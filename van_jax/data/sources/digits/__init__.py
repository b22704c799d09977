"""scikit-learn's handwritten digits, as a TFDS data set.

Importing the builder imports TFDS; the opener does not.
"""
