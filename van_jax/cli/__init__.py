"""What scripts share: flags, config keys, and how they end."""
