"""What there is to read: splits of encoded examples."""
