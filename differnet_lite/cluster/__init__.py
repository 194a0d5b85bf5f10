"""Scoring and fitting on a Dask cluster that exists already; `docs/cluster.md` has the plan.

    from differnet_lite.cluster import score_on_cluster
    parts = score_on_cluster("part.safetensors", "photographs", "scores.parquet",
                             scheduler="tcp://127.0.0.1:8786")

What travels: the model once to each worker, names of files to the workers, and scores back. So the
workers need this package, and the images at the same path as here: on shared storage.

Needs Dask and pyarrow: `pip install 'differnet_lite[cluster]'`. The public names are listed in
`__init__.pyi`; each is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
