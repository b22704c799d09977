"""Several runs of one config, which differ in some of its keys."""
