"""The kit under the depthkit course: data sets, losses, metrics and training for relative and metric monocular depth.

The public names stand in `__init__.pyi`; each is loaded on first use, so that `import depthkit` costs nothing.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
