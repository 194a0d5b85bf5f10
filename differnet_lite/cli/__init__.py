"""The command line, `differnet-lite` or `python -m differnet_lite`.

| file | what |
|---|---|
| `parser` | what can be asked for; nothing heavy is imported |
| `commands` | `main` and the other commands; PyTorch is imported when a command runs |
| `scoring` | the command score |
| `output` | tables, CSV, and refusals of places that must not be written to |
"""
