"""Making our models known to Hugging Face's Auto classes at the moment these are loaded.

Loading them takes seconds and running a spiking network does not need them: whoever comes first waits for the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

CONFIGS, MODELS = "transformers.models.auto.configuration_auto", "transformers.models.auto.modeling_auto"


def register(model_type: str, config: type, model: Callable[[], type]) -> None:
    """Register a config class and the classifier that ``model`` imports."""

    def add_config(module: ModuleType) -> None:
        module.AutoConfig.register(model_type, config, exist_ok=True)

    def add_model(module: ModuleType) -> None:
        module.AutoModelForSequenceClassification.register(config, model(), exist_ok=True)

    when_loaded(CONFIGS, add_config)
    when_loaded(MODELS, add_model)


def when_loaded(name: str, act: Callable[[ModuleType], None]) -> None:
    """``act`` on a module: now if it has been imported, else right after its import."""
    if name in sys.modules:
        act(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, act))


class _Finder(MetaPathFinder):
    """Finds one module, once, the way others find it, and acts after it has run."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]):
        self.name, self.act = name, act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.act)
        return spec


class _Loader(Loader):
    """A loader that acts on the module it has loaded."""

    def __init__(self, loader: Loader, act: Callable[[ModuleType], None]):
        self.loader, self.act = loader, act

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See :class:`importlib.abc.Loader`."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See :class:`importlib.abc.Loader`."""
        self.loader.exec_module(module)
        self.act(module)
