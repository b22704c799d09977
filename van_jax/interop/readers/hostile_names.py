"""Names that no honest file of weights refers to: they act on the machine.

What a pickle names is never imported and never called, known here or not. These
names make a file an attack all the same, and so it is refused, not read around.
"""


def _words(text: str) -> frozenset[str]:
  return frozenset(text.split())


# Modules, with all below them.
_MODULES = _words("""
  __builtin__ _ctypes _io _pickle _posixsubprocess _socket _thread _winapi
  aiohttp asyncio atexit bdb builtins cProfile cffi cloudpickle codecs
  codeop concurrent ctypes dbm dill distutils doctest ensurepip fileinput
  ftplib gc getpass http imaplib imp importlib inspect io ipykernel joblib
  linecache marshal mmap msvcrt multiprocessing nt ntpath numpy.distutils
  numpy.f2py numpy.testing operator os pdb pickle pickletools pip
  pkg_resources pkgutil poplib posix posixpath pty pydoc requests runpy
  setuptools shelve shutil smtplib socket socketserver sqlite3 ssl
  subprocess sys sysconfig tarfile telnetlib tempfile timeit
  torch.distributed.rpc torch.hub torch.package torch.serialization
  torch.utils.cpp_extension types urllib urllib2 venv webbrowser winreg
  xmlrpc zipapp zipfile zipimport
  """)
_NAMES = _words("""
  _codecs.lookup functools.reduce numpy.fromfile numpy.fromregex
  numpy.genfromtxt numpy.load numpy.loadtxt numpy.memmap numpy.save
  numpy.savez numpy.savetxt pandas.eval pandas.read_pickle torch.compile
  torch.jit.load torch.load torch.save torch.storage._load_from_bytes
  """)


def is_hostile(dotted: str) -> bool:
  """Returns whether a name is one of an attack.

  Args:
    dotted: module and qualified name.
  """
  parts = dotted.split(".")
  if any(part.startswith("__") and part.endswith("__") for part in parts[1:]):
    return True  # Such as f.__globals__, from which all else is reached.
  if dotted in _NAMES:
    return True
  return any(".".join(parts[:n]) in _MODULES for n in range(1, len(parts)))
