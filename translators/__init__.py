"""What EC2 means: one file per noun, one function per action. Importing the package registers every action."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__, "translators."):
    importlib.import_module(_module.name)
