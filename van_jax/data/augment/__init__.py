"""What training does to an image."""
