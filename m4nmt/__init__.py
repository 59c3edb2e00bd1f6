"""m4nmt: massively multilingual neural machine translation on PyTorch."""

__version__ = "0.1.0"
