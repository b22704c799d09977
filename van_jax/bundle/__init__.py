"""The bundle: a folder with a model's weights and all one needs to use them."""
