"""Order of the files in a repository: related files stand near each other, repositories anywhere (arXiv 2410.13187)."""

from aixmeg.corpus.order.imports import imports_of
from aixmeg.corpus.order.repository import Ordered, order_repository
from aixmeg.corpus.order.resolve import OrderFile

__all__ = ["OrderFile", "Ordered", "imports_of", "order_repository"]
