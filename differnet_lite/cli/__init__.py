"""The command line, `differnet-lite` or `python -m differnet_lite`.

| file | what |
|---|---|
| `parser` | what can be asked for; nothing heavy is imported |
| `commands` | `main` and the commands; PyTorch is imported when a command runs |
| `scoring` | the command score: photographs in, rows out |
| `output` | rows, tables, maps, and refusals of files that must not be overwritten |
| `course` | the one way into `differnet_course`: samples, evaluation, reports, a cluster |
"""
