"""From an encoded image to pixels, and how evaluation prepares them."""
