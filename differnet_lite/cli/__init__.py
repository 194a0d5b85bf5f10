"""The command line, `differnet-lite` or `python -m differnet_lite`.

| file | what |
|---|---|
| `parser` | what can be asked for; nothing heavy is imported |
| `commands` | `main` and the other commands; PyTorch is imported when a command runs |
| `scoring` | the command score |
| `clustering` | fit and score with --scheduler, on a Dask cluster |
| `output` | tables, CSV, and refusals of places that must not be written to |
"""
