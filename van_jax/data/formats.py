"""The formats that images are read in, and how their files are called."""

# Pillow's name: endings of file names, lower case. What is in a file decides,
# and not its name: a name only says that an image is to be expected.
FORMATS = {
  "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
  "PNG": (".png", ".apng"),
  "GIF": (".gif",),  # The first picture of several, as of all formats.
  "BMP": (".bmp",),
  "DIB": (".dib",),
  "WEBP": (".webp",),
  "TIFF": (".tif", ".tiff"),
  "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
  "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
  "AVIF": (".avif",),  # Where Pillow was built with it: 11.3 and later.
}
EXTENSIONS = tuple(sorted(name for names in FORMATS.values() for name in names))
