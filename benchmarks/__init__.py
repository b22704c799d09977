"""Speed and memory, against named peers; each file has its command."""
